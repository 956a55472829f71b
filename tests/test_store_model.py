"""Any sequence of put, crash, compact, drop, damage and read agrees with a dictionary."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from cachefill import OTHER, RECORD, features, fill, open_writer, segments
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from vqa.cache import compaction as compaction_module
from vqa.cache.compaction import compact_cache
from vqa.cache.dropping import drop_candidate
from vqa.cache.segment import open_segment, read_videos
from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.records import CandidateRecord

CANDIDATES = st.sampled_from([RECORD, OTHER])
KEYS = st.sampled_from("abcdefgh")


class Crash(BaseException):
    """The process ends here."""


class Cache(RuleBasedStateMachine):
    """A cache beside the dictionary that it should agree with."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="vqa-model-"))
        self.expected: dict[tuple[CandidateRecord, str], int] = {}
        self.reader = FeatureStore(self.root)
        self.next_value = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def _fresh(self, keys: list[str]) -> dict[str, int]:
        """Return keys with values that no key ever had."""
        first, self.next_value = self.next_value, self.next_value + len(keys)
        return dict(zip(keys, range(first, self.next_value), strict=True))

    def _expect(self, record: CandidateRecord, values: dict[str, int]) -> None:
        for key, value in values.items():
            self.expected.setdefault((record, key), value)  # the older wins

    @rule(record=CANDIDATES, keys=st.lists(KEYS, min_size=1, unique=True), size=st.integers(1, 4))
    def put(self, record: CandidateRecord, keys: list[str], size: int) -> None:
        values = self._fresh(keys)
        fill(self.root, values, record=record, max_videos=size)
        self._expect(record, values)

    @rule(record=CANDIDATES, keys=st.lists(KEYS, min_size=2, unique=True), after=st.integers(0, 6))
    def crash_while_writing(self, record: CandidateRecord, keys: list[str], after: int) -> None:
        """Segments of one video; the process ends in the middle of writing one of them."""
        values = self._fresh(keys)
        with crashing(Path, "replace", after):
            writer = open_writer(self.root, record, max_videos=1)
            for key, value in values.items():
                writer.put(key, features(value), seconds=1)
        self._expect(record, {key: value for number, (key, value) in enumerate(values.items()) if number < after})

    @rule()
    def compact(self) -> None:
        compact_cache(self.root)

    @rule(size=st.integers(20_000, 60_000))
    def compact_a_little(self, size: int) -> None:
        compact_cache(self.root, target_bytes=size)

    @rule(after=st.integers(0, 2))
    def crash_before_a_merge_is_there(self, after: int) -> None:
        with crashing(Path, "replace", after):
            compact_cache(self.root)

    @rule(after=st.integers(0, 2))
    def crash_before_the_merged_are_gone(self, after: int) -> None:
        with crashing(compaction_module, "_remove", after):
            compact_cache(self.root)

    @rule(record=CANDIDATES)
    def drop(self, record: CandidateRecord) -> None:
        drop_candidate(self.root, record.fingerprint)
        self.expected = {place: value for place, value in self.expected.items() if place[0] != record}

    @rule(record=CANDIDATES)
    def crash_while_dropping(self, record: CandidateRecord) -> None:
        with crashing(shutil, "rmtree", 0):
            drop_candidate(self.root, record.fingerprint)
        self.expected = {place: value for place, value in self.expected.items() if place[0] != record}

    @precondition(lambda self: segments(self.root))
    @rule(number=st.integers(0, 99))
    def damage_and_repair(self, number: int) -> None:
        """A segment goes; what others hold, too, stays, and a younger copy takes the place of a lost older one."""
        paths = segments(self.root)
        path = paths.pop(number % len(paths))
        path.write_bytes(path.read_bytes()[:-1])
        assert verify_cache(self.root, repair=True).quarantined == (
            self.root / "quarantine" / path.parent.name / path.name,
        )
        self.reader = FeatureStore(self.root)
        self.expected = {place: value for place, value in self.expected.items() if place[0] != RECORD}
        for segment in map(open_segment, paths):
            for key, video in zip(segment.keys, read_videos(segment, range(len(segment.keys))), strict=True):
                self.expected.setdefault((RECORD, key), int(video.values[0, 0]))

    def _read(self, record: CandidateRecord) -> dict[str, int]:
        """Read through a store that has listed earlier states, too."""
        self.reader.refresh()
        keys = sorted(self.reader.keys(record.fingerprint))
        means = self.reader.read_means(record.fingerprint, keys)[:, 0].tolist() if keys else []
        return {key: int(value) for key, value in zip(keys, means, strict=True)}

    @invariant()
    def agrees(self) -> None:
        for record in (RECORD, OTHER):
            mine = {key: value for (other, key), value in self.expected.items() if other == record}
            assert self._read(record) == mine

    @invariant()
    def is_good(self) -> None:
        assert verify_cache(self.root).damages == ()


@contextlib.contextmanager
def crashing(owner: object, name: str, after: int):
    """End the block, as if the process had been killed, in the call of that number; what was done stays done."""
    real, calls = getattr(owner, name), []  # of renames those of segments count

    def call(*arguments, **options):
        if name != "replace" or arguments[1].suffix == ".h5":
            calls.append(name)
        if len(calls) > after:
            raise Crash
        return real(*arguments, **options)

    setattr(owner, name, call)
    try:
        with contextlib.suppress(Crash):
            yield
    finally:
        setattr(owner, name, real)


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=10, stateful_step_count=20, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
def test_many_more_lives_of_a_cache_are_as_the_model_says() -> None:
    run_state_machine_as_test(Cache, settings=settings(TestCache.settings, max_examples=100))
