"""An engine that stays up: blocks come in, and each is done when all its features are on the disk."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch

from vqa.cache.store import FeatureStore
from vqa.errors import VideoError, VqaError
from vqa.extract.engine import run_feed
from vqa.extract.jobs import Job, JobFeed
from vqa.extract.looking import DecodedVideo
from vqa.extract.options import EngineOptions
from vqa.extract.workers import DecodeWorkers, Hire
from vqa.pipeline.cluster.work import Done, Todo
from vqa.pipeline.storing import Entry, FailureBook, PairSink
from vqa.records import Failure, VideoFeatures


class _Track:
    """One block on its way."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.open = {job.key: len(job.models) for job in jobs}
        """Pairs of each video that are not done."""
        self.ended = threading.Event()
        self.stored: Counter[int] = Counter()
        self.seconds: defaultdict[int, float] = defaultdict(float)
        self.decoded = 0
        self.pairs = 0
        self.failures: list[Failure] = []

    def finish(self, key: str, pairs: int) -> None:
        """Count pairs of a video as done."""
        self.pairs += pairs
        self.open[key] -= pairs
        if not self.open[key]:
            del self.open[key]


class Station:
    """Runs some candidates on blocks of videos, one engine for all blocks.

    Args:
        entries: By the position of the candidate in the run; loaded.
        store: The cache.
        book: Takes failures; no other thread uses it.
        options: Bounds on memory and work.
        hire: Gives what decodes files.
    """

    def __init__(
        self,
        entries: Mapping[int, Entry],
        store: FeatureStore,
        book: FailureBook,
        options: EngineOptions,
        *,
        hire: Hire = DecodeWorkers,
    ) -> None:
        self.models = frozenset(entries)
        """Positions of the candidates that it can run."""
        self.frames = 0
        self._places = sorted(entries)
        self._book, self._options, self._hire = book, options, hire
        self._sink = PairSink([entries[place] for place in self._places], store, book)
        self._feed = JobFeed()
        self._lock = threading.Lock()
        self._tracks: dict[str, _Track] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="vqa-station")
        self._thread.start()

    def begin(self, todos: Sequence[Todo]) -> Callable[[], Done]:
        """Take on a block, while others may be in work.

        Returns:
            What waits until the block's features are on the disk. It raises VqaError where the engine or the cache
            can't go on, or the station was stopped before it came to the block.
        """
        jobs = [
            Job(todo.video, todo.file, todo.key, tuple(map(self._places.index, todo.models)), todo.stamp)
            for todo in todos
        ]
        track = _Track(jobs)
        with self._lock:
            if self._error is not None:
                raise self._error
            self._tracks |= {job.key: track for job in jobs}
            self._feed.add(jobs)
        return lambda: self._done(track)

    def _done(self, track: _Track) -> Done:
        track.ended.wait()
        if track.open:
            raise self._error or VqaError("the extractor was stopped; run the command again, it goes on from there")
        return Done(dict(track.stored), dict(track.seconds), track.decoded, tuple(track.failures))

    def pairs_in_work(self) -> int:
        """Return how many pairs are done of blocks that are not."""
        with self._lock:
            return sum(track.pairs for track in set(self._tracks.values()))

    def close(self) -> None:
        """End when all blocks are done."""
        self._feed.close()
        self._thread.join()

    def stop(self) -> None:
        """End at once; what is whole is on the disk then."""
        self._feed.stop()
        self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._options.usable_cores)  # of this thread: what the engine shares out
        try:
            with self._sink.writing() as models:
                run_feed(self._feed, models, self, self._options, hire=self._hire)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of each block that waits
            self._error = error
        with self._lock:
            self._error = self._error or VqaError("the extractor has ended; run the command again")
            for track in self._tracks.values():
                track.ended.set()

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        """Note that a video was decoded."""
        self._sink.decoded(job, video)
        self._tracks[job.key].decoded += 1
        self.frames += video.frames

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """Put one pair into the cache."""
        track, place = self._tracks[job.key], self._places[model]
        self._sink.store_features(job, model, features, seconds)
        track.stored[place] += 1
        track.seconds[place] += seconds
        self._finish(track, job.key, 1)

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """Write one row of the ledger."""
        track = self._tracks[job.key]
        self._sink.fail(job, model, stage, error)
        track.failures += self._book.take()
        self._finish(track, job.key, len(job.models) if model is None else 1)

    def _finish(self, track: _Track, key: str, pairs: int) -> None:
        """Count pairs; a block that ends brings all that was put to the disk, of others as well."""
        ends = track.open == {key: pairs}
        if ends:
            self._sink.flush()  # an error here finds the block among those that are to be told of it
        with self._lock:
            track.finish(key, pairs)
            if key not in track.open:
                del self._tracks[key]
        if ends:
            track.ended.set()
