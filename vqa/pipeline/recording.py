"""A dataset's videos and candidates on this machine: who lacks what, and what became of each pair."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from vqa.cache.folder import make_folder
from vqa.dataset import VideoRow
from vqa.errors import VideoError
from vqa.extract.decoding import Stamp
from vqa.extract.jobs import Job, Sink
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model
from vqa.extract.spec import Candidate
from vqa.extract.worker_server import start_worker_server
from vqa.pipeline.candidates import CandidateLoader, held_precision
from vqa.pipeline.pace import Pace
from vqa.pipeline.pairs import PairFinder, note_of
from vqa.pipeline.progress import Progress
from vqa.pipeline.storing import Entry, FailureBook, PairSink
from vqa.records import EVERY_CANDIDATE, Failure, VideoFeatures
from vqa.urls import Place


class _Paced:
    """A sink that shows how the run is going."""

    def __init__(self, sink: Sink, pace: Pace) -> None:
        self._sink, self._pace = sink, pace

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        self._sink.decoded(job, video)
        self._pace.decoded(video.frames)

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        self._sink.store_features(job, model, features, seconds)
        self._pace.finish(job.key, 1)

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        self._sink.fail(job, model, stage, error)
        self._pace.finish(job.key, len(job.models) if model is None else 1, failed=True)


class Recorder:
    """Finds the missing pairs of a dataset, and records what becomes of each."""

    def __init__(self, cache_dir: Place, rows: Sequence[VideoRow], *, retry_failed: bool, progress: Progress) -> None:
        self._finder = PairFinder(cache_dir, retry_failed=retry_failed)
        self.store, self.ledger = self._finder.store, self._finder.ledger
        self.rows = rows
        self.progress = progress
        self.keys: dict[str, str] = {}
        self.entries: list[Entry] = []
        self.decoded_videos = 0
        self._book = FailureBook(self.ledger, progress.note)
        self._stamps: dict[str, Stamp] = {}
        self._is_writable = False

    def find_keys(self) -> None:
        """Find each video's key; a file that can't be read costs one row of the ledger."""
        for done, row in enumerate(self.rows, start=1):
            try:
                known = self._finder.look_at(row.file)
                self._stamps[row.id], self.keys[row.id] = known.stamp, known.key
            except VideoError as error:
                self._book.record(row.id, "", None, "open", error)
            self.progress.update("reading files", done, len(self.rows))
        self._finder.flush()
        for lines in self._finder.damaged():
            self.progress.note(note_of(lines))
        self._finder.drop_damaged()

    def add(self, candidate: Candidate, loader: CandidateLoader, *, idle: bool) -> None:
        """Settle a candidate, find which videos lack it, and load and probe it if any does.

        Args:
            candidate: Planned.
            loader: Loads it.
            idle: Load it even where no video lacks it.
        """
        if self.keys and held_precision(candidate, self.store) is None:
            self._require_writable()
        settled = loader.settle(candidate)
        if settled is None:
            return
        entry = self._entry(settled)
        if entry.todo:
            self._require_writable()
        if entry.todo or idle:
            start_worker_server()  # its libraries load while the weights do
            if not load_entry(entry, loader):
                return
        self.entries.append(entry)

    def renew(self, entry: Entry) -> None:
        """Let a candidate go on as its next generation, of which the cache has nothing yet."""
        assert entry.model is not None
        new = self._entry(replace(entry.candidate, generation=entry.candidate.generation + 1))
        new.model, new.probe = replace(entry.model, candidate=new.candidate), entry.probe
        self.entries[self.entries.index(entry)] = new

    def _entry(self, candidate: Candidate) -> Entry:
        keys = frozenset(self.keys.values())
        cached = keys & self.store.keys(candidate.fingerprint)
        todo = frozenset(key for key in keys - cached if self._finder.is_due(key, candidate.fingerprint))
        return Entry(candidate, len(cached), todo, None)

    def _require_writable(self) -> None:
        """Refuse a cache that can't be written to before weights are loaded and videos decoded for it."""
        if not self._is_writable:
            make_folder(self.store.root, self.store.root)
            self._is_writable = True

    @contextlib.contextmanager
    def writing(self) -> Iterator[tuple[list[Job], list[Model], Sink]]:
        """Give the engine its jobs, models and sink; features that are whole are kept, whatever ends the run."""
        active = [entry for entry in self.entries if entry.todo]
        jobs = self._find_jobs(active)
        sink = PairSink(active, self.store, self._book)
        with sink.writing() as models:
            yield jobs, models, _Paced(sink, Pace({job.key: len(job.models) for job in jobs}, self.progress))
        self.decoded_videos = sink.decoded_videos

    def _find_jobs(self, active: Sequence[Entry]) -> list[Job]:
        """Make one job per distinct video: two files with the same bytes are one video."""
        jobs: dict[str, Job] = {}
        for row in self.rows:
            key = self.keys.get(row.id)
            if key is None or key in jobs:
                continue
            needs = tuple(index for index, entry in enumerate(active) if key in entry.todo)
            if needs:
                jobs[key] = Job(row.id, row.file, key, needs, self._stamps[row.id])
        return list(jobs.values())

    def failures(self) -> tuple[Failure, ...]:
        """Return what stands against this dataset's videos and this run's candidates.

        A failure of a pair that has features stands against nothing: the line that cancelled it was lost.
        """
        keys, unread = set(self.keys.values()), {row.id for row in self.rows} - self.keys.keys()
        lacking = {
            entry.candidate.fingerprint: keys - self.store.keys(entry.candidate.fingerprint) for entry in self.entries
        }
        lacking[EVERY_CANDIDATE] = set().union(*lacking.values())
        return tuple(
            failure
            for failure in self.ledger.open_failures()
            if failure.fingerprint in lacking
            and (failure.key in lacking[failure.fingerprint] if failure.key else failure.video in unread)
        )


def load_entry(entry: Entry, loader: CandidateLoader) -> bool:
    """Load and probe an entry's settled candidate; return whether it can be used, else the loader knows why not."""
    model = loader.load(entry.candidate)
    probe = None if model is None else loader.probe(model)
    if probe is None:
        return False
    entry.model, entry.probe = model, probe
    return True


def failed_videos(failures: Sequence[Failure], candidate: Candidate) -> int:
    """Return how many videos have no features of a candidate because they failed."""
    mine = (EVERY_CANDIDATE, candidate.fingerprint)
    return len({failure.key or failure.video for failure in failures if failure.fingerprint in mine})
