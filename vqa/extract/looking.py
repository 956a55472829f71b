"""What is done with decoded frames: each is shrunk to the views that want it, or measured, as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vqa.errors import VideoError
from vqa.extract.items import Items
from vqa.extract.spec import Candidate, NativeInput
from vqa.extract.views import render, view_of
from vqa.records import Reading


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
    parts: tuple[NDArray[np.intp], ...] = ()
    """For each span that was asked for, the rows of its items; none for a whole video."""


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
    reading: Reading | None = None
    """How the file was read; None for frames that a caller gave."""


Indexed = Iterable[tuple[int, NDArray[np.uint8]]]
"""Frames with their indices: pixels R'G'B', full range 0 to 255, shape (H, W, 3)."""


def look_at(
    frames: Indexed,
    candidates: Sequence[Candidate],
    items: Sequence[Items],
    measures: Mapping[Candidate, nn.Module],
    buffer: memoryview,
) -> tuple[tuple[Block, ...], tuple[DecodedInput, ...]]:
    """Write each view's frames into the buffer, and measure for the native candidates.

    Args:
        frames: All that `items` name, in the order of `wanted_frames`.
        candidates: Who looks.
        items: At what, for each candidate.
        measures: The networks of the native ones among them.
        buffer: At least `bytes_needed(candidates)` bytes for each span.

    Returns:
        The views' blocks, and what each candidate is to see.
    """
    views = Views(candidates, items, buffer)
    runs = {
        position: Runs(measures[candidate], entry)
        for position, (candidate, entry) in enumerate(zip(candidates, items, strict=True))
        if isinstance(candidate.input, NativeInput)
    }
    for index, rgb in frames:
        views.take(index, rgb)
        for run in runs.values():
            run.take(index, rgb)
    inputs = [
        runs[position].result() if position in runs else views.result(position) for position in range(len(candidates))
    ]
    return views.blocks, tuple(inputs)


def wanted_frames(items: Sequence[Items]) -> NDArray[np.intp]:
    """Return the union of the frames that all candidates look at, ascending."""
    union: NDArray[np.intp] = np.unique(np.concatenate([entry.frames.ravel() for entry in items]))
    return union


class Views:
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
        rows = np.searchsorted(self._frames[block], items.frames)
        return DecodedInput(items.pts_seconds, rows, block, parts=items.parts)


class Runs:
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
        return DecodedInput(
            self._items.pts_seconds, none, values=values, seconds=self._seconds, parts=self._items.parts
        )
