"""What the engine is asked to do, and where its results go."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vqa.errors import VideoError
from vqa.extract.decoding import Frames, Stamp
from vqa.extract.items import Span
from vqa.extract.looking import DecodedVideo
from vqa.records import VideoFeatures
from vqa.urls import Place


@dataclass(frozen=True)
class Job:
    """One video, and which of the run's models have not seen it yet."""

    video: str
    """Its id in the dataset."""
    source: Place | Frames
    """Its file, local or remote, or frames that are decoded already."""
    key: str
    models: tuple[int, ...]
    """Positions in the run's list of models."""
    stamp: Stamp | None = None
    """What the file was when its key was found; a file that is another by now is refused."""
    spans: tuple[Span, ...] = ()
    """Parts to look at as videos of their own; none for the whole video."""


@dataclass(frozen=True)
class Demand:
    """How much a run will be given to do."""

    videos: int
    files: int
    """Videos that have to be decoded."""
    spans: int = 1
    """Most parts of one video."""

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Demand:
        """Return that of some jobs, at least one."""
        files = sum(not isinstance(job.source, Frames) for job in jobs)
        return cls(len(jobs), files, max(1, *(len(job.spans) for job in jobs)))


ENDLESS = Demand(1 << 30, 1 << 30)
"""Whole files, more than can be in work at once."""


class JobFeed:
    """Jobs on their way to an engine; they may be added from any thread while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._closed = False
        self.stopped = False
        """Whether all is to end at once."""
        self._told: Callable[[], None] = lambda: None

    @property
    def ended(self) -> bool:
        """Whether no job is here and none will come."""
        with self._lock:
            return self._closed and not self._waiting

    def add(self, jobs: Iterable[Job]) -> None:
        """Put jobs at the end.

        Raises:
            ValueError: the feed is closed.
        """
        with self._lock:
            if self._closed:
                raise ValueError("this feed is closed")
            self._waiting.extend(jobs)
        self._told()

    def close(self) -> None:
        """Let no more come."""
        with self._lock:
            self._closed = True
        self._told()

    def stop(self) -> None:
        """End the run at once: what is whole is stored, the videos in work are lost to it."""
        with self._lock:
            self._closed, self.stopped = True, True
            self._waiting.clear()
        self._told()

    def take(self, most: int) -> list[Job]:
        """Return the next jobs that are here, without waiting for any."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def call_back(self, told: Callable[[], None]) -> None:
        """Have a function called, from whatever thread, whenever jobs come or the feed is closed."""
        self._told = told


class Sink(Protocol):
    """Where results go; called from the thread that runs the engine, one call at a time."""

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        """A video was decoded, for all models that need it."""

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """One (video, candidate) pair is done; `seconds` is its share of the model's time."""

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """A pair failed, or the whole video where `model` is None; the error says how it was read, where known."""
