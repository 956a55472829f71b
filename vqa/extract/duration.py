"""How long a video lasts, read in a process of its own: its packets are parsed, whatever they are."""

from __future__ import annotations

import sys
from pathlib import Path

from vqa.apart import UnreadableError, hold_reader, read_apart
from vqa.errors import VideoError

_SPARE_SECONDS = 30


def video_seconds(path: Path, *, max_pixels: int, max_seconds: float, memory_bytes: int, patience: float) -> float:
    """Return how long a video lasts, in seconds, by the times of its frames.

    Args:
        path: The video file.
        max_pixels: Larger frames are refused.
        max_seconds: A video that lasts longer is refused.
        memory_bytes: What reading it may take.
        patience: Seconds after which reading it is given up.

    Raises:
        VideoError: it can't be read, or is refused.
    """
    arguments = (str(path), str(max_pixels), repr(max_seconds), str(memory_bytes), str(int(patience)))
    try:
        return float(read_apart(__name__, *arguments, seconds=int(patience) + _SPARE_SECONDS))
    except UnreadableError as error:
        raise VideoError(str(error)) from error


def _main() -> None:
    from vqa.extract.timeline import read_timeline

    path, max_pixels, max_seconds, memory_bytes, patience = sys.argv[1:]
    hold_reader(memory_bytes=int(memory_bytes), seconds=int(patience))
    try:
        timeline = read_timeline(Path(path), max_pixels=int(max_pixels), max_seconds=float(max_seconds))
    except VideoError as error:
        sys.exit(str(error))
    sys.stdout.write(repr(timeline.end_seconds))


if __name__ == "__main__":
    _main()
