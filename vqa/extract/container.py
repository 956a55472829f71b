"""Open a video file and its first stream of pictures: nothing but a regular file, and nothing larger than allowed."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import av

from vqa.errors import VideoError

DEFAULT_MAX_PIXELS = 8192 * 8192

# Only containers that hold one stream of pictures by themselves: no playlists, which make FFmpeg open other files.
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,yuv4mpegpipe,h264,hevc,obu,ivf,mxf,nut,rm,dv,gif"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}

_Item = TypeVar("_Item")

Opened = contextlib.AbstractContextManager[tuple[av.container.InputContainer, av.VideoStream]]


@contextlib.contextmanager
def opened(
    path: Path, max_pixels: int, threads: int = 1
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its first video stream; FFmpeg's errors become VideoError, whatever step they come from."""
    _check_regular(path)
    # FFmpeg looks at a size before it allocates a frame, but at the coded one, which is a little larger.
    guard = {"max_pixels": str(min(max_pixels + max_pixels // 8 + (1 << 18), (1 << 31) - 1))}
    try:
        # An absolute path can't be taken for a protocol ("concat:...") or an option.
        container = av.open(str(path.absolute()), options=_OPTIONS | guard, metadata_errors="replace")
    except av.error.ArgumentError as error:
        raise VideoError(
            "it is a still image, a playlist or another kind of file, not a video; name a video"
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(_reason(path, error, max_pixels, sized=True)) from error
    with container:
        stream = _video_stream(container, guard, threads)
        sized = stream.codec_context.width > 0
        try:
            yield container, stream
        except (av.FFmpegError, OSError) as error:
            raise VideoError(_reason(path, error, max_pixels, sized=sized)) from error


def from_av(items: Iterator[_Item]) -> Iterator[_Item]:
    """Pass on packets or frames; PyAV knows no stream that comes up on the way."""
    try:
        yield from items
    except IndexError as error:
        raise VideoError("the file is damaged: a stream begins amid its packets; fetch it again") from error


def _video_stream(container: av.container.InputContainer, options: dict[str, str], threads: int) -> av.VideoStream:
    """Return the first stream of moving pictures, its decoder set up."""
    streams = [stream for stream in container.streams.video if not _is_cover_art(stream)]
    if not streams:
        raise VideoError("the file has no video stream")
    codec = cast("av.VideoCodecContext | None", streams[0].codec_context)
    if codec is None:
        raise VideoError("its codec is not known here; re-encode it, for example to H.264")
    codec.options, codec.thread_count = options, threads
    codec.thread_type = "AUTO" if threads > 1 else "NONE"
    return streams[0]


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


def _is_cover_art(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse what has more pixels than allowed."""
    if width * height > max_pixels:
        raise VideoError(f"{width} x {height} pixels are over the limit of {max_pixels}; raise max_pixels in vqa.toml")
