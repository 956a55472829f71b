"""One pass over a video file for all candidates: the union of their frames, each distinct view computed once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vqa.errors import VideoError
from vqa.extract.sampling import sample_dense_clips, sample_frames, sample_runs
from vqa.extract.spec import Candidate, NativeInput
from vqa.extract.video import DEFAULT_MAX_PIXELS, DEFAULT_MAX_SECONDS, Timeline, decode_frames, read_timeline
from vqa.extract.views import View, render, view_of


@dataclass(frozen=True)
class Stamp:
    """What tells that a file is still the one whose bytes were hashed."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, eq=False)
class Items:
    """What a candidate looks at: frames, clips, or runs of consecutive frames."""

    frames: NDArray[np.intp]
    """Indices into the timeline, shape (I, n): n = 1 for single frames."""
    pts_seconds: NDArray[np.float64]
    """Time of each item, of its middle where it is a clip; shape (I,), in seconds."""


@dataclass(frozen=True, eq=False)
class DecodedInput:
    """What one candidate is to see of one video: where its frames lie, or what was measured on the spot."""

    pts_seconds: NDArray[np.float64]
    """Shape (I,)."""
    rows: NDArray[np.intp]
    """Shape (I, n): rows of the view's block that make up each item; (0, 0) for a native candidate."""
    block: int = -1
    """Which of the video's blocks; -1 for a native candidate."""
    values: NDArray[np.float32] | None = None
    """Of a native candidate: its features, shape (I, D)."""
    seconds: float = 0.0
    """Of a native candidate: the time it took."""
    error: str = ""
    """Why this candidate has no features of this video."""


@dataclass(frozen=True)
class Block:
    """All frames of one view, end to end in the buffer: uint8, shape (count, 3, h, w)."""

    offset: int
    """Bytes from the buffer's start."""
    shape: tuple[int, int, int, int]

    def within(self, buffer: memoryview) -> Tensor:
        """Return the block's frames, sharing the buffer's memory."""
        count = int(np.prod(self.shape))
        return torch.from_numpy(np.frombuffer(buffer, np.uint8, count, self.offset).reshape(self.shape))


@dataclass(frozen=True, eq=False)
class DecodedVideo:
    """What a decode worker reports; the pixels themselves stay in the shared buffer."""

    blocks: tuple[Block, ...]
    inputs: tuple[DecodedInput, ...]
    """In the order of the candidates asked for."""
    frames: int
    """Distinct frames that were decoded and looked at."""
    seconds: float


def find_items(timeline: Timeline, candidate: Candidate) -> Items:
    """Return what a candidate looks at; single frames are distinct, a clip keeps its length and repeats frames."""
    times, end = timeline.pts_seconds, timeline.end_seconds
    spec, count = candidate.input, candidate.spec.frames
    if isinstance(spec, NativeInput):
        runs = sample_runs(times, end, count=count, run=spec.run)
        return Items(runs, times[runs[:, 0]])
    if not spec.clip_frames:
        frames = np.unique(sample_frames(times, end, count))
        return Items(frames[:, None], times[frames])
    if not candidate.spec.clips:
        return Items(sample_frames(times, end, spec.clip_frames)[None], np.array([end / 2]))
    clips = sample_dense_clips(times, end, clips=candidate.spec.clips, clip_frames=spec.clip_frames, fps=spec.clip_fps)
    return Items(clips, (times[clips[:, 0]] + times[clips[:, -1]]) / 2)


def bytes_needed(candidates: Sequence[Candidate]) -> int:
    """Return how much memory the views of any one video can take, whatever its length; in bytes."""
    counts: dict[View, set[tuple[int, int]]] = {}
    for candidate in candidates:
        if not isinstance(candidate.input, NativeInput):
            rule = (candidate.clip_frames or candidate.spec.frames, candidate.spec.clips)
            counts.setdefault(view_of(candidate), set()).add(rule)
    return sum(view.frame_bytes * frames * max(1, clips) for view, rules in counts.items() for frames, clips in rules)


def decode_video(
    path: Path,
    candidates: Sequence[Candidate],
    measures: Mapping[Candidate, nn.Module],
    buffer: memoryview,
    *,
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
        buffer: At least `bytes_needed(candidates)` bytes.
        max_pixels: Larger frames are refused.
        max_seconds: Videos that last longer are refused.
        threads: Of the codec.
        stamp: What the file was when its bytes were hashed; if not given, what it is now.

    Raises:
        VideoError: the file can't be used, or is no longer the one that was hashed; the message says why.
    """
    started = time.perf_counter()
    stamp = _checked_stamp(path, stamp)
    timeline = read_timeline(path, max_pixels=max_pixels, max_seconds=max_seconds)
    items = [find_items(timeline, candidate) for candidate in candidates]
    views = _Views(candidates, items, buffer)
    runs = {
        position: _Runs(measures[candidate], entry)
        for position, (candidate, entry) in enumerate(zip(candidates, items, strict=True))
        if isinstance(candidate.input, NativeInput)
    }
    union = np.unique(np.concatenate([entry.frames.ravel() for entry in items]))
    for index, rgb in decode_frames(path, timeline, union, threads=threads, max_pixels=max_pixels):
        views.take(index, rgb)
        for run in runs.values():
            run.take(index, rgb)
    _checked_stamp(path, stamp)
    inputs = [
        runs[position].result() if position in runs else views.result(position) for position in range(len(candidates))
    ]
    return DecodedVideo(views.blocks, tuple(inputs), len(union), time.perf_counter() - started)


def read_stamp(path: Path) -> Stamp:
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


def _checked_stamp(path: Path, expected: Stamp | None) -> Stamp:
    """Refuse a file that is not the one whose bytes were hashed: its features would stand under another's key."""
    found = read_stamp(path)
    if expected is not None and found != expected:
        raise VideoError("the file changed while it was read; run again when it is written to its end")
    return found


class _Views:
    """Shrinks each frame to the views that want it, as soon as it is decoded: no more than one stays at full size."""

    def __init__(self, candidates: Sequence[Candidate], items: Sequence[Items], buffer: memoryview) -> None:
        self._items = items
        self._view_of = {
            position: view_of(candidate)
            for position, candidate in enumerate(candidates)
            if not isinstance(candidate.input, NativeInput)
        }
        self._views = list(dict.fromkeys(self._view_of.values()))
        self._frames = [
            np.unique(np.concatenate([items[p].frames.ravel() for p, other in self._view_of.items() if other == view]))
            for view in self._views
        ]
        self.blocks = self._lay_out()
        self._pixels = [block.within(buffer) for block in self.blocks]
        self._row_of = [{int(frame): row for row, frame in enumerate(frames)} for frames in self._frames]

    def _lay_out(self) -> tuple[Block, ...]:
        blocks, offset = [], 0
        for view, frames in zip(self._views, self._frames, strict=True):
            blocks.append(Block(offset, (len(frames), 3, *view.crop)))
            offset += view.frame_bytes * len(frames)
        return tuple(blocks)

    def take(self, index: int, rgb: NDArray[np.uint8]) -> None:
        """Render a frame for every view that wants it."""
        for view, rows, pixels in zip(self._views, self._row_of, self._pixels, strict=True):
            if index in rows:
                pixels[rows[index]] = render(rgb, view)

    def result(self, position: int) -> DecodedInput:
        """Return where a candidate's items lie."""
        block = self._views.index(self._view_of[position])
        items = self._items[position]
        return DecodedInput(items.pts_seconds, np.searchsorted(self._frames[block], items.frames), block)


class _Runs:
    """Measures a native candidate's runs of full frames, each as soon as its last frame is there."""

    def __init__(self, network: nn.Module, items: Items) -> None:
        self._network, self._items = network, items
        self._held: dict[int, dict[int, NDArray[np.uint8]]] = {}
        self._wanted_by: dict[int, list[int]] = {}
        for item, frames in enumerate(items.frames):
            for frame in set(frames.tolist()):
                self._wanted_by.setdefault(frame, []).append(item)
        self._values: dict[int, NDArray[np.float32]] = {}
        self._seconds, self._error = 0.0, ""

    def take(self, index: int, rgb: NDArray[np.uint8]) -> None:
        """Keep a frame until the runs it belongs to are whole."""
        for item in self._wanted_by.get(index, ()) if not self._error else ():
            held = self._held.setdefault(item, {})
            held[index] = rgb
            frames = self._items.frames[item].tolist()
            if held.keys() == set(frames):
                del self._held[item]
                self._measure(item, [held[frame] for frame in frames])

    def _measure(self, item: int, frames: Sequence[NDArray[np.uint8]]) -> None:
        started = time.perf_counter()
        if len({frame.shape for frame in frames}) > 1:
            self._error = "the resolution changes between consecutive frames; re-encode the video to one size"
            return
        run = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None]
        try:
            with torch.inference_mode():
                self._values[item] = self._network(run)[0].numpy()
        except VideoError as error:
            self._error, self._held = str(error), {}
        self._seconds += time.perf_counter() - started

    def result(self) -> DecodedInput:
        """Return the features of all items, or why there are none."""
        none = np.empty((0, 0), np.intp)
        if self._error:
            return DecodedInput(self._items.pts_seconds, none, error=self._error, seconds=self._seconds)
        values = np.stack([self._values[item] for item in range(len(self._items.frames))])
        return DecodedInput(self._items.pts_seconds, none, values=values, seconds=self._seconds)
