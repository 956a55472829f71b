"""One device's share of the work: models in turn over a round of decoded videos, in batches that span videos."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vqa.errors import VqaError
from vqa.extract.decoding import DecodedInput, DecodedVideo
from vqa.extract.model import Model, run_network
from vqa.extract.options import Share
from vqa.extract.residency import Residency
from vqa.extract.spec import Candidate

if TYPE_CHECKING:
    from vqa.extract.engine import Job
    from vqa.extract.workers import Slot

_IN_FLIGHT = 2
"""Batches on their way at once on a device that works by itself: one computes while the next is put together."""


@dataclass(frozen=True, eq=False)
class Work:
    """A decoded video on its way to the models."""

    job: Job
    slot: Slot
    decoded: DecodedVideo

    def input_of(self, model: int) -> DecodedInput:
        """Return what a model of the job is to see."""
        return self.decoded.inputs[self.job.models.index(model)]

    def frames_of(self, model: int) -> Tensor:
        """Return all frames of the view a model looks at, uint8 (count, 3, h, w), in shared memory."""
        return self.slot.block(self.decoded.blocks[self.input_of(model).block])


@dataclass(frozen=True, eq=False)
class Result:
    """Features of one video by one model."""

    work: Work
    model: int
    values: NDArray[np.float32]
    """Shape (I, D)."""
    seconds: float


@dataclass(eq=False)
class _Video:
    """One video's rows on their way through one model."""

    work: Work
    rows: int
    outputs: list[Tensor] = field(default_factory=list)
    done: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class _Launched:
    """A batch whose features are being computed."""

    parts: Sequence[tuple[_Video, int]]
    """Whose rows it holds, and how many of each, in order."""
    features: Tensor
    ready: torch.cuda.Event | None


class Runner:
    """Runs rounds on one device, in a thread of its own.

    Args:
        models: By their position in the run.
        share: Where they run; the batch is halved for a model whose batch does not fit into the device's memory.
    """

    def __init__(self, models: Mapping[int, Model], share: Share) -> None:
        self.device = device = share.device
        self._models = models
        self._batch = dict.fromkeys(models, share.batch)
        self._residency = Residency({index: model.network for index, model in models.items()}, device)
        self._stop = threading.Event()
        # torch keeps the number of threads for each thread that calls it.
        self._thread = ThreadPoolExecutor(1, f"vqa-{device}", torch.set_num_threads, (share.threads,))
        self._round: list[Work] = []

    @property
    def takes_turns(self) -> bool:
        """Whether the models do not fit on the device together."""
        return self._residency.takes_turns

    def start(
        self, works: Sequence[Work], emit: Callable[[Result], None], done: Callable[[BaseException | None], None]
    ) -> None:
        """Run all models on these videos; `emit` gets every result, then `done` is called, both from the thread."""
        self._round = list(works)
        self._thread.submit(self._run, self._round, emit).add_done_callback(lambda future: done(future.exception()))

    def finished(self) -> list[Work]:
        """Return the videos of the round that has ended."""
        works, self._round = self._round, []
        return works

    def close(self) -> None:
        """Stop after the batch in flight."""
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, works: Sequence[Work], emit: Callable[[Result], None]) -> None:
        for index in self._models:
            todo = [_Video(work, len(work.input_of(index).rows)) for work in works if index in work.job.models]
            if todo:
                self._run_model(index, todo, emit)

    def _run_model(self, index: int, todo: Sequence[_Video], emit: Callable[[Result], None]) -> None:
        network = self._residency.place(index)
        candidate = self._models[index].candidate
        started = time.perf_counter()
        for launched in self._launches(index, network, candidate, todo):
            features = _fetched(launched)
            seconds, started = time.perf_counter() - started, time.perf_counter()
            for (video, count), part in zip(launched.parts, _split(features, launched.parts), strict=True):
                video.outputs.append(part)
                video.done += count
                video.seconds += seconds * count / len(features)
                if video.done == video.rows:
                    emit(Result(video.work, index, torch.cat(video.outputs).numpy(), video.seconds))
                    video.outputs = []

    def _launches(
        self, index: int, network: nn.Module, candidate: Candidate, todo: Sequence[_Video]
    ) -> Iterator[_Launched]:
        """Yield batches in order, each launched before the one before it is fetched where the device works by itself.

        Batches span videos:   |a a a a a b b b|b b c c c c c c|d d d|
        """
        rows = [(video, row) for video in todo for row in range(video.rows)]
        pending: deque[_Launched] = deque()
        while rows and not self._stop.is_set():
            size = max(1, self._batch[index] // max(1, candidate.clip_frames))
            batch = rows[:size]
            try:
                pending.append(self._launch(network, candidate, index, batch, alone=size == 1))
            except torch.OutOfMemoryError as error:
                self._halve(index, candidate, size, error)
                continue
            rows = rows[size:]
            if len(pending) >= (_IN_FLIGHT if pending[-1].ready else 1):
                yield pending.popleft()
        if not self._stop.is_set():
            yield from pending

    def _halve(self, index: int, candidate: Candidate, size: int, error: Exception) -> None:
        """Go on with half the batch; a batch of one that does not fit can't be mended."""
        torch.cuda.empty_cache()
        if size == 1:
            raise VqaError(
                f"{candidate}: not even one input fits into the memory of {self.device}; free it, or use --device cpu"
            ) from error
        self._batch[index] = size // 2 * max(1, candidate.clip_frames)

    def _launch(
        self, network: nn.Module, candidate: Candidate, index: int, batch: Sequence[tuple[_Video, int]], *, alone: bool
    ) -> _Launched:
        frames = self._gather(index, candidate, batch)
        if len(frames) == 1 and not alone:
            # Kernels for one row add up in another order than those for many: two equal rows are computed like many.
            frames = frames.expand(2, *frames.shape[1:])
        features = run_network(network, frames.to(self.device, non_blocking=True), candidate)[: len(batch)]
        parts: dict[_Video, int] = {}
        for video, _ in batch:
            parts[video] = parts.get(video, 0) + 1
        if self.device.type != "cuda":
            return _Launched(tuple(parts.items()), features.cpu(), None)
        pinned = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        pinned.copy_(features, non_blocking=True)
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record(torch.cuda.current_stream(self.device))
        return _Launched(tuple(parts.items()), pinned, ready)

    def _gather(self, index: int, candidate: Candidate, batch: Sequence[tuple[_Video, int]]) -> Tensor:
        """Copy the batch's pixels out of shared memory, into pinned memory where a GPU fetches them by itself."""
        height, width = self._models[index].input.crop
        clip = (candidate.clip_frames,) if candidate.clip_frames else ()
        frames = torch.empty(
            (len(batch), *clip, 3, height, width), dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        for target, (video, row) in zip(frames, batch, strict=True):
            rows = video.work.input_of(index).rows[row]
            pixels = video.work.frames_of(index)
            target.copy_(pixels[torch.from_numpy(rows)] if clip else pixels[int(rows[0])])
        return frames


def _fetched(launched: _Launched) -> Tensor:
    if launched.ready is not None:
        launched.ready.synchronize()
    return launched.features


def _split(features: Tensor, parts: Sequence[tuple[_Video, int]]) -> tuple[Tensor, ...]:
    return torch.split(features, [count for _, count in parts])
