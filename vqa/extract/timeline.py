"""When each frame of a video is shown, and where decoding may begin: read from packets, which costs no decoding."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.container import DEFAULT_MAX_PIXELS, check_size, from_av, opened
from vqa.extract.reading import PACKETS, describe_reading
from vqa.records import Reading

DEFAULT_MAX_SECONDS = 6 * 3600.0
MAX_FRAMES = 1 << 24
"""77 hours at 60 frames per second; a bound on memory, since the time of each frame is kept."""

_CUT_ANYWHERE = {"mpegts", "mpeg", "mpegvideo", "h264", "hevc"}  # they may begin amid a group of pictures

# Where what is shown after a key frame needs nothing before it; with H.264 that is so for IDR pictures alone.
_JUMPING_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each frame of a video is shown, read from its packets."""

    pts: NDArray[np.int64]
    """Presentation times in ascending order, shape (N,), in ticks."""
    end: int
    """When the last frame leaves the screen, in ticks."""
    time_base: Fraction
    """Seconds per tick."""
    keys: NDArray[np.intp]
    """Indices of the key frames that decoding may jump to, in ascending order, shape (K,)."""
    key_dts: NDArray[np.int64]
    """When these are decoded, shape (K,), in ticks: some containers are searched by it."""
    reading: Reading | None = None
    """How the file was read for it."""

    @property
    def pts_seconds(self) -> NDArray[np.float64]:
        """Presentation times from the start of the video, shape (N,), in seconds."""
        seconds: NDArray[np.float64] = (self.pts - self.pts[0]) * float(self.time_base)
        return seconds

    @property
    def end_seconds(self) -> float:
        """Duration in seconds."""
        return float((self.end - int(self.pts[0])) * self.time_base)

    @property
    def jumps(self) -> bool:
        """Whether decoding may begin anywhere but at the start."""
        return bool((self.keys > 0).any())


def read_timeline(
    path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS, max_seconds: float = DEFAULT_MAX_SECONDS
) -> Timeline:
    """Read when each frame of a video is shown.

    Args:
        path: The video file.
        max_pixels: A larger frame is refused.
        max_seconds: A longer video is refused once its packets show it, whatever its header says.

    Raises:
        VideoError: no video stream, fewer than two frames, too many pixels or frames, too long, damaged or truncated.
    """
    with opened(path, max_pixels) as (container, stream):
        check_size(stream.codec_context.width, stream.codec_context.height, max_pixels)
        assert stream.time_base is not None
        times = _Times(stream.time_base, max_seconds)
        timed = _read_packets(container, stream, times)
        if timed:
            return _described(times.timeline(), container, stream, PACKETS, times.coded)
    times = _Times(times.time_base, max_seconds)
    with opened(path, max_pixels) as (container, stream):
        for pts, frame in with_times(from_av(container.decode(stream))):
            times.add(pts, frame.duration or 0)
            times.coded += 1
        return _described(times.timeline(), container, stream, "decoded frames", times.coded)


def _described(
    timeline: Timeline, container: av.container.InputContainer, stream: av.VideoStream, times: str, coded: int
) -> Timeline:
    """Return a timeline that says how the file was read for it."""
    frames = len(timeline.pts)
    reading = describe_reading(container, stream, times=times, frames=frames, dropped=coded - frames)
    return replace(timeline, reading=reading)


class _Times:
    """Times of frames while they are read: 8 bytes for each and 16 for a key frame, whatever its packet weighs."""

    def __init__(self, time_base: Fraction, max_seconds: float) -> None:
        self.time_base = time_base
        self._max_seconds, self._max_ticks = max_seconds, max_seconds / float(time_base)
        self._pts, self._key_pts, self._key_dts = array("q"), array("q"), array("q")
        self._last = (0, 0)
        self._begin: int | None = None
        self.coded = 0
        """Frames that the file has, shown or not."""

    def add(self, pts: int, duration: int) -> None:
        if len(self._pts) >= MAX_FRAMES:
            raise VideoError(f"it has more than {MAX_FRAMES} frames; cut it into parts")
        if self._pts:
            self._check_length(pts - self._pts[0])
        self._last = max(self._last, (pts, duration)) if self._pts else (pts, duration)
        self._pts.append(pts)

    def _check_length(self, ticks: int) -> None:
        if ticks > self._max_ticks:
            raise VideoError(
                f"it lasts longer than the limit of {self._max_seconds:g} s; raise max_duration_seconds, "
                "or cut it into parts"
            )

    def add_key(self, pts: int, dts: int) -> None:
        self._key_pts.append(pts)
        self._key_dts.append(dts)

    def begin(self, pts: int, *, drop_read: bool, drop_shown: bool) -> None:
        """Leave out what can't be decoded: frames read before the first key frame, and those shown before it."""
        if drop_read:
            del self._pts[:-1]
        if drop_shown:
            self._begin = pts

    def timeline(self) -> Timeline:
        """Sort frames by time; a last frame of unknown duration gets the median distance of the others."""
        pts, key_pts = np.frombuffer(self._pts, np.int64), np.frombuffer(self._key_pts, np.int64)
        pts.sort()
        if self._begin is not None:
            pts = pts[np.searchsorted(pts, self._begin) :]
        if len(pts) < 2:
            raise VideoError(f"the video stream has {len(pts)} frame(s); a video needs at least 2")
        distinct = np.append(True, pts[1:] != pts[:-1])
        if distinct.all():
            order = np.argsort(key_pts)
            keys, key_dts = np.searchsorted(pts, key_pts[order]), np.frombuffer(self._key_dts, np.int64)[order]
        else:
            pts, keys, key_dts = pts[distinct], np.empty(0, np.intp), np.empty(0, np.int64)
        if len(pts) < 2:
            raise VideoError("all frames carry one presentation time; repair its timestamps, for example by remuxing")
        self._check_length(int(pts[-1]) - int(pts[0]))
        last = max(self._last[1], 0) or int(np.median(np.diff(pts)))
        self._check_length(int(pts[-1]) + last - int(pts[0]))
        return Timeline(pts, int(pts[-1]) + last, self.time_base, keys, key_dts)


def _read_packets(container: av.container.InputContainer, stream: av.VideoStream, times: _Times) -> bool:
    """Take the time of every packet; return whether all have one."""
    codec = stream.codec_context.codec
    name, timed, started = codec.canonical_name, True, False
    # AVI has no presentation times: those of B-frames are guessed, and guessed anew after a jump.
    jumping = (name in _JUMPING_CODECS and container.format.name != "avi") or codec.intra_only
    cut_anywhere = container.format.name in _CUT_ANYWHERE
    packets: Iterator[av.Packet[av.VideoStream]] = (
        packet for packet in _counted(from_av(container.demux(stream)), times) if not packet.is_discard
    )
    # A stream may end amid a picture: the other decoders say so, that of HEVC gives a wrong picture.
    for packet in _all_but_the_last(packets) if name == "hevc" and cut_anywhere else packets:
        if packet.is_corrupt:
            raise VideoError("the file is truncated or damaged: a packet is cut off; fetch it again")
        if packet.pts is None:
            timed = False
            continue
        times.add(packet.pts, packet.duration or 0)
        if packet.is_keyframe:
            clean = _is_clean_start(packet, name)
            if not started:
                started = True
                times.begin(packet.pts, drop_read=cut_anywhere, drop_shown=not clean)
            if jumping and packet.dts is not None and (clean or name == "hevc"):
                times.add_key(packet.pts, packet.dts)
    return timed


def _counted(packets: Iterator[av.Packet[av.VideoStream]], times: _Times) -> Iterator[av.Packet[av.VideoStream]]:
    for packet in packets:
        if packet.size:
            times.coded += 1
            yield packet


def _all_but_the_last(packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.Packet[av.VideoStream]]:
    held = next(packets, None)
    for packet in packets:
        assert held is not None
        yield held
        held = packet


def _is_clean_start(packet: av.Packet[av.VideoStream], codec: str) -> bool:
    """Tell whether even the frames shown before a key frame, but coded after it, need nothing from before it."""
    if codec in {"mpeg1video", "mpeg2video"}:
        header = re.search(rb"\x00\x00\x01\xb8...(.)", bytes(packet), re.DOTALL)
        return header is not None and bool(header[1][0] & 0x40)  # closed_gop
    if codec == "h264":
        return next((kind == 5 for kind in map(0x1F.__and__, _nal_heads(packet)) if 1 <= kind <= 5), False)
    if codec == "hevc":
        return next(
            (kind in {19, 20} for kind in (head >> 1 & 0x3F for head in _nal_heads(packet)) if kind < 32), False
        )
    return True


def _nal_heads(packet: av.Packet[av.VideoStream]) -> Iterator[int]:
    """Yield the first byte of each NAL unit: ITU-T H.264 and H.265 annex B, or with lengths (ISO/IEC 14496-15)."""
    data, setup = bytes(packet), packet.stream.codec_context.extradata or b""
    if not setup.startswith(b"\1"):
        yield from (start[1][0] for start in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL))
        return
    place = 21 if packet.stream.codec_context.name == "hevc" else 4
    if len(setup) <= place:
        raise VideoError("its codec's header is cut off; fetch the file again")
    size = (setup[place] & 3) + 1
    at = 0
    while at + size < len(data):
        yield data[at + size]
        at += size + int.from_bytes(data[at : at + size], "big")


def with_times(frames: Iterable[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield decoded frames with their times; where one has none, as in a raw stream, durations are added up."""
    clock = 0
    for frame in frames:
        pts = clock if frame.pts is None else frame.pts
        clock = pts + (frame.duration or 0)
        yield pts, frame
