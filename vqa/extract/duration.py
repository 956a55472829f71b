"""What to know of a video before its parts are looked at, read apart: its packets are parsed, whatever they are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from vqa.apart import UnreadableError, hold_reader, read_apart
from vqa.errors import VideoError

_SPARE_SECONDS = 30


@dataclass(frozen=True)
class Extent:
    """What has to be known of a video before it is looked at in parts."""

    seconds: float
    """How long it lasts, by the times of its frames."""
    jumps: bool
    """Whether decoding may begin amid it; else each part is reached from the start."""


def read_extent(path: Path, *, max_pixels: int, max_seconds: float, memory_bytes: int, patience: float) -> Extent:
    """Return how long a video lasts, and whether its parts can be decoded by themselves.

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
        seconds, jumps = read_apart(__name__, *arguments, seconds=int(patience) + _SPARE_SECONDS).split()
    except UnreadableError as error:
        raise VideoError(str(error)) from error
    return Extent(float(seconds), jumps == str(True))


def _main() -> None:
    from vqa.extract.video import read_timeline

    path, max_pixels, max_seconds, memory_bytes, patience = sys.argv[1:]
    hold_reader(memory_bytes=int(memory_bytes), seconds=int(patience))
    try:
        timeline = read_timeline(Path(path), max_pixels=int(max_pixels), max_seconds=float(max_seconds))
    except VideoError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{timeline.end_seconds!r} {timeline.jumps}")


if __name__ == "__main__":
    _main()
