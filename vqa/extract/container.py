"""Open a video file and one of its streams of pictures: nothing but a regular file, and nothing larger than allowed."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import av

from vqa.errors import VideoError
from vqa.extract.streams import choose_stream
from vqa.extract.undecodable import ENCRYPTED, why_undecodable

DEFAULT_MAX_PIXELS = 8192 * 8192

# Only containers that hold one stream of pictures by themselves: no playlists, which make FFmpeg open other files.
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,yuv4mpegpipe,h264,hevc,m4v,obu,ivf,mxf,nut,rm,dv,gif"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}

_Item = TypeVar("_Item")

Opened = contextlib.AbstractContextManager[tuple[av.container.InputContainer, av.VideoStream]]


@contextlib.contextmanager
def opened(
    path: Path, max_pixels: int, threads: int = 1, stream_index: int | None = None
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and one of its video streams; FFmpeg's errors become VideoError, whatever step they come from.

    Args:
        path: The video file.
        max_pixels: A larger frame is refused.
        threads: Of the codec.
        stream_index: Of the stream, where it was chosen before; else it is chosen, which may take reading all packets.

    Yields:
        The file at its start, and the stream, its decoder set up.
    """
    _check_regular(path)
    with contextlib.ExitStack() as stack:
        container, read = stack.enter_context(_open(path, max_pixels)), False
        if stream_index is None:
            stream_index, read = choose_stream(container)
        if read:
            container.close()
            container = stack.enter_context(_open(path, max_pixels))
        stream = _video_stream(container, stream_index)
        codec = stream.codec_context
        codec.options, codec.thread_count = _guard(max_pixels), threads
        codec.thread_type = "AUTO" if threads > 1 else "NONE"
        sized = codec.width > 0
        if not sized:
            _check_decodable(path, max_pixels, stream_index)
        try:
            yield container, stream
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, av.error.InvalidDataError):
                _check_decodable(path, max_pixels, stream_index)
            raise VideoError(_reason(path, error, max_pixels, sized=sized)) from error


def _guard(max_pixels: int) -> dict[str, str]:
    # FFmpeg looks at a size before it allocates a frame, but at the coded one, which is a little larger.
    return {"max_pixels": str(min(max_pixels + max_pixels // 8 + (1 << 18), (1 << 31) - 1))}


def _open(path: Path, max_pixels: int) -> av.container.InputContainer:
    try:
        # An absolute path can't be taken for a protocol ("concat:...") or an option.
        return av.open(str(path.absolute()), options=_OPTIONS | _guard(max_pixels), metadata_errors="replace")
    except av.error.ArgumentError as error:
        raise VideoError(
            "it is a still image, a playlist or another kind of file, not a video; name a video"
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(_reason(path, error, max_pixels, sized=True)) from error


def from_av(items: Iterator[_Item]) -> Iterator[_Item]:
    """Pass on packets or frames of a stream.

    Raises:
        VideoError: a packet is encrypted.
    """
    # PyAV ends with the flush of each stream in turn; at one that came up on the way, which it does not know, with an
    # IndexError: all packets were passed on by then.
    with contextlib.suppress(IndexError):
        for item in items:
            if isinstance(item, av.Packet) and item.is_keyframe and item.has_sidedata("encryption_info"):
                raise VideoError(ENCRYPTED)
            yield item


def _video_stream(container: av.container.InputContainer, index: int) -> av.VideoStream:
    """Return a video stream that has a decoder."""
    stream = next((stream for stream in container.streams.video if stream.index == index), None)
    if stream is None:
        raise VideoError("the file changed while it was read; run again when it is written to its end")
    if cast("av.VideoCodecContext | None", stream.codec_context) is None:
        raise VideoError("its codec is not known here; re-encode it, for example to H.264")
    return stream


def _check_decodable(path: Path, max_pixels: int, stream_index: int) -> None:
    """Refuse a stream whose packets tell why nothing of it can be decoded."""
    with _open(path, max_pixels) as container:
        reason = why_undecodable(container, _video_stream(container, stream_index), path)
    if reason:
        raise VideoError(reason)


def _check_regular(path: Path) -> None:
    """Refuse what is no file before it is opened: opening a named pipe waits for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise VideoError("the file does not exist; was it moved?") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"the file can't be opened ({reason}); check the path and its permissions") from error
    if not stat.S_ISREG(mode):
        raise VideoError("it is a folder, a pipe or a device, not a video; name a file")


def _reason(path: Path, error: Exception, max_pixels: int, *, sized: bool) -> str:
    """Say in one line why FFmpeg refused a file."""
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty (0 bytes); fetch it again"
    # The guard of `opened` leaves a stream without a size, or stops its decoder.
    if isinstance(error, av.error.ArgumentError) or not sized:
        return f"a frame is invalid or has more pixels than the limit of {max_pixels}; raise max_pixels in vqa.toml"
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
        return "the file is no video that can be read, or it is truncated or damaged; fetch it again"
    if isinstance(error, MemoryError | BlockingIOError):  # the second: no room for a thread of the codec
        return "decoding it needs more memory than there is, or is allowed; raise worker_memory, or use fewer workers"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the file can't be read ({' '.join(text.split())}); check it with ffprobe"


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse what has more pixels than allowed."""
    if width * height > max_pixels:
        raise VideoError(f"{width} x {height} pixels are over the limit of {max_pixels}; raise max_pixels in vqa.toml")
