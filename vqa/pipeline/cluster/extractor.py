"""What runs on each node: looks at files, and extracts features with the engine of one machine."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import torch

from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore
from vqa.errors import VideoError
from vqa.extract.backends.hub import weights_from
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.headers import HeaderReader
from vqa.extract.model import choose_devices
from vqa.extract.spec import Candidate, ModelSpec
from vqa.pipeline.candidates import CandidateLoader
from vqa.pipeline.cluster.helping import Hand, SharedDecoders
from vqa.pipeline.cluster.station import Station
from vqa.pipeline.cluster.work import Done, Looked, Order, Prepared, Pulse, Row, Settled, Todo
from vqa.pipeline.effort import engine_options
from vqa.pipeline.generations import settle_generations
from vqa.pipeline.pairs import PairFinder, standing_failure
from vqa.pipeline.recording import load_entry
from vqa.pipeline.storing import Entry, FailureBook
from vqa.records import Failure


class Extractor:
    """One node's part of a run. Looking at files and working on blocks may go on at once, in threads.

    Args:
        order: What the run is.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._stack = contextlib.ExitStack()
        self._entries: list[Entry] = []
        self._store_lock, self._station_lock = threading.Lock(), threading.Lock()
        self._station: Station | None = None
        self._hands: list[Hand] = []

    def begin(self) -> None:
        """Make ready; apart from the constructor, whose errors would be those of Ray.

        Raises:
            VqaError: the device can't be used, or there is no such folder of weights.
        """
        order = self._order
        torch.set_num_threads(order.cores)
        self._stack.enter_context(weights_from(offline=order.downloads.offline, folder=order.downloads.folder))
        devices = choose_devices(order.settings.device)
        self._options = replace(engine_options(order.settings, devices), cores=order.cores)
        self._finder = PairFinder(order.cache_dir, retry_failed=order.retry_failed)
        self._loader = CandidateLoader(self._finder.store, order.settings.precision, devices[0])
        self._headers = self._stack.enter_context(HeaderReader())
        self._looks = FailureBook(self._finder.ledger)
        # The threads share no ledger: each writes a file of its own.
        self._works, self._again = FailureBook(Ledger(order.cache_dir)), Ledger(order.cache_dir)

    def take_help(self, helpers: Sequence[tuple[Any, float]]) -> None:
        """Let helpers decode for this extractor, too.

        Args:
            helpers: Handles of actors, and how many cores of each are for this extractor.
        """
        self._hands[:] = [Hand(_caller(actor), cores) for actor, cores in helpers]

    def settle(self, specs: Sequence[ModelSpec], new_generation: bool) -> Settled:  # noqa: FBT001 - called through Ray
        """Choose each candidate's generation and precision, for all extractors of the run.

        Args:
            specs: What is asked for.
            new_generation: Start a new generation of each model whose numbers are no longer those in the cache.

        Raises:
            UnknownModelError, CacheError: as `CandidateLoader` and `FeatureStore`.
        """
        settled = [self._loader.settle(candidate) for candidate in self._loader.plan(specs)]
        self.join([candidate for candidate in settled if candidate is not None])
        if new_generation:
            self._entries = [entry for entry in self._entries if load_entry(entry, self._loader)]
            settle_generations(self._entries, self._finder.store, renew=self._renew)
        return Settled(tuple(entry.candidate for entry in self._entries), dict(self._loader.unavailable))

    def _renew(self, entry: Entry) -> None:
        assert entry.model is not None
        entry.candidate = replace(entry.candidate, generation=entry.candidate.generation + 1)
        entry.model = replace(entry.model, candidate=entry.candidate)

    def join(self, candidates: Sequence[Candidate]) -> None:
        """Take over the run's candidates, as another extractor settled them."""
        self._entries = [Entry(candidate, 0, frozenset(), None) for candidate in candidates]

    def look_at(self, rows: Sequence[Row]) -> Looked:
        """Find out what files are, and which pairs of them are to be done; one that can't be read goes to the ledger.

        Raises:
            CacheError: the cache can't be read or written.
        """
        found, failures = [], list[Failure]()
        for row in rows:
            try:
                known = self._finder.look_at(row.file)
            except VideoError as error:
                failures.append(self._looks.record(row.video, "", None, "open", error))
                continue
            found.append((row, known))
        self._finder.flush()
        with self._store_lock:
            held = [tuple(self._held(known.key)) for _, known in found]
        needs = [tuple(self._due(known.key, places)) for (_, known), places in zip(found, held, strict=True)]
        for (_, known), places in zip(found, held, strict=True):
            failures += self._standing(known.key, places)
        pending = [(row, known, models) for (row, known), models in zip(found, needs, strict=True) if models]
        seconds = self._headers.seconds(
            [row.file for row, _, _ in pending], [known.stamp.size for _, known, _ in pending]
        )
        todo = tuple(
            Todo(row.video, row.file, known.key, known.stamp, models, lasts)
            for (row, known, models), lasts in zip(pending, seconds, strict=True)
        )
        return Looked(tuple(known.key for _, known in found), tuple(held), todo, tuple(failures))

    def _lacking(self, held: Sequence[int]) -> dict[int, str]:
        """Return the fingerprints of the candidates that are not among some, by their positions."""
        return {place: entry.candidate.fingerprint for place, entry in enumerate(self._entries) if place not in held}

    def _due(self, key: str, held: Sequence[int]) -> list[int]:
        """Return the candidates that are to see a video."""
        return [place for place, each in self._lacking(held).items() if self._finder.is_due(key, each)]

    def _held(self, key: str) -> list[int]:
        """Return the candidates that the cache has features of a video of."""
        prints = (entry.candidate.fingerprint for entry in self._entries)
        return [place for place, fingerprint in enumerate(prints) if self._finder.store.holds(fingerprint, key)]

    def _standing(self, key: str, held: Sequence[int]) -> list[Failure]:
        """Return what stands against a video and is not tried again."""
        if self._order.retry_failed:
            return []
        failed = [standing_failure(self._finder.ledger, key, each) for each in self._lacking(held).values()]
        return list(dict.fromkeys(failure for failure in failed if failure is not None))

    def prepare(self, models: Sequence[int]) -> Prepared:
        """Load some candidates and run them on the probe clip.

        Raises:
            ProbeError: one's numbers are no longer those in the cache.
        """
        unavailable: dict[int, str] = {}
        for place in models:
            entry = self._entries[place]
            if entry.model is None and not load_entry(entry, self._loader):
                unavailable[place] = self._loader.unavailable[str(entry.candidate)]
        loaded = {place: self._entries[place] for place in models if place not in unavailable}
        with self._store_lock:
            self._finder.refresh()
            settle_generations(list(loaded.values()), self._finder.store)
        digests = {place: entry.model.weights_sha256 for place, entry in loaded.items() if entry.model is not None}
        return Prepared(digests, {place: entry.probe for place, entry in loaded.items()}, unavailable)

    def agree_on(self, probes: Mapping[int, tuple[float, ...]]) -> None:
        """Take what one extractor's models gave for the probe clip for all: rounding must not drift between them."""
        for place, probe in probes.items():
            self._entries[place].probe = probe

    def work_on(self, todos: Sequence[Todo]) -> Done:
        """Do the pairs of a block; they are on the disk when this returns.

        Raises:
            VqaError: the engine or the cache can't go on.
        """
        left = self._look_again(todos) if any(todo.again or todo.begun for todo in todos) else list(todos)
        before = _done_before(todos, left)
        if not left:
            return before
        needed = frozenset(place for todo in left for place in todo.models)
        with self._station_lock:
            wait = self._station_for(needed).begin(left)  # while nobody can close it
        return before.joined(wait())

    def _look_again(self, todos: Sequence[Todo]) -> list[Todo]:
        """Return what is left of a block that was begun before, or is known under another name."""
        with self._store_lock:
            self._finder.refresh()
            self._again.refresh()
            left = [replace(todo, models=tuple(self._left(todo))) for todo in todos]
        return [todo for todo in left if todo.models]

    def _left(self, todo: Todo) -> list[int]:
        """Return the candidates that a video still lacks, and that have not failed on it."""
        prints = {place: self._entries[place].candidate.fingerprint for place in todo.models}
        lacking = {place: each for place, each in prints.items() if not self._finder.store.holds(each, todo.key)}
        if self._order.retry_failed:
            return list(lacking)
        return [place for place, each in lacking.items() if standing_failure(self._again, todo.key, each) is None]

    def _station_for(self, needed: frozenset[int]) -> Station:
        """Return an engine that runs these candidates; one that lacks some makes room for another, its blocks done."""
        before = frozenset[int]() if self._station is None else self._station.models
        if self._station is None or not needed <= before:
            if self._station is not None:
                self._station.close()
            entries = {place: self._entries[place] for place in needed | before}
            options = replace(self._options, elsewhere=math.ceil(sum(2 * hand.cores for hand in self._hands)))
            store = FeatureStore(self._order.cache_dir)
            self._station = Station(entries, store, self._works, options, hire=self._hire)
        return self._station

    def _hire(self, candidates: Sequence[Candidate], processes: int, limits: WorkerLimits) -> SharedDecoders:
        return SharedDecoders(candidates, processes, limits, self._hands)

    def pulse(self) -> Pulse:
        """Return how far it is."""
        station = self._station
        return Pulse(0, 0) if station is None else Pulse(station.pairs_in_work(), station.frames)

    def stop(self) -> None:
        """End at once; what is whole is on the disk then."""
        if self._station is not None:
            self._station.stop()
        self._stack.close()


def _caller(actor: Any) -> Callable[..., Future[Any]]:
    """Return what asks an actor to decode a video."""
    return lambda *arguments: actor.decode.remote(*arguments).future()


def _done_before(todos: Sequence[Todo], left: Sequence[Todo]) -> Done:
    """Return what an extractor that died had stored of a block: this run's work, of which nobody else tells."""
    open_models = {todo.key: todo.models for todo in left}
    stored: Counter[int] = Counter()
    decoded = 0
    for todo in [todo for todo in todos if todo.begun]:
        found = set(todo.models) - set(open_models.get(todo.key, ()))
        stored.update(found)
        decoded += bool(found) and todo.key not in open_models
    return Done(dict(stored), {}, decoded, ())
