"""Nodes without a GPU decode for those that have one: views travel, 1.2 MB for 8 frames of 224 x 224.

    node with a GPU                               node without
    engine ── a file, its candidates ───────────► decode workers ──► slot
           ◄── its views, and where they lie ──── bytes of the slot
    slot ──► models

What decodes is the same pool of workers on both; the engine does not know which of them had a video.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.backends.hub import weights_from
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.decoding import Stamp
from vqa.extract.items import Span, bytes_needed
from vqa.extract.looking import DecodedVideo
from vqa.extract.options import worker_limits
from vqa.extract.slots import Slot
from vqa.extract.spec import Candidate
from vqa.extract.workers import DecodeWorkers, Outcome
from vqa.pipeline.cluster.work import Order
from vqa.pipeline.effort import engine_options
from vqa.urls import Place

_TRIES = 3
_LOOK_SECONDS = 5.0
_SETS = 2
"""Sets of candidates that a helper is ready for at once: extractors that go on to another set do so one by one."""

Views = NDArray[np.uint8]
"""The used bytes of a slot."""


class Helper:
    """Decodes for the extractors of other nodes.

    Args:
        order: What the run is.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._benches: dict[tuple[Candidate, ...], _Bench] = {}
        self._stopped = threading.Event()

    def live(self) -> None:
        """Return when it is stopped: a call of this that fails tells that it has died."""
        self._stopped.wait()

    def begin(self) -> None:
        """Make ready.

        Raises:
            VqaError: there is no such folder of weights.
        """
        found = self._order.downloads
        self._stack.enter_context(weights_from(offline=found.offline, folder=found.folder))

    def decode(
        self, candidates: tuple[Candidate, ...], path: Place, models: tuple[int, ...], stamp: Stamp | None, key: str
    ) -> tuple[DecodedVideo, Views] | VideoError:
        """Decode a video.

        Args:
            candidates: All of the asking engine.
            path: The video file.
            models: Positions of the candidates that need it.
            stamp: What it was when it was hashed.
            key: Of its bytes.

        Returns:
            What the decode worker reports, and the views; or why the video can't be used.
        """
        return self._bench_for(candidates).decode(path, models, stamp, key)

    def _bench_for(self, candidates: tuple[Candidate, ...]) -> _Bench:
        with self._lock:
            bench = self._benches.pop(candidates, None)
            if bench is None:
                while len(self._benches) >= _SETS:
                    self._benches.pop(next(iter(self._benches))).close()
                bench = _Bench(candidates, self._order)
            self._benches[candidates] = bench  # the last asked for is the last to go
            return bench

    def stop(self) -> None:
        """End; what is in work is lost to those who asked, and decoded elsewhere."""
        self._stopped.set()
        for bench in self._benches.values():
            bench.close()
        self._stack.close()


class _Bench:
    """Decode workers and slots for one set of candidates."""

    def __init__(self, candidates: tuple[Candidate, ...], order: Order) -> None:
        options = engine_options(order.settings, ())
        processes = order.settings.workers or order.cores
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._slots: SimpleQueue[Slot] = SimpleQueue()
        for _ in range(processes + 1):
            slot = self._stack.enter_context(contextlib.closing(Slot(bytes_needed(candidates))))
            self._slots.put(slot)
        self._workers = self._stack.enter_context(
            DecodeWorkers(candidates, processes, worker_limits(options, processes))
        )

    def decode(
        self, path: Place, models: tuple[int, ...], stamp: Stamp | None, key: str
    ) -> tuple[DecodedVideo, Views] | VideoError:
        """Decode a video; waits for a slot."""
        with self._slot() as slot:
            ask = functools.partial(self._workers.submit, path, models, slot, stamp=stamp, key=key)
            outcome = self._outcome(ask)
            for _ in range(_TRIES):
                if isinstance(outcome, BrokenProcessPool):
                    outcome = self._outcome(ask)
            if isinstance(outcome, DecodedVideo):
                return outcome, _used(slot, outcome)
            if isinstance(outcome, VideoError):
                return outcome
            raise outcome

    @contextlib.contextmanager
    def _slot(self) -> Iterator[Slot]:
        slot = self._slots.get()
        try:
            yield slot
        finally:
            self._slots.put(slot)

    def _outcome(self, ask: Callable[[Callable[[Outcome, int], None]], None]) -> Outcome:
        answers: SimpleQueue[tuple[Outcome, int]] = SimpleQueue()
        with self._lock:
            ask(lambda outcome, generation: answers.put((outcome, generation)))
        outcome, generation = self._wait_for(answers)
        if isinstance(outcome, BrokenProcessPool):
            with self._lock:
                if generation == self._workers.generation:
                    self._workers.restart()
        return outcome

    def _wait_for(self, answers: SimpleQueue[tuple[Outcome, int]]) -> tuple[Outcome, int]:
        """Wait for a worker's answer, with an eye on the workers: what they lost would never be reported."""
        quiet = 0.0
        while True:
            with contextlib.suppress(Empty):
                return answers.get(timeout=_LOOK_SECONDS)
            quiet += _LOOK_SECONDS
            with self._lock:
                self._workers.look_after(quiet)

    def close(self) -> None:
        """End."""
        self._stack.close()


def _used(slot: Slot, decoded: DecodedVideo) -> Views:
    """Return a copy of the bytes that a video's blocks take."""
    end = max((block.offset + int(np.prod(block.shape)) for block in decoded.blocks), default=0)
    return np.frombuffer(slot.buffer, np.uint8, end).copy()


@dataclass(frozen=True, eq=False)
class Hand:
    """A helper, as an extractor sees it."""

    decode: Callable[..., Future[tuple[DecodedVideo, Views] | VideoError]]
    """Takes what `Helper.decode` takes."""
    cores: float
    """What an extractor has of it."""


class SharedDecoders:
    """This node's own decode workers, and the helpers of others: a video goes to whoever has least to do for its size.

    Args:
        candidates: All that will be asked for.
        processes: On this node.
        limits: What one video may cost.
        hands: Helpers; one that is lost is taken out, and its videos are decoded elsewhere.
    """

    def __init__(
        self, candidates: Sequence[Candidate], processes: int, limits: WorkerLimits, hands: list[Hand]
    ) -> None:
        self._candidates, self._processes, self._hands = tuple(candidates), processes, hands
        self._own = DecodeWorkers(candidates, processes, limits)
        self._lock = threading.Lock()
        self._load: Counter[Hand | None] = Counter()
        """Videos in work, by who has them; None for our own workers."""
        self._closed = False

    @property
    def generation(self) -> int:
        """How often our own workers were started anew."""
        return self._own.generation

    def __enter__(self) -> Self:
        self._own.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True  # slots go next: what helpers still send must not be put there
        self._own.__exit__(kind, error, traceback)

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
        """Decode a video into a slot, here or elsewhere; arguments as of `DecodeWorkers.submit`."""
        with self._lock:
            hand = None if spans else self._least_busy()
            self._load[hand] += 1

        def ended(outcome: Outcome, generation: int) -> None:
            with self._lock:
                self._load[hand] -= 1
            done(outcome, generation)

        def answered(future: Future[Any]) -> None:
            try:
                answer = future.result()
            except BaseException:  # noqa: BLE001 - whatever has become of it, others can decode the video
                self._lose(hand)
                if not self._closed:
                    self.submit(path, models, slot, done, stamp=stamp, key=key)
                return
            with self._lock:
                if self._closed:
                    return
                outcome = _taken(answer, slot)
            ended(outcome, self.generation)

        if hand is None:
            self._own.submit(path, models, slot, ended, stamp=stamp, spans=spans, key=key)
        else:
            hand.decode(self._candidates, path, models, stamp, key).add_done_callback(answered)

    def _lose(self, hand: Hand | None) -> None:
        with self._lock:
            self._load[hand] -= 1
            if hand in self._hands:
                self._hands.remove(hand)

    def _least_busy(self) -> Hand | None:
        sizes: dict[Hand | None, float] = {None: self._processes, **{hand: hand.cores for hand in self._hands}}
        return min(sizes, key=lambda hand: (self._load[hand] + 1) / sizes[hand])

    def restart(self) -> None:
        """Begin anew with our own workers; helpers see to theirs."""
        self._own.restart()

    def look_after(self, quiet_seconds: float) -> None:
        """Begin anew with our own workers, if they have broken unseen."""
        if self._load[None]:
            self._own.look_after(quiet_seconds)


def _taken(answer: tuple[DecodedVideo, Views] | VideoError, slot: Slot) -> Outcome:
    """Put the views that a helper sent into a slot."""
    if isinstance(answer, VideoError):
        return answer
    decoded, views = answer
    np.frombuffer(slot.buffer, np.uint8, len(views))[:] = views
    return decoded
