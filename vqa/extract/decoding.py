"""One pass over a video, a file or frames that are decoded already, for all candidates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vqa.errors import VideoError
from vqa.extract.items import Span, find_items
from vqa.extract.looking import DecodedVideo, look_at, wanted_frames
from vqa.extract.spec import Candidate
from vqa.extract.video import DEFAULT_MAX_PIXELS, DEFAULT_MAX_SECONDS, Passage, Timeline, decode_frames, read_timeline
from vqa.urls import Place


@dataclass(frozen=True)
class Stamp:
    """What tells that a file is still the one whose bytes were hashed."""

    size: int
    mtime_ns: int


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

    Raises:
        VideoError: the file can't be used, or is no longer the one that was hashed; the message says why.
    """
    started = time.perf_counter()
    stamp = checked_stamp(path, stamp)
    if timeline is None:
        timeline = read_timeline(path, max_pixels=max_pixels, max_seconds=max_seconds)
    times, end = timeline.pts_seconds, timeline.end_seconds
    items = [find_items(times, end, candidate, spans) for candidate in candidates]
    union = wanted_frames(items)
    frames = decode_frames(path, timeline, union, threads=threads, max_pixels=max_pixels, passage=passage)
    try:
        blocks, inputs = look_at(frames, candidates, items, measures, buffer)
    except VideoError as error:
        error.reading = timeline.reading
        raise
    checked_stamp(path, stamp)
    return DecodedVideo(blocks, inputs, len(union), time.perf_counter() - started, timeline.reading)


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
    return Stamp(status.st_size, status.st_mtime_ns)


def checked_stamp(path: Place, expected: Stamp | None) -> Stamp:
    """Refuse a file that is not the one whose bytes were hashed: its features would stand under another's key."""
    found = read_stamp(path)
    if expected is not None and found != expected:
        raise VideoError("the file changed while it was read; run again when it is written to its end")
    return found
