"""How one batch is computed: in lanes of a thread each on the CPU, on a stream on CUDA, on the spot elsewhere.

lane 0  | batch 0 | batch 2     | batch 3 |        lanes never wait for each other, not even where a decoder
lane 1  | batch 1     | batch 4 | batch 5 |        takes one's core for a while; results are fetched in order
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Computed:
    """What became of a batch."""

    features: Tensor
    """In host memory."""
    seconds: float
    """The device's time that it took: a lane's time counts as its part of the device's."""


class Launcher(Protocol):
    """Starts batches on a device."""

    in_flight: int
    """How many batches are worth having on their way at once."""

    def launch(self, compute: Callable[[], Tensor]) -> Callable[[], Computed]:
        """Start a batch; what is returned waits for it.

        Args:
            compute: Gives features on the device.
        """

    def close(self) -> None:
        """End after the batches on their way."""


class OnTheSpot:
    """Computes a batch before it returns."""

    in_flight = 1

    def launch(self, compute: Callable[[], Tensor]) -> Callable[[], Computed]:
        """Compute a batch."""
        computed = _timed(compute, 1)
        return lambda: computed

    def close(self) -> None:
        """Nothing is on its way."""


class Lanes:
    """Computes batches side by side on the CPU.

    Each lane has threads of its own, one as a rule. Threads of one batch would meet after every layer and wait there
    for whichever a decoder kept from its core; and how many share a sum can change its last digit.

    Args:
        lanes: How many.
        threads: Of each.
    """

    def __init__(self, lanes: int, threads: int) -> None:
        self._lanes = lanes
        self.in_flight = lanes + 1
        # torch keeps the number of threads for each thread that calls it.
        self._pool = ThreadPoolExecutor(lanes, "vqa-lane", torch.set_num_threads, (threads,))

    def launch(self, compute: Callable[[], Tensor]) -> Callable[[], Computed]:
        """Put a batch into the next lane that is free."""
        return self._pool.submit(_timed, compute, self._lanes).result

    def close(self) -> None:
        """End after the batches in the lanes."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Stream:
    """Computes batches one after the other on a CUDA device, while the host puts the next one together."""

    in_flight = 2

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def launch(self, compute: Callable[[], Tensor]) -> Callable[[], Computed]:
        """Queue a batch and the copy of its features into pinned memory."""
        with torch.cuda.device(self._device):
            begun, ready = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            stream = torch.cuda.current_stream(self._device)
            begun.record(stream)
            features = compute()
            pinned = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
            pinned.copy_(features, non_blocking=True)
            ready.record(stream)

        def fetch() -> Computed:
            ready.synchronize()
            return Computed(pinned, begun.elapsed_time(ready) / 1000)

        return fetch

    def close(self) -> None:
        """What is on its way ends by itself."""


def make_launcher(device: torch.device, *, lanes: int, threads: int) -> Launcher:
    """Return what suits a device.

    Args:
        device: Where batches are computed.
        lanes: On the CPU; 0 to compute on the spot.
        threads: Of each lane.
    """
    if device.type == "cuda":
        return Stream(device)
    return Lanes(lanes, threads) if device.type == "cpu" and lanes else OnTheSpot()


def _timed(compute: Callable[[], Tensor], lanes: int) -> Computed:
    started = time.perf_counter()
    features = compute().cpu()
    return Computed(features, (time.perf_counter() - started) / lanes)
