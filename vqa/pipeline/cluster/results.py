"""What a run has done, counted on the driver: the same size however many videos there are, but 8 bytes for each."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from vqa.errors import VideoError
from vqa.pipeline.cluster.members import Member
from vqa.pipeline.cluster.seen import Seen
from vqa.pipeline.cluster.work import Done, Looked, Todo
from vqa.pipeline.progress import Progress
from vqa.pipeline.storing import FailureBook
from vqa.records import Failure


class Results:
    """Counts what comes in, and shows it.

    Args:
        book: Takes videos that are given up.
        progress: Told how far the run is.
        rows: How many files there are.
    """

    def __init__(self, book: FailureBook, progress: Progress, rows: int) -> None:
        self.stored: Counter[int] = Counter()
        """Pairs that were added, by the position of the candidate."""
        self.cached: Counter[int] = Counter()
        """Pairs that were there before."""
        self.seconds: defaultdict[int, float] = defaultdict(float)
        self.failures: dict[tuple[str, str, str], Failure] = {}
        self.decoded = 0
        self._book, self._progress, self._rows = book, progress, rows
        self._looked, self._pairs, self._done = 0, 0, 0
        self._seen = Seen()
        self._started = time.monotonic()

    @property
    def videos(self) -> int:
        """Distinct videos whose file can be read."""
        return len(self._seen)

    def look(self, looked: Looked, *, rows: int) -> list[Todo]:
        """Take what a chunk of rows was found to be; return what is to be done of it."""
        self._looked += rows
        new: set[str] = set()
        for key, held in zip(looked.keys, looked.held, strict=True):
            if self._seen.add(key):
                new.add(key)
                self.cached.update(held)
        self._note(looked.failures)
        for failure in looked.failures:
            if not failure.key:  # others stood in the ledger before
                self._progress.note(f"{failure.video}: {failure.reason}")
        self._progress.update("reading files", self._looked, self._rows)
        return [todo if todo.key in new else replace(todo, again=True) for todo in looked.todo]

    def expect(self, pairs: int) -> None:
        """Count pairs that are to be done."""
        self._pairs += pairs

    def add(self, block: Sequence[Todo], done: Done) -> None:
        """Take what became of a block."""
        self.stored.update(done.stored)
        for place, seconds in done.seconds.items():
            self.seconds[place] += seconds
        self.decoded += done.decoded
        self._done += sum(len(todo.models) for todo in block)
        for failure in done.failures:
            self._progress.note(f"{failure.video}: {failure.reason}")
        self._note(done.failures)

    def give_up(self, todo: Todo, *, deaths: int) -> None:
        """Write a video to the ledger that extractors can't bear."""
        error = VideoError(f"{deaths} extractors died while they had it; try it by itself with --retry-failed")
        self._note([self._book.record(todo.video, todo.key, None, "extract", error)])
        self._done += len(todo.models)

    def tell(self, members: Sequence[Member]) -> None:
        """Show how far all are."""
        if not self._pairs:
            return
        done = self._done + sum(member.pulse.pairs for member in members)
        frames = sum(member.pulse.frames for member in members)
        rate = frames / max(time.monotonic() - self._started, 1e-9)
        busy = sum(member.joined for member in members)
        detail = f"{busy} of {len(members)} actors, {rate:.0f} frames/s"
        if self.failures:
            detail += f", {len(self.failures)} failed"
        self._progress.update("extracting features", min(done, self._pairs), self._pairs + 1, detail)

    def end(self) -> None:
        """Show that all is done."""
        if self._pairs:
            self._progress.update("extracting features", self._pairs, self._pairs)

    def _note(self, failures: Sequence[Failure]) -> None:
        for failure in failures:
            self.failures[failure.key or failure.video, failure.fingerprint, failure.candidate] = failure
