"""What runs cost: wall and CPU time, the CPU time of the bare work in them, and peak memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil
import torch
from contenders import CPU

from vqa.extract.model import Model
from vqa.extract.options import EngineOptions
from vqa.extract.sampling import sample_frames
from vqa.extract.video import decode_frames, read_timeline
from vqa.extract.views import normalise


def cpu_seconds() -> float:
    """Return the CPU time of this process, its workers, and those that ended."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in family)


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    action()
    return time.perf_counter() - wall, cpu_seconds() - cpu


def pure_cpu_seconds(models: Sequence[Model], clips: Sequence[Path], frames: int) -> tuple[float, float]:
    """Return the CPU-seconds of pure decoding, and of pure forward passes on ready tensors.

    One thread each, so that none waits for another: the least that the same work can take.
    """

    def decode() -> None:
        for clip in clips:
            timeline = read_timeline(clip)
            wanted = np.unique(sample_frames(timeline.pts_seconds, timeline.end_seconds, frames))
            for _ in decode_frames(clip, timeline, wanted):
                pass

    def forward() -> None:
        for model in models:
            shape = (EngineOptions().batch_on(CPU), 3, *model.input.crop)
            ready = normalise(torch.randint(256, shape, dtype=torch.uint8), model.input)
            ready = ready.contiguous(memory_format=torch.channels_last)
            low = model.candidate.precision == "bfloat16"
            for start in range(0, len(clips) * frames, len(ready)):
                rows = min(len(ready), len(clips) * frames - start)
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
                    model.network(ready[:rows])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return timed(decode)[1], timed(forward)[1]
    finally:
        torch.set_num_threads(threads)


class MemoryWatch:
    """The largest sum of proportional memory (PSS) of a process and its workers, sampled by a thread; in MB.

    Args:
        pid: Of the process; this one by default.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.peak_mb = self.main_mb = self.workers_mb = 0.0
        self._main = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            main = _pss([self._main])
            workers = _pss(_children(self._main))
            self.main_mb, self.workers_mb = max(self.main_mb, main), max(self.workers_mb, workers)
            self.peak_mb = max(self.peak_mb, main + workers)


def _children(main: psutil.Process) -> Sequence[psutil.Process]:
    try:
        return main.children(recursive=True)
    except psutil.Error:
        return ()


def _pss(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss / 1e6
    return total
