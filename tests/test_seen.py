"""Keys that a run has come by, counted in 8 bytes each."""

from __future__ import annotations

import hashlib

import pytest

from vqa.pipeline.cluster import seen
from vqa.pipeline.cluster.seen import Seen


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_a_key_is_new_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_RECENT", 10)  # most are then found among the sorted ones
    found = Seen()
    assert all(found.add(key(number)) for number in range(105))
    assert not any(found.add(key(number)) for number in range(105))
    assert len(found) == 105


def test_keys_at_both_ends_of_the_range_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_RECENT", 2)
    found = Seen()
    ends = ["0" * 64, "f" * 64, "f" * 15 + "e" + "0" * 48, "0" * 15 + "1" + "0" * 48]
    assert [found.add(each) for each in [*ends, *ends]] == [True] * 4 + [False] * 4


def test_keys_with_the_same_first_64_bits_count_as_one() -> None:
    found = Seen()
    assert found.add("a" * 64)
    assert not found.add("a" * 16 + "b" * 48)
    assert len(found) == 1
