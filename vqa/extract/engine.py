"""Decode once, run many: worker processes decode, models run in turn over batches that span videos, results go out.

    decode workers ──► slots (shared memory) ──► rounds: model 1 │ model 2 │ ... ──► sink
         many                bounded                  one thread for each device      the caller's thread

All three go on at once. A round takes whatever videos are decoded when a device falls free; their slots are then used
again, so memory depends neither on a video's length nor on how many there are.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from vqa.errors import TransientError, VideoError, VqaError
from vqa.extract.decoding import Frames
from vqa.extract.jobs import ENDLESS, Demand, Job, JobFeed, Sink
from vqa.extract.launching import Launcher, make_launcher
from vqa.extract.looker import FrameLooker
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model
from vqa.extract.options import EngineOptions, Share, share_out, useful_slots, worker_limits
from vqa.extract.running import Result, Runner, Work
from vqa.extract.slots import Slot, slot_count
from vqa.extract.spec import NativeInput
from vqa.extract.workers import DecodeWorkers, Hire, Outcome
from vqa.records import TRANSIENT, VideoFeatures

_LOOK_SECONDS = 5.0
_TRIES = 4
"""How often a video is given to a pool whose workers are killed while they are idle."""


def run_jobs(jobs: Sequence[Job], models: Sequence[Model], sink: Sink, options: EngineOptions) -> None:
    """Decode each job's video once and run every model it needs.

    A video that can't be used is reported to the sink and costs nothing else. Errors of our own, and of weights, stop
    the run; whatever was stored until then stays stored.

    Raises:
        VqaError: the views of two videos do not fit into the memory allowed, or workers can't be kept running.
    """
    if jobs:
        feed = JobFeed()
        feed.add(jobs)
        feed.close()
        run_feed(feed, models, sink, options, demand=Demand.of(jobs))


def run_feed(
    feed: JobFeed,
    models: Sequence[Model],
    sink: Sink,
    options: EngineOptions,
    *,
    demand: Demand = ENDLESS,
    hire: Hire = DecodeWorkers,
) -> None:
    """Do what `run_jobs` does with jobs that may still come; returns when the feed is closed and all is done.

    Args:
        feed: Gives the jobs; closing it from another thread lets the run end, stopping it ends it at once.
        models: All that any job will name.
        sink: Told what becomes of each job.
        options: Bounds on memory and work.
        demand: How much will come, as far as that is known.
        hire: Gives what decodes files, for the models' candidates.

    Raises:
        VqaError: as `run_jobs`.
    """
    with contextlib.suppress(_StoppedError), _Engine(models, sink, options, demand, hire) as engine:
        engine.run(feed)


class _StoppedError(Exception):
    """The feed says that all is to end at once."""


@dataclass(frozen=True)
class _Decoded:
    """A worker's answer."""

    job: Job
    slot: Slot
    outcome: Outcome
    tries: int
    generation: int
    """Of the worker pool that gave it."""


@dataclass(frozen=True)
class _Fed:
    """There may be new jobs."""


@dataclass(frozen=True)
class _Idle:
    """A device has finished its round, or failed in it."""

    runner: Runner
    error: BaseException | None


_Event = _Decoded | _Idle | Result | _Fed


class _Engine:
    """The loop that keeps decoders and devices busy; all its state belongs to the thread that runs it."""

    def __init__(self, models: Sequence[Model], sink: Sink, options: EngineOptions, demand: Demand, hire: Hire) -> None:
        self._models, self._sink = models, sink
        cores, files, spans = options.usable_cores, demand.files, demand.spans
        processes = max(1, min(options.workers or cores, files))
        limits = worker_limits(options, processes)
        candidates = [model.candidate for model in models]
        shares = share_out(options, models, demand.videos * spans)
        wanted = min(demand.videos, useful_slots(models, shares, processes + options.elsewhere))
        count, size = slot_count(candidates, options.memory_bytes, wanted, spans=spans)
        networks = {index: model for index, model in enumerate(models) if not _is_native(model)}
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._ready: deque[Work] = deque()
        self._decoding = 0
        with contextlib.ExitStack() as stack:  # unwound from the last to the first, whatever fails on the way
            self._slots = [stack.enter_context(contextlib.closing(Slot(size))) for _ in range(count)]
            self._looker = stack.enter_context(FrameLooker(candidates))
            self._workers = stack.enter_context(hire(candidates, processes, limits)) if files else None
            stack.callback(self._ready.clear)
            stack.push(self._store_what_is_done)
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            self._runners = [
                stack.enter_context(contextlib.closing(Runner(networks, share, launcher)))
                for share in shares
                for launcher in [stack.enter_context(contextlib.closing(_launcher(share)))]
                for _ in range(share.runners)
            ]
            self._cleanup = stack.pop_all()
        self._free, self._idle = list(self._slots), list(self._runners)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.__exit__(kind, error, traceback)

    def _store_what_is_done(self, kind: type[BaseException] | None, *_: object) -> None:
        """After a stop from outside, keep the features that are whole; the batches in flight alone are lost."""
        if kind is None or not issubclass(kind, KeyboardInterrupt | SystemExit | _StoppedError):
            return
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, Result):
                self._take(event)

    def run(self, feed: JobFeed) -> None:
        """Go through all jobs."""
        feed.call_back(lambda: self._events.put(_Fed()))
        self._decode(feed)
        while not feed.ended or self._decoding or self._ready or len(self._idle) < len(self._runners):
            self._take(self._next_event())
            if feed.stopped:
                raise _StoppedError
            self._decode(feed)
            self._start_rounds()

    def _next_event(self) -> _Event:
        """Wait for the next event, with an eye on the workers: what they lost would never be reported."""
        quiet = 0.0
        while True:
            with contextlib.suppress(Empty):
                return self._events.get(timeout=_LOOK_SECONDS)
            quiet += _LOOK_SECONDS
            if self._workers is not None:
                self._workers.look_after(quiet)

    def _decode(self, feed: JobFeed) -> None:
        """Keep every free slot's worth of videos on its way."""
        for job in feed.take(len(self._free)):
            self._submit(job, self._free.pop(), tries=1)

    def _submit(self, job: Job, slot: Slot, tries: int) -> None:
        self._decoding += 1

        def done(outcome: Outcome, generation: int) -> None:
            self._events.put(_Decoded(job, slot, outcome, tries, generation))

        if isinstance(job.source, Frames):
            self._looker.submit(job.source, job.models, slot, done, spans=job.spans)
        else:
            assert self._workers is not None, "there are workers where a job has a file"
            self._workers.submit(job.source, job.models, slot, done, stamp=job.stamp, spans=job.spans, key=job.key)

    def _take(self, event: _Event) -> None:
        if isinstance(event, Result):
            self._store(event.work, event.model, event.values, event.seconds)
        elif isinstance(event, _Idle):
            if event.error is not None:
                raise event.error
            self._free += [work.slot for work in event.runner.finished()]
            self._idle.append(event.runner)
        elif isinstance(event, _Decoded):
            self._decoding -= 1
            self._take_decoded(event)

    def _take_decoded(self, event: _Decoded) -> None:
        outcome = event.outcome
        if isinstance(outcome, BrokenProcessPool) and event.tries < _TRIES:
            self._recover(event)
        elif isinstance(outcome, DecodedVideo):
            self._sink.decoded(event.job, outcome)
            work = Work(event.job, event.slot, outcome)
            if self._store_native(work):
                self._ready.append(work)
            else:
                self._free.append(event.slot)
        elif isinstance(outcome, VideoError):
            self._free.append(event.slot)
            stage = TRANSIENT if isinstance(outcome, TransientError) else "decode"
            self._sink.fail(event.job, None, stage, outcome)
        elif isinstance(outcome, BrokenProcessPool):
            raise VqaError(f"decode workers can't be kept running ({outcome}); look at `vqa doctor`") from outcome
        else:
            raise outcome

    def _recover(self, event: _Decoded) -> None:
        """Start the pool anew where its idle workers were killed; every video that was in it is tried again."""
        assert self._workers is not None, "only workers break"
        if event.generation == self._workers.generation:
            self._workers.restart()
        self._submit(event.job, event.slot, event.tries + 1)

    def _store_native(self, work: Work) -> bool:
        """Store what was measured while decoding; return whether networks are still to see the video."""
        for model, entry in zip(work.job.models, work.decoded.inputs, strict=True):
            if entry.error:
                self._fail(work, model, VideoError(entry.error))
            elif entry.values is not None:
                self._store(work, model, entry.values, entry.seconds)
        return any(entry.block >= 0 for entry in work.decoded.inputs)

    def _store(self, work: Work, model: int, values: NDArray[np.float32], seconds: float) -> None:
        entry = work.input_of(model)
        try:
            with np.errstate(over="ignore"):  # what is too large for float16 becomes infinite, and is refused below
                features = VideoFeatures(values.astype(np.float16), entry.pts_seconds, entry.parts)
        except VideoError as error:
            self._fail(work, model, error)
        else:
            self._sink.store_features(work.job, model, features, seconds)

    def _fail(self, work: Work, model: int, error: VideoError) -> None:
        """Say that one model has no features of a video that could be decoded."""
        error.reading = work.decoded.reading
        self._sink.fail(work.job, model, "features", error)

    def _start_rounds(self) -> None:
        """Give every idle device its part of the videos that are ready."""
        share = max(1, len(self._slots) // (2 * max(1, len(self._runners))))
        while self._idle and self._ready:
            runner = self._idle[-1]
            # Networks that take turns on a device come and go once a round: rounds are then as long as can be.
            if runner.takes_turns and self._decoding and len(self._ready) < share:
                return
            self._idle.pop()
            taken = [self._ready.popleft() for _ in range(min(share, len(self._ready)))]
            runner.start(taken, self._events.put, self._finished(runner))

    def _finished(self, runner: Runner) -> Callable[[BaseException | None], None]:
        return lambda error: self._events.put(_Idle(runner, error))


def _launcher(share: Share) -> Launcher:
    return make_launcher(share.device, lanes=share.lanes, threads=share.threads)


def _is_native(model: Model) -> bool:
    return isinstance(model.candidate.input, NativeInput)
