"""About how long videos last, as their headers say: good enough to plan by, never for what is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from vqa.errors import VideoError
from vqa.extract.container import DEFAULT_MAX_PIXELS, opened
from vqa.extract.decode_worker import DEFAULT_WORKER_BYTES
from vqa.extract.timeline import DEFAULT_MAX_SECONDS
from vqa.extract.worker_server import start_worker_server, worker_context
from vqa.rlimits import limit_memory
from vqa.urls import Place

_PATIENCE_SECONDS = 10.0
_BYTES_A_SECOND = 500_000
"""Of a file whose header says nothing: 4 Mbit/s."""


class HeaderReader:
    """Opens files in a process of its own: what a hostile one does to FFmpeg costs only the estimate."""

    def __init__(self) -> None:
        start_worker_server()
        self._pool = self._start()

    def _start(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1, initializer=limit_memory, initargs=(DEFAULT_WORKER_BYTES,), context=worker_context()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def seconds(self, files: Sequence[Place], sizes: Sequence[int]) -> list[float]:
        """Return about how long each video lasts; by its size, in bytes, where it is remote or its header is no use."""
        if any(isinstance(file, Path) for file in files) and not self._pool.active:
            self._pool = self._start()
        asked = [self._ask(file) if isinstance(file, Path) else None for file in files]
        found = []
        for future, size in zip(asked, sizes, strict=True):
            try:
                found.append(size / _BYTES_A_SECOND if future is None else future.result())
            except (VideoError, TimeoutError, ProcessExpired, BrokenProcessPool, MemoryError):
                found.append(size / _BYTES_A_SECOND)
        return found

    def _ask(self, file: Path) -> Future[float]:
        future: Future[float] = self._pool.schedule(header_seconds, args=(file,), timeout=_PATIENCE_SECONDS)
        return future


def header_seconds(file: Path) -> float:
    """Return how long a video lasts as its header says.

    Raises:
        VideoError: the file can't be opened, or its header does not say.
    """
    with opened(file, DEFAULT_MAX_PIXELS) as (container, stream):
        told = [container.duration / 1_000_000] if container.duration else []
        if stream.duration and stream.time_base:
            told.append(float(stream.duration * stream.time_base))
    seconds = max(told, default=math.nan)
    if not 0 < seconds <= DEFAULT_MAX_SECONDS:
        raise VideoError("its header does not say how long it lasts")
    return seconds
