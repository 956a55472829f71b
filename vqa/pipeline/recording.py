"""Who lacks what, and where results go: the engine's sink, between the dataset, the cache and the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqa.cache.folder import make_folder
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore, SegmentWriter
from vqa.dataset import VideoRow
from vqa.errors import VideoError
from vqa.extract.decoding import Stamp, read_stamp
from vqa.extract.engine import Job
from vqa.extract.model import Model
from vqa.extract.spec import Candidate
from vqa.extract.worker_server import start_worker_server
from vqa.pipeline.candidates import CandidateLoader, held_precision, library_versions
from vqa.pipeline.opening import now_utc
from vqa.pipeline.pace import Pace
from vqa.pipeline.progress import Progress
from vqa.records import EVERY_CANDIDATE, Failure, VideoFeatures


@dataclass(eq=False)
class Entry:
    """One candidate of the run."""

    candidate: Candidate
    cached: int
    """Videos of the dataset that had features before the run."""
    todo: frozenset[str]
    """Keys of the videos it is run on."""
    model: Model | None
    """None where nothing is to do."""
    probe: tuple[float, ...] = ()
    """The model's features of the probe clip."""
    stored: int = 0
    seconds: float = 0.0


class Recorder:
    """Finds the missing pairs of a dataset, and records what becomes of each."""

    def __init__(self, cache_dir: Path, rows: Sequence[VideoRow], *, retry_failed: bool, progress: Progress) -> None:
        self.store = FeatureStore(cache_dir)
        self.ledger = Ledger(cache_dir)
        self.rows = rows
        self.retry_failed = retry_failed
        self.progress = progress
        self.keys: dict[str, str] = {}
        self.entries: list[Entry] = []
        self.decoded_videos = 0
        self._active: list[Entry] = []
        self._writers: list[SegmentWriter] = []
        self._jobs: list[Job] = []
        self._memo = KeyMemo(cache_dir)
        self._stamps: dict[str, Stamp] = {}
        self._is_writable = False
        self._pace = Pace({}, progress)
        self._said: set[tuple[str, str, str, str]] | None = None
        """What the ledger says already."""

    def find_keys(self) -> None:
        """Find each video's key; a file that can't be read costs one row of the ledger."""
        for done, row in enumerate(self.rows, start=1):
            try:
                # The stamp is taken first: whatever changes from here on, the decode worker will notice.
                self._stamps[row.id] = read_stamp(row.file)
                self.keys[row.id] = self._memo.key(row.file)
            except VideoError as error:
                self._record(row.id, "", None, "open", error)
            self.progress.update("reading files", done, len(self.rows))

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
            model = loader.load(settled)
            probe = None if model is None else loader.probe(model)
            if probe is None:
                return
            entry.model, entry.probe = model, probe
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
        todo = frozenset(key for key in keys - cached if self._is_due(key, candidate.fingerprint))
        return Entry(candidate, len(cached), todo, None)

    def _require_writable(self) -> None:
        """Refuse a cache that can't be written to before weights are loaded and videos decoded for it."""
        if not self._is_writable:
            make_folder(self.store.root, self.store.root)
            self._is_writable = True

    def _is_due(self, key: str, fingerprint: str) -> bool:
        return self.retry_failed or self.ledger.failed(key, fingerprint) is None

    @contextlib.contextmanager
    def writing(self) -> Iterator[tuple[list[Job], list[Model]]]:
        """Give the engine its jobs and models; features that are whole are kept, whatever ends the run."""
        self._active = [entry for entry in self.entries if entry.todo]
        self._jobs = self._find_jobs()
        models = [entry.model for entry in self._active if entry.model is not None]
        versions = library_versions()
        with contextlib.ExitStack() as stack:
            self._writers = [
                stack.enter_context(
                    self.store.writer(
                        entry.candidate.record,
                        weights_sha256=model.weights_sha256,
                        versions=versions,
                        probe=entry.probe,
                    )
                )
                for entry, model in zip(self._active, models, strict=True)
            ]
            self._pace = Pace({job.key: len(job.models) for job in self._jobs}, self.progress)
            yield self._jobs, models

    def _find_jobs(self) -> list[Job]:
        """Make one job per distinct video: two files with the same bytes are one video."""
        jobs: dict[str, Job] = {}
        for row in self.rows:
            key = self.keys.get(row.id)
            if key is None or key in jobs:
                continue
            needs = tuple(index for index, entry in enumerate(self._active) if key in entry.todo)
            if needs:
                jobs[key] = Job(row.id, row.file, key, needs, self._stamps[row.id])
        return list(jobs.values())

    def decoded(self, job: Job, frames: int, seconds: float) -> None:
        """Note that a video was decoded."""
        self.decoded_videos += 1
        self._pace.decoded(frames)

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """Put one pair into the cache, and cancel what stood against it."""
        entry = self._active[model]
        self._writers[model].put(job.key, features, seconds=seconds)
        self.ledger.resolve(job.key, entry.candidate.fingerprint, video=job.video)
        entry.stored += 1
        entry.seconds += seconds
        self._pace.finish(job.key, 1)

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """Write one row of the ledger."""
        self._record(job.video, job.key, None if model is None else self._active[model].candidate, stage, error)
        self._pace.finish(job.key, len(job.models) if model is None else 1, failed=True)

    def _record(self, video: str, key: str, candidate: Candidate | None, stage: str, error: VideoError) -> None:
        """Write a failure, unless the ledger says just that already."""
        name = EVERY_CANDIDATE if candidate is None else str(candidate)
        fingerprint = EVERY_CANDIDATE if candidate is None else candidate.fingerprint
        row = Failure(video, key, name, fingerprint, stage, str(error), now_utc())
        if self._said is None:
            self._said = {(old.video, old.key, old.fingerprint, old.reason) for old in self.ledger.open_failures()}
        if (row.video, row.key, row.fingerprint, row.reason) not in self._said:
            self.ledger.add(row)
            self._said.add((row.video, row.key, row.fingerprint, row.reason))
        self.progress.note(f"{video}: {error}")

    def failures(self) -> tuple[Failure, ...]:
        """Return what stands against this dataset's videos and this run's candidates."""
        fingerprints = {EVERY_CANDIDATE, *(entry.candidate.fingerprint for entry in self.entries)}
        keys, unread = set(self.keys.values()), {row.id for row in self.rows} - self.keys.keys()
        return tuple(
            failure
            for failure in self.ledger.open_failures()
            if failure.fingerprint in fingerprints and (failure.key in keys if failure.key else failure.video in unread)
        )

    def failed_videos(self, entry: Entry) -> int:
        """Return how many of the dataset's videos have no features of a candidate because they failed."""
        mine = (EVERY_CANDIDATE, entry.candidate.fingerprint)
        return len({failure.key or failure.video for failure in self.failures() if failure.fingerprint in mine})
