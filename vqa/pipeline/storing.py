"""Where results go: the engine's sink, in front of the cache and the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore, SegmentWriter
from vqa.errors import VideoError
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model
from vqa.extract.rules import rules_versions
from vqa.extract.spec import Candidate
from vqa.pipeline.opening import now_utc
from vqa.pipeline.versions import library_versions
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


class FailureBook:
    """Writes failures to the ledger, each once.

    Args:
        ledger: Of the cache.
        note: Told each of them in one line.
    """

    def __init__(self, ledger: Ledger, note: Callable[[str], None] = lambda line: None) -> None:
        self.ledger = ledger
        self._note = note
        self._taken: list[Failure] = []
        self._said: set[tuple[str, ...]] | None = None
        """What the ledger says already."""

    def record(self, video: str, key: str, candidate: Candidate | None, stage: str, error: VideoError) -> Failure:
        """Write a failure, of every candidate where none is given, unless the ledger says just that already."""
        name = EVERY_CANDIDATE if candidate is None else str(candidate)
        fingerprint = EVERY_CANDIDATE if candidate is None else candidate.fingerprint
        reading = "" if error.reading is None else str(error.reading)
        row = Failure(video, key, name, fingerprint, stage, str(error), now_utc(), reading, rules_versions())
        if self._said is None:
            self._said = {_said_by(old) for old in self.ledger.open_failures()}
        if _said_by(row) not in self._said:
            self.ledger.add(row)
            self._said.add(_said_by(row))
        self._note(f"{video}: {error}")
        self._taken.append(row)
        return row

    def take(self) -> list[Failure]:
        """Return the failures since this was last asked."""
        taken, self._taken = self._taken, []
        return taken


def _said_by(failure: Failure) -> tuple[str, ...]:
    """Return all that a failure says but for its time."""
    return failure.video, failure.key, failure.fingerprint, failure.reason, failure.reading, failure.rules


class PairSink:
    """Puts pairs into the cache, and failures into the ledger.

    Args:
        entries: The run's candidates that have a model, in the order of the engine's models.
        store: The cache.
        book: Takes failures.
    """

    def __init__(self, entries: Sequence[Entry], store: FeatureStore, book: FailureBook) -> None:
        self._entries, self._store, self._book = entries, store, book
        self._writers: list[SegmentWriter] = []
        self.decoded_videos = 0

    @contextlib.contextmanager
    def writing(self) -> Iterator[list[Model]]:
        """Give the models, in their order; features that are whole are kept, whatever ends the block."""
        models = [entry.model for entry in self._entries if entry.model is not None]
        versions = library_versions()
        with contextlib.ExitStack() as stack:
            self._writers = [
                stack.enter_context(
                    self._store.writer(
                        entry.candidate.record,
                        weights_sha256=model.weights_sha256,
                        versions=versions,
                        probe=entry.probe,
                    )
                )
                for entry, model in zip(self._entries, models, strict=True)
            ]
            yield models

    def flush(self) -> None:
        """Bring all that was put to the disk.

        Raises:
            CacheError: the cache can't be written to.
        """
        for writer in self._writers:
            writer.close()

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        """Note that a video was decoded."""
        self.decoded_videos += 1

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """Put one pair into the cache, and cancel what stood against it."""
        entry = self._entries[model]
        self._writers[model].put(job.key, features, seconds=seconds)
        self._book.ledger.resolve(job.key, entry.candidate.fingerprint, video=job.video)
        entry.stored += 1
        entry.seconds += seconds

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """Write one row of the ledger."""
        self._book.record(job.video, job.key, None if model is None else self._entries[model].candidate, stage, error)
