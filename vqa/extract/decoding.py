"""One pass over a video, a file or frames that are decoded already, for all candidates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vqa.errors import TransientError, VideoError
from vqa.extract.items import Span, find_items
from vqa.extract.looking import Block, DecodedInput, DecodedVideo, look_at, wanted_frames
from vqa.extract.reading import describe_reading
from vqa.extract.spec import Candidate
from vqa.extract.video import (
    DEFAULT_MAX_PIXELS,
    DEFAULT_MAX_SECONDS,
    FalseTimelineError,
    Passage,
    Timeline,
    decode_frames,
    read_timeline,
)
from vqa.files import inode_and_change, may_change_unseen, sha256_of
from vqa.urls import Place

_CHANGED = "the file changed while it was read; run again when it is written to its end"


@dataclass(frozen=True)
class Stamp:
    """What tells that a file is still the one whose bytes were hashed."""

    size: int
    mtime_ns: int
    inode: int = 0
    changed_ns: int = 0
    """Last change of the file or its names (ctime), which no program can set; 0, as the inode, where it is not known.
    """


class TouchedError(TransientError):
    """A file's inode or time of change is another one than before it was decoded, and nothing else: decode it again."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames of one video.

    Raises:
        VideoError: they are not of these shapes and types, or times do not ascend.
    """

    rgb: NDArray[np.uint8]
    """Pixels, shape (T, H, W, 3), T of 2 or more: R'G'B', full range 0 to 255, upright."""
    pts_seconds: NDArray[np.float64]
    """Presentation time of each frame, shape (T,), in seconds, ascending."""

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 4 or self.rgb.shape[-1] != 3 or 0 in self.rgb.shape:
            raise VideoError(
                f"frames are {self.rgb.dtype} of shape {self.rgb.shape}; give uint8 of shape (T, H, W, 3), 0 to 255"
            )
        if len(self.rgb) < 2:
            raise VideoError("there is 1 frame; a video needs at least 2")
        if self.pts_seconds.shape != (len(self.rgb),):
            raise VideoError(
                f"{len(self.rgb)} frames have times of shape {self.pts_seconds.shape}; give one time for each frame"
            )
        if not (np.isfinite(self.pts_seconds).all() and (np.diff(self.pts_seconds) > 0).all()):
            raise VideoError("times of frames must be finite and ascend; give them in seconds, in the order shown")

    @property
    def times(self) -> NDArray[np.float64]:
        """Presentation times from the first frame on, shape (T,), in seconds."""
        times: NDArray[np.float64] = self.pts_seconds - self.pts_seconds[0]
        return times

    @property
    def end_seconds(self) -> float:
        """When the last frame leaves the screen: after the median distance of the others."""
        return float(self.times[-1] + np.median(np.diff(self.pts_seconds)))


def decode_video(
    path: Path,
    candidates: Sequence[Candidate],
    measures: Mapping[Candidate, nn.Module],
    buffer: memoryview,
    *,
    spans: Sequence[Span] = (),
    timeline: Timeline | None = None,
    passage: Passage | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_seconds: float = DEFAULT_MAX_SECONDS,
    threads: int = 1,
    stamp: Stamp | None = None,
    key: str = "",
) -> DecodedVideo:
    """Decode a video once; write each view's frames into the buffer, and measure for the native candidates.

    Args:
        path: The video file.
        candidates: Who needs it.
        measures: The networks of the native ones among them.
        buffer: At least `bytes_needed(candidates)` bytes for each span.
        spans: Parts of the video to look at; none for all of it.
        timeline: What `read_timeline` said of it, where that is known.
        passage: Where decoding of it was left, if it is looked at in parts.
        max_pixels: Larger frames are refused.
        max_seconds: Videos that last longer are refused.
        threads: Of the codec.
        stamp: What the file was when its bytes were hashed; if not given, what it is now.
        key: The SHA-256 of those bytes; they are hashed again where a stamp leaves doubt. Empty where it is not known.

    Raises:
        VideoError: the file can't be used; the message says why.
        TransientError: it is no longer the one that was hashed, or does not keep still.
    """
    started = time.perf_counter()
    stamp = checked_stamp(path, stamp, key)
    passage = passage or Passage()
    timeline = passage.timeline or timeline
    if timeline is None:
        timeline = read_timeline(path, max_pixels=max_pixels, max_seconds=max_seconds)

    def look(timeline: Timeline) -> tuple[tuple[Block, ...], tuple[DecodedInput, ...], int]:
        times, end = timeline.pts_seconds, timeline.end_seconds
        items = [find_items(times, end, candidate, spans) for candidate in candidates]
        union = wanted_frames(items)
        frames = decode_frames(path, timeline, union, threads=threads, max_pixels=max_pixels, passage=passage)
        try:
            return *look_at(frames, candidates, items, measures, buffer), len(union)
        except VideoError as error:
            error.reading = describe_reading(timeline, passage.colour)
            raise

    try:
        blocks, inputs, looked = look(timeline)
    except FalseTimelineError:
        timeline = read_timeline(path, max_pixels=max_pixels, max_seconds=max_seconds, decoded=True)
        passage.timeline = timeline
        blocks, inputs, looked = look(timeline)
    _require_untouched(path, stamp, key)
    reading = describe_reading(timeline, passage.colour)
    return DecodedVideo(blocks, inputs, looked, time.perf_counter() - started, reading)


def look_at_frames(
    frames: Frames,
    candidates: Sequence[Candidate],
    measures: Mapping[Candidate, nn.Module],
    buffer: memoryview,
    *,
    spans: Sequence[Span] = (),
) -> DecodedVideo:
    """Do with decoded frames what `decode_video` does with a file; arguments as there."""
    started = time.perf_counter()
    times, end = frames.times, frames.end_seconds
    items = [find_items(times, end, candidate, spans) for candidate in candidates]
    union = wanted_frames(items)
    indexed = ((int(index), np.require(frames.rgb[index], requirements=["C", "W"])) for index in union)
    blocks, inputs = look_at(indexed, candidates, items, measures, buffer)
    return DecodedVideo(blocks, inputs, len(union), time.perf_counter() - started)


def read_stamp(path: Place) -> Stamp:
    """Return a file's stamp.

    Raises:
        VideoError: the file can't be opened.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"the file can't be opened ({reason}); check the path and its permissions") from error
    return Stamp(status.st_size, status.st_mtime_ns, *inode_and_change(status))


def checked_stamp(path: Place, expected: Stamp | None, key: str = "") -> Stamp:
    """Refuse a file that is not the one whose bytes were hashed: its features would stand under another's key.

    Where only its inode or its time of change are others (it was copied, or got a link or other permissions, or was
    swapped for one that was made to look alike), a local file is hashed again, if its key is known.

    Returns:
        What it is now.

    Raises:
        VideoError: it can't be read.
        TransientError: it is another one.
    """
    found = read_stamp(path)
    if expected is None or found == expected:
        return found
    if (found.size, found.mtime_ns) != (expected.size, expected.mtime_ns) or not _holds(path, key):
        raise TransientError(_CHANGED)
    return found


def _require_untouched(path: Path, before: Stamp, key: str) -> None:
    """Refuse a file that was touched while it was decoded, or may have been within one tick of the clock."""
    now = checked_stamp(path, before)
    if now != before:
        raise TouchedError(_CHANGED)
    if key and may_change_unseen(now.changed_ns) and not _holds(path, key):
        raise TransientError(_CHANGED)


def _holds(path: Place, key: str) -> bool:
    """Return whether a file has the bytes of a key; of one that is not known nothing can be said against it."""
    try:
        return not key or sha256_of(path) == key
    except OSError as error:
        raise VideoError(f"the file can't be read ({error.strerror or error}); check the disk") from error
