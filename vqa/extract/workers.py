"""Decode workers: processes that can be killed, a time limit for each video, and frames handed over in shared memory.

    main process                       worker processes
    slot 0  [views of clip a] <------- decodes a, writes into slot 0
    slot 1  [views of clip b] <------- decodes b, writes into slot 1
    slot 2  (free)                     a hang or a crash costs one video; the pool starts another worker

The main process makes all slots and frees them; a worker that dies leaves nothing behind. A crash is the file's fault;
a worker that somebody else kills, such as the out-of-memory killer, is not. Its video is tried once more, alone:

    in work  a b c       -> b is killed; c and a end, and what is submitted meanwhile waits
             b           -> it ends, or is killed again, and is reported
             d e f       -> what has waited goes on
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pebble import ProcessExpired, ProcessPool

from vqa.errors import VideoError
from vqa.extract import deaths
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

Outcome = DecodedVideo | VideoError | BaseException
"""What became of a video; any other exception is a fault of our own."""
Done = Callable[[Outcome, int], None]


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
        done: Done,
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


@dataclass(eq=False)
class _Task:
    """A video that is to be decoded."""

    arguments: tuple[Any, ...]
    done: Done
    killed: str = ""
    """How its worker was killed from outside, empty where it was not."""
    began: float = 0.0
    """When the pool got it, in seconds."""


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
        self._waiting: dict[Future[DecodedVideo], _Task] = {}
        """What the pool has."""
        self._alone: list[_Task] = []
        """Those to be tried alone; the first is in work where anything is."""
        self._held: list[_Task] = []
        """What waits for those."""
        self._lock, self._changing = threading.Lock(), threading.RLock()
        self._fetcher = VideoFetcher(processes)
        self._pool = self._start()
        self._next = ThreadPoolExecutor(1, "vqa-alone")
        """Starts what comes next, for the pool's own threads must not: they can't wait for a pool to stop."""

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
        except BaseException as error:
            _stop(pool)
            if isinstance(error, BrokenProcessPool):
                raise deaths.cannot_start(error) from error
            raise
        return pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._fetcher.close()
        self._next.shutdown(cancel_futures=True)
        _stop(self._pool)

    def submit(
        self,
        path: Place,
        models: tuple[int, ...],
        slot: Slot,
        done: Done,
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
            self._decode((path, stamp, models, slot.name, spans, key), done)
            return

        def decode(copy: Path) -> None:
            def finish(outcome: Outcome, generation: int) -> None:
                self._fetcher.remove(copy)
                done(outcome, generation)

            self._decode((copy, None, models, slot.name, spans), finish)

        self._fetcher.submit(path, key, stamp, decode, lambda error: done(error, self.generation))

    def _decode(self, arguments: tuple[Any, ...], done: Done) -> None:
        """Have a worker call `decode_into`; from the engine's thread or one that has fetched a video."""
        task = _Task(arguments, done)
        with self._changing:
            with self._lock:  # together: whoever takes the last of those that are alone then sees it held
                if self._alone:
                    self._held.append(task)
                    return
            try:
                self._begin(task)
            except RuntimeError:  # its idle workers were killed meanwhile
                self.restart()
                self._begin(task)

    def _begin(self, task: _Task) -> None:
        generation, task.began = self.generation, time.monotonic()
        future = self._pool.schedule(decode_into, args=task.arguments, timeout=self._limits.video_seconds)
        with self._lock:
            self._waiting[future] = task
        future.add_done_callback(lambda finished: self._report(finished, self._outcome(finished, task), generation))

    def _report(self, future: Future[DecodedVideo], outcome: Outcome, generation: int) -> None:
        """Say what became of a video, once; one whose worker was killed from outside is tried alone first."""
        with self._lock:
            task = self._waiting.pop(future, None)
            if task is None:
                return
            before = task.killed
            if before:
                self._alone.remove(task)
            elif isinstance(outcome, deaths.KilledError):
                task.killed = str(outcome)
                self._alone.append(task)
            follows = bool(self._alone or self._held)
        if before or not task.killed:
            task.done(
                deaths.killed_twice(before, str(outcome)) if isinstance(outcome, deaths.KilledError) else outcome,
                generation,
            )
        if follows:
            with contextlib.suppress(RuntimeError):  # all is ending
                self._next.submit(self._go_on)

    def _go_on(self) -> None:
        """Begin what comes next when nothing is in work: the first to be tried alone, else all that has waited."""
        with self._changing:
            with self._lock:
                if self._alone:
                    following = [] if self._waiting else [self._alone[0]]
                else:
                    following = list(self._held)
                    self._held.clear()
            for task in following:
                try:
                    self._begin(task)
                except RuntimeError:  # the pool broke meanwhile: the engine starts it anew when it hears of it
                    with self._lock, contextlib.suppress(ValueError):
                        self._alone.remove(task)
                    task.done(BrokenProcessPool("the decode workers are gone"), self.generation)

    def _outcome(self, future: Future[DecodedVideo], task: _Task) -> Outcome:
        try:
            return future.result()
        except VideoError as error:
            return error
        except TimeoutError:
            is_over = time.monotonic() - task.began >= self._limits.video_seconds
            return (
                deaths.too_late(self._limits.video_seconds)
                if is_over
                else deaths.KilledError("the system's clock was set")
            )
        except ProcessExpired as error:
            death = deaths.describe_death(error.exitcode)
            if death == deaths.OUT_OF_CPU_TIME:
                return deaths.too_late(self._limits.video_seconds)
            if deaths.is_from_outside(death):
                return deaths.KilledError(death)
            return VideoError(f"the decoder died ({death}); check the file with ffprobe")
        except MemoryError:
            return deaths.too_large(self._limits.memory_bytes)
        except (CancelledError, Exception) as error:  # noqa: BLE001 - handed on to the engine, which raises it
            return error

    def restart(self) -> None:
        """Begin anew with fresh processes; every video in work is reported as broken, even one the pool has lost."""
        with self._changing:
            _stop(self._pool)
            with self._lock:
                lost = dict.fromkeys([*self._waiting.values(), *self._alone, *self._held])
                for tasks in (self._waiting, self._alone, self._held):
                    tasks.clear()
            for task in lost:
                task.done(BrokenProcessPool("the decode workers were started anew"), self.generation)
            self.generation += 1
            self._pool = self._start()

    def look_after(self, quiet_seconds: float) -> None:
        """Begin anew if the pool has broken unseen, or if no video has ended for longer than any may take.

        Args:
            quiet_seconds: For how long nothing was reported, although videos are in work.
        """
        patience = (2 if self._alone else 1) * self._limits.video_seconds + _SLACK_SECONDS
        if (self._waiting or self._alone or self._held) and (not self._pool.active or quiet_seconds > patience):
            self.restart()


def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()
