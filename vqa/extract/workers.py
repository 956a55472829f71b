"""Decode workers: processes that can be killed, a time limit for each video, and frames handed over in shared memory.

    main process                       worker processes
    slot 0  [views of clip a] <------- decodes a, writes into slot 0
    slot 1  [views of clip b] <------- decodes b, writes into slot 1
    slot 2  (free)                     a hang or a crash costs one video; the pool starts another worker

The main process makes all slots and frees them; a worker that dies leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pebble import ProcessExpired, ProcessPool

from vqa.errors import VideoError
from vqa.extract.decode_worker import WorkerLimits, decode_into, set_up
from vqa.extract.decoding import Stamp
from vqa.extract.items import Span
from vqa.extract.looking import DecodedVideo
from vqa.extract.slots import Slot
from vqa.extract.spec import Candidate
from vqa.extract.video_fetching import VideoFetcher
from vqa.extract.worker_server import start_worker_server, worker_context
from vqa.urls import Place

_SLACK_SECONDS = 60.0
_OUT_OF_CPU_TIME = "signal SIGXCPU"


Outcome = DecodedVideo | VideoError | BaseException
"""What became of a video; any other exception is a fault of our own."""


class Decoders(Protocol):
    """What decodes files into slots."""

    @property
    def generation(self) -> int:
        """How often it was started anew."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def submit(
        self,
        path: Place,
        models: tuple[int, ...],
        slot: Slot,
        done: Callable[[Outcome, int], None],
        *,
        stamp: Stamp | None = None,
        spans: tuple[Span, ...] = (),
        key: str = "",
    ) -> None:
        """Decode a video into a slot; see `DecodeWorkers`."""

    def restart(self) -> None:
        """Begin anew; every video in work is reported as broken."""

    def look_after(self, quiet_seconds: float) -> None:
        """Begin anew if it has broken unseen."""


Hire = Callable[[Sequence[Candidate], int, WorkerLimits], Decoders]
"""Gives decoders for some candidates, with so many processes on this machine, each within limits."""


class DecodeWorkers:
    """A pool of decode processes.

    Args:
        candidates: All that will be asked for.
        processes: How many.
        limits: What one video may cost.
    """

    def __init__(self, candidates: Sequence[Candidate], processes: int, limits: WorkerLimits) -> None:
        self._candidates, self._processes, self._limits = tuple(candidates), processes, limits
        self.generation = 0
        """How often the pool was started anew."""
        self._waiting: dict[Future[DecodedVideo], Callable[[Outcome, int], None]] = {}
        self._lock, self._changing = threading.Lock(), threading.RLock()
        self._fetcher = VideoFetcher(processes)
        self._pool = self._start()

    def _start(self) -> ProcessPool:
        """Return a pool whose workers are on their way.

        They are started from a thread: a signal, which breaks into the main one alone, could leave a worker that
        nobody knows of.
        """
        start_worker_server()
        pool = ProcessPool(
            max_workers=self._processes,
            initializer=set_up,
            initargs=(self._candidates, self._limits),
            context=worker_context(),
        )
        try:
            with ThreadPoolExecutor(1, "vqa-start") as thread:
                thread.submit(lambda: pool.active).result()
        except BaseException:
            _stop(pool)
            raise
        return pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._fetcher.close()
        _stop(self._pool)

    def submit(
        self,
        path: Place,
        models: tuple[int, ...],
        slot: Slot,
        done: Callable[[Outcome, int], None],
        *,
        stamp: Stamp | None = None,
        spans: tuple[Span, ...] = (),
        key: str = "",
    ) -> None:
        """Decode a video into a slot.

        Args:
            path: The video file; a remote one is fetched first, and its copy removed whatever becomes of it.
            models: Positions of the candidates that need it.
            slot: Where its frames go; the caller keeps it until `done`.
            done: Called once from another thread, with the pool's generation.
            stamp: What the file was when it was hashed.
            spans: Parts of it to look at; none for all of it.
            key: Of its bytes, where they were hashed: a remote file that has others by now is refused.
        """
        if isinstance(path, Path):
            self._decode((path, stamp, models, slot.name, spans), done)
            return

        def decode(copy: Path) -> None:
            def finish(outcome: Outcome, generation: int) -> None:
                self._fetcher.remove(copy)
                done(outcome, generation)

            self._decode((copy, None, models, slot.name, spans), finish)

        self._fetcher.submit(path, key, stamp, decode, lambda error: done(error, self.generation))

    def _decode(self, arguments: tuple[Any, ...], done: Callable[[Outcome, int], None]) -> None:
        """Have a worker call `decode_into`; from the engine's thread or one that has fetched a video."""
        with self._changing:
            future = self._schedule(arguments)
            generation = self.generation
            self._waiting[future] = done
        future.add_done_callback(lambda finished: self._report(finished, self._outcome(finished), generation))

    def _schedule(self, arguments: tuple[Any, ...]) -> Future[DecodedVideo]:
        try:
            return self._pool.schedule(decode_into, args=arguments, timeout=self._limits.video_seconds)
        except RuntimeError:  # its idle workers were killed meanwhile
            self.restart()
            return self._pool.schedule(decode_into, args=arguments, timeout=self._limits.video_seconds)

    def _report(self, future: Future[DecodedVideo], outcome: Outcome, generation: int) -> None:
        """Say what became of a video, once."""
        with self._lock:
            done = self._waiting.pop(future, None)
        if done is not None:
            done(outcome, generation)

    def _outcome(self, future: Future[DecodedVideo]) -> Outcome:
        try:
            return future.result()
        except VideoError as error:
            return error
        except TimeoutError:
            return self._late()
        except ProcessExpired as error:
            death = _death(error.exitcode)
            if death == _OUT_OF_CPU_TIME:
                return self._late()
            return VideoError(f"the decoder died ({death}); check the file with ffprobe")
        except MemoryError:
            return VideoError(
                f"decoding it needs more memory than there is, or than the {self._limits.memory_bytes / (1 << 30):g} "
                "GB of one video; check the file with ffprobe, or raise worker_memory"
            )
        except (CancelledError, Exception) as error:  # noqa: BLE001 - handed on to the engine, which raises it
            return error

    def _late(self) -> VideoError:
        limit = self._limits.video_seconds
        return VideoError(f"decoding took longer than {limit:g} s and was given up; raise video_seconds")

    def restart(self) -> None:
        """Begin anew with fresh processes; every video in work is reported as broken, even one the pool has lost."""
        with self._changing:
            _stop(self._pool)
            for future in tuple(self._waiting):
                self._report(future, BrokenProcessPool("the decode workers were started anew"), self.generation)
            self.generation += 1
            self._pool = self._start()

    def look_after(self, quiet_seconds: float) -> None:
        """Begin anew if the pool has broken unseen, or if no video has ended for longer than any may take.

        Args:
            quiet_seconds: For how long nothing was reported, although videos are in work.
        """
        if self._waiting and (not self._pool.active or quiet_seconds > self._limits.video_seconds + _SLACK_SECONDS):
            self.restart()


def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _death(exitcode: int) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-exitcode).name}"
    return f"exit status {exitcode}"
