"""Small still pictures of videos, each taken in a process of its own: a video may crash or hang whatever reads it."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vqa.apart import UnreadableError, hold_reader, read_apart
from vqa.copies import local_copy
from vqa.errors import StorageError, VideoError
from vqa.extract.container import DEFAULT_MAX_PIXELS
from vqa.extract.sampling import sample_frames
from vqa.extract.timeline import DEFAULT_MAX_SECONDS
from vqa.extract.video import decode_frames, read_timeline
from vqa.rlimits import usable_cores
from vqa.urls import Place

LONGEST_SIDE = 320
"""Of a picture, in pixels."""
_QUALITY = 80
_MOST_SECONDS = 60


@dataclass(frozen=True)
class StillLimits:
    """What one picture may cost."""

    max_pixels: int = DEFAULT_MAX_PIXELS
    """A video with larger frames has none."""
    max_duration_seconds: float = DEFAULT_MAX_SECONDS
    """A longer video has none."""
    seconds: int = _MOST_SECONDS
    """After which it is given up."""
    memory_bytes: int = 4 << 30
    """What its process may take beside its libraries."""


def take_stills(
    videos: Sequence[Place],
    limits: StillLimits | None = None,
    *,
    told: Callable[[int], None] = lambda _: None,
) -> list[bytes | None]:
    """Return the frame in the middle of each video as JPEG, upright, no side longer than 320 pixels.

    Args:
        videos: The files.
        limits: On each.
        told: Called with the number of videos done, after each.

    Returns:
        None for a video that can't be read within the limits.
    """
    bounds = limits or StillLimits()
    with ThreadPoolExecutor(usable_cores(), "vqa-stills") as pool:
        waiting = [pool.submit(_still, video, bounds) for video in videos]
        for done, _ in enumerate(as_completed(waiting), start=1):
            told(done)
        return [each.result() for each in waiting]


def _still(video: Place, limits: StillLimits) -> bytes | None:
    numbers = (limits.max_pixels, limits.max_duration_seconds, limits.seconds, limits.memory_bytes)
    try:
        with local_copy(video) as file:
            return base64.b64decode(
                read_apart(__name__, str(file.absolute()), *map(str, numbers), seconds=limits.seconds), validate=True
            )
    except (
        UnreadableError,
        ValueError,
        OSError,
        StorageError,
    ):
        # also a name with a null byte, or too long for a command line
        return None


def middle_frame(video: Path, limits: StillLimits) -> bytes:
    """Return the frame in the middle of a video as JPEG.

    Raises:
        VideoError: the video can't be used.
    """
    timeline = read_timeline(video, max_pixels=limits.max_pixels, max_seconds=limits.max_duration_seconds)
    middle = sample_frames(timeline.pts_seconds, timeline.end_seconds, 1)
    _, rgb = next(decode_frames(video, timeline, np.unique(middle), max_pixels=limits.max_pixels))
    picture = Image.fromarray(rgb)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _main(video: str, max_pixels: str, max_duration_seconds: str, seconds: str, memory_bytes: str) -> None:
    """Write a video's still picture to stdout, in base64."""
    limits = StillLimits(int(max_pixels), float(max_duration_seconds), int(seconds), int(memory_bytes))
    hold_reader(memory_bytes=limits.memory_bytes, seconds=limits.seconds)
    try:
        jpeg = middle_frame(Path(video), limits)
    except VideoError as error:
        sys.exit(str(error))
    sys.stdout.write(base64.b64encode(jpeg).decode())


if __name__ == "__main__":
    _main(*sys.argv[1:])
