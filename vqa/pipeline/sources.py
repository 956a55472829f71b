"""What is to be scored: a file or decoded frames, with what tells it from others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqa.copies import local_copy
from vqa.errors import VideoError
from vqa.extract.decoding import Frames, Stamp, read_stamp
from vqa.pipeline.reuse import FeatureCache
from vqa.urls import Place, place_of

Pixels = NDArray[np.uint8]
"""Decoded frames, shape (T, H, W, 3): R'G'B', full range 0 to 255, upright."""
Video = str | Path | tuple[Pixels, ArrayLike]
"""A file, or its URL as text; or decoded frames, and when each is shown, shape (T,), ascending, in seconds."""

_DECODED = "decoded frames"


@dataclass(frozen=True, eq=False)
class Source:
    """A video that is to be scored."""

    name: str
    """Its path as it was given; of decoded frames that they are such."""
    content: Place | Frames
    key: str
    """Empty where no cache is asked, or none can know it."""
    stamp: Stamp | None
    """Of a file."""


def name_of(video: Video) -> str:
    """Return what to call a video."""
    return str(video) if isinstance(video, str | Path) else _DECODED


def open_source(video: Video, cache: FeatureCache | None = None) -> Source:
    """Look at what is to be scored, without decoding it.

    Args:
        video: A file, or decoded frames with their times.
        cache: Where its features may lie.

    Raises:
        VideoError: the file can't be read, or the frames are none.
        CacheError: the cache can't be read.
    """
    if not isinstance(video, str | Path):
        return Source(_DECODED, _as_frames(video), "", None)
    path = place_of(video)
    stamp = read_stamp(path)
    key = "" if cache is None else cache.key(path)
    return Source(str(video), path, key, stamp)


@contextlib.contextmanager
def held_here(source: Source) -> Iterator[Source]:
    """Give a source whose file is local, for what reads it several times; for as long as the block runs.

    Raises:
        VideoError: a remote file can't be fetched.
    """
    if isinstance(source.content, Path | Frames):
        yield source
        return
    try:
        copies = contextlib.ExitStack()
        copy = copies.enter_context(local_copy(source.content))
    except OSError as error:
        raise VideoError(f"{source.name}: can't be fetched ({error.strerror or error}); check the address") from error
    with copies:
        yield replace(source, content=copy, stamp=None)


def pair(video: str | Path | Pixels, pts_seconds: ArrayLike | None) -> Video:
    """Return one video from the two arguments that say it.

    Raises:
        VideoError: frames without times, or a file with some.
    """
    if isinstance(video, str | Path):
        if pts_seconds is not None:
            raise VideoError(f"{video}: times belong to decoded frames; a file has its own, leave them out")
        return video
    if not isinstance(video, np.ndarray):
        raise VideoError(f"a video can't be a {type(video).__name__}; give a path, or an array of decoded frames")
    if pts_seconds is None:
        raise VideoError(f"{_DECODED} have no times; give pts_seconds, when each of them is shown")
    return video, pts_seconds


def _as_frames(video: Any) -> Frames:
    """Return decoded frames from what a caller gave."""
    try:
        rgb, times = video
        pixels, seconds = np.asarray(rgb), np.asarray(times)
    except (TypeError, ValueError) as error:
        raise VideoError(
            f"this is neither a file nor a pair of frames and times ({error}); give a path, or (frames, times)"
        ) from error
    if seconds.dtype.kind not in "fiu":
        raise VideoError(f"times of frames are {seconds.dtype}, no real numbers; give them in seconds")
    return Frames(pixels, seconds.astype(np.float64))
