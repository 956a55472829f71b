"""Probe and decode a video file: time from its packets, colour by its tags, rotation from its display matrix.

Numbers in a file's header (duration, frame count) are hints and are not used: the timeline is read from the packets,
which costs no decoding, and frames are then matched on their presentation time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from vqa.errors import VideoError

DEFAULT_MAX_PIXELS = 8192 * 8192

# Only containers that hold one stream of pictures by themselves: no playlists, which make FFmpeg open other files.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,yuv4mpegpipe,h264,hevc,ivf,mxf,nut,rm,dv,gif"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}

# ITU-T H.273: matrix coefficients and transfer characteristics.
_UNSPECIFIED = 2
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_HD_LINES = 720
_FULL_RANGE = 2
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each frame of a video is shown, read from its packets."""

    pts: NDArray[np.int64]
    """Presentation times in ascending order, shape (N,), in ticks."""
    end: int
    """When the last frame leaves the screen, in ticks."""
    time_base: Fraction
    """Seconds per tick."""

    @property
    def pts_seconds(self) -> NDArray[np.float64]:
        """Presentation times from the start of the video, shape (N,), in seconds."""
        seconds: NDArray[np.float64] = (self.pts - self.pts[0]) * float(self.time_base)
        return seconds

    @property
    def end_seconds(self) -> float:
        """Duration in seconds."""
        return float((self.end - int(self.pts[0])) * self.time_base)


def read_timeline(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Timeline:
    """Read when each frame of a video is shown.

    Raises:
        VideoError: no video stream, fewer than two frames, too many pixels, damaged or truncated.
    """
    with _opened(path) as (container, stream):
        _check_size(stream, max_pixels)
        packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        if any(packet.is_corrupt for packet in packets):
            raise VideoError("the file is truncated or damaged: a packet is cut off; fetch it again")
        times = [(packet.pts, packet.duration or 0) for packet in packets]
        time_base = stream.time_base
    if any(pts is None for pts, _ in times):
        times = _times_by_decoding(path)
    if len(times) < 2:
        raise VideoError(f"the video stream has {len(times)} frame(s); a video needs at least 2")
    assert time_base is not None
    return _timeline([(pts, duration) for pts, duration in times if pts is not None], time_base)


def _timeline(times: list[tuple[int, int]], time_base: Fraction) -> Timeline:
    """Sort frames by time; a last frame of unknown duration gets the median distance of the others."""
    pts = np.unique(np.array([pts for pts, _ in times], dtype=np.int64))
    if len(pts) < 2:
        raise VideoError("all frames carry one presentation time; repair its timestamps, for example by remuxing")
    last = max(duration for start, duration in times if start == pts[-1])
    return Timeline(pts, int(pts[-1]) + (last or int(np.median(np.diff(pts)))), time_base)


def _times_by_decoding(path: Path) -> list[tuple[int | None, int]]:
    """Read presentation times from decoded frames, for containers whose packets carry none."""
    with _opened(path) as (container, stream):
        return [(frame.pts, frame.duration or 0) for frame in container.decode(stream) if frame.pts is not None]


def decode_frames(path: Path, timeline: Timeline, wanted: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode the wanted frames in one pass, in the order in which they are shown.

    Args:
        path: The video file.
        timeline: What `read_timeline` said of it.
        wanted: Indices into the timeline, ascending and distinct.

    Yields:
        A frame's index, and its pixels: R'G'B', full range 0 to 255, shape (H, W, 3), upright.

    Raises:
        VideoError: a wanted frame can't be decoded, or its colour is PQ or HLG.
    """
    index_of = {int(timeline.pts[index]): int(index) for index in wanted}
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            index = index_of.pop(frame.pts, None) if frame.pts is not None else None
            if index is None:
                continue
            if frame.is_corrupt:
                raise VideoError(f"the frame at {timeline.pts_seconds[index]:.2f} s is damaged; fetch the file again")
            yield index, _upright(_to_rgb(frame), frame)
            if not index_of:
                return
    first = min(index_of.values())
    raise VideoError(
        f"{len(index_of)} of {len(wanted)} frames can't be decoded, the first at {timeline.pts_seconds[first]:.2f} s; "
        "the file is truncated or damaged: fetch it again"
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its first video stream; FFmpeg's errors become VideoError, whatever step they come from."""
    try:
        # An absolute path can't be taken for a protocol ("concat:...") or an option.
        with av.open(str(path.absolute()), options=dict(_OPTIONS), metadata_errors="replace") as container:
            streams = [stream for stream in container.streams.video if not _is_cover_art(stream)]
            if not streams:
                raise VideoError("the file has no video stream")
            yield container, streams[0]
    except FileNotFoundError as error:
        raise VideoError("the file does not exist; was it moved?") from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(_reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    """Say in one line why FFmpeg refused a file."""
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty (0 bytes); fetch it again"
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
        return "the file is no video that can be read, or it is truncated or damaged; fetch it again"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the file can't be read ({' '.join(text.split())}); check it with ffprobe"


def _is_cover_art(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _check_size(stream: av.VideoStream, max_pixels: int) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_pixels:
        raise VideoError(f"{width} x {height} pixels are over the limit of {max_pixels}; raise max_pixels in vqa.toml")


def _to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert to R'G'B' by the frame's tags: matrix and range as tagged, else by the rule of `DECODING_RULES`."""
    if frame.color_trc in _HDR_TRANSFERS:
        name = _HDR_TRANSFERS[frame.color_trc]
        raise VideoError(f"{name} (HDR) video is not scored as if it were SDR; convert it to SDR first")
    if frame.format.is_rgb:
        return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    tagged_full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    converted = frame.reformat(
        format="rgb24",
        src_colorspace=_matrix(frame),
        src_color_range=ColorRange.JPEG if tagged_full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
    )
    return np.asarray(converted.to_ndarray(), dtype=np.uint8)


def _matrix(frame: av.VideoFrame) -> Colorspace:
    """Return the luma-chroma matrix: the tag's, or by the number of lines where there is none."""
    if frame.colorspace in _MATRICES:
        return _MATRICES[frame.colorspace]
    if frame.colorspace != _UNSPECIFIED:
        raise VideoError(f"its colour matrix (H.273 code {frame.colorspace}) is not supported; convert it to BT.709")
    return Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601


def _upright(rgb: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Apply the display matrix, eight right-angled orientations in all.

    With the upper left of the matrix (a b; c d), a pixel moves as x' = a x + c y, y' = b x + d y.
    """
    matrix = cast("Any", frame.side_data).get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return rgb
    a, b, _, c, d = (np.frombuffer(matrix, dtype=np.int32)[:5] / 65536).round(3)
    if (a, d) == (0, 0) and abs(b) == abs(c) == 1:
        rgb, across, down = rgb.transpose(1, 0, 2), c, b
    elif (b, c) == (0, 0) and abs(a) == abs(d) == 1:
        across, down = a, d
    else:
        raise VideoError(
            "its display matrix turns it by an angle that is no multiple of 90 degrees; re-encode it upright"
        )
    return np.ascontiguousarray(rgb[:: int(down), :: int(across)])
