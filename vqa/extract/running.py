"""One device's share of the work: models in turn over a round of decoded videos, in batches that span videos."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa.errors import VqaError
from vqa.extract.launching import Computed, Launcher
from vqa.extract.looking import DecodedInput, DecodedVideo
from vqa.extract.model import Model, run_network
from vqa.extract.options import Share
from vqa.extract.residency import Residency

if TYPE_CHECKING:
    from vqa.extract.jobs import Job
    from vqa.extract.slots import Slot


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

    model: int
    rows: Sequence[tuple[_Video, int]]
    """Whose rows it holds, and which."""
    fetch: Callable[[], Computed]


class Runner:
    """Runs rounds on one device, in a thread of its own.

    Args:
        models: By their position in the run.
        share: Where they run; the batch is halved for a model whose batch does not fit into the device's memory.
        launcher: Computes the batches.
    """

    def __init__(self, models: Mapping[int, Model], share: Share, launcher: Launcher) -> None:
        self.device = share.device
        self._models = models
        self._launcher = launcher
        self._batch = dict.fromkeys(models, share.batch)
        self._residency = Residency({index: model.network for index, model in models.items()}, share.device)
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, f"vqa-{share.device}")
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
        """Stop after the batches in flight."""
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, works: Sequence[Work], emit: Callable[[Result], None]) -> None:
        """Launch all batches in order, each before those before it are fetched where the device works by itself."""
        pending: deque[_Launched] = deque()
        for launched in self._launches(works):
            pending.append(launched)
            if len(pending) >= self._launcher.in_flight:
                _finish(pending.popleft(), emit)
        while pending and not self._stop.is_set():
            _finish(pending.popleft(), emit)

    def _launches(self, works: Sequence[Work]) -> Iterator[_Launched]:
        """Launch batches, one model after the other.

        Batches span videos:   |a a a a a b b b|b b c c c c c c|d d d|
        """
        for index in self._models:
            todo = [_Video(work, len(work.input_of(index).rows)) for work in works if index in work.job.models]
            rows = [(video, row) for video in todo for row in range(video.rows)]
            clip_frames = self._models[index].candidate.clip_frames
            while rows and not self._stop.is_set():
                size = max(1, self._batch[index] // max(1, clip_frames))
                try:
                    launched = self._launch(index, rows[:size], alone=size == 1)
                except torch.OutOfMemoryError as error:
                    self._halve(index, size, error)
                    continue
                rows = rows[size:]
                yield launched

    def _halve(self, index: int, size: int, error: Exception) -> None:
        """Go on with half the batch, one input with the device to itself; if that does not fit, nothing will."""
        torch.cuda.empty_cache()
        candidate = self._models[index].candidate
        if size == 1 and self._residency.keep_only(index):
            return
        if size == 1:
            raise VqaError(
                f"{candidate}: not even one input fits into the memory of {self.device}; free it, or use --device cpu"
            ) from error
        self._batch[index] = size // 2 * max(1, candidate.clip_frames)

    def _launch(self, index: int, rows: Sequence[tuple[_Video, int]], *, alone: bool) -> _Launched:
        network = self._residency.place(index)

        def compute() -> Tensor:
            frames = self._gather(index, rows)
            if len(frames) == 1 and not alone:
                # Kernels for one row add up in another order than those for many: two equal rows go through the latter.
                frames = frames.expand(2, *frames.shape[1:])
            on_device = frames.to(self.device, non_blocking=self.device.type == "cuda")
            return run_network(network, on_device, self._models[index].candidate)[: len(rows)]

        return _Launched(index, rows, self._launcher.launch(compute))

    def _gather(self, index: int, rows: Sequence[tuple[_Video, int]]) -> Tensor:
        """Copy the batch's pixels out of shared memory, into pinned memory where a GPU fetches them by itself."""
        height, width = self._models[index].input.crop
        clip_frames = self._models[index].candidate.clip_frames
        clip = (clip_frames,) if clip_frames else ()
        frames = torch.empty(
            (len(rows), *clip, 3, height, width), dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        for target, (video, row) in zip(frames, rows, strict=True):
            places = video.work.input_of(index).rows[row]
            pixels = video.work.frames_of(index)
            target.copy_(pixels[torch.from_numpy(places)] if clip else pixels[int(places[0])])
        return frames


def _finish(launched: _Launched, emit: Callable[[Result], None]) -> None:
    """Wait for a batch and hand its rows to their videos; emit those that are whole."""
    computed = launched.fetch()
    counts: dict[_Video, int] = {}
    for video, _ in launched.rows:
        counts[video] = counts.get(video, 0) + 1
    for (video, count), part in zip(counts.items(), torch.split(computed.features, list(counts.values())), strict=True):
        video.outputs.append(part)
        video.done += count
        video.seconds += computed.seconds * count / len(launched.rows)
        if video.done == video.rows:
            emit(Result(video.work, launched.model, torch.cat(video.outputs).numpy(), video.seconds))
            video.outputs = []
