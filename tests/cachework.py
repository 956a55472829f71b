"""A short life of a cache, of keys, features of two candidates, and failures; and what must be left of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from vqa.cache.compaction import compact_cache
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore
from vqa.files import sha256_of
from vqa.records import EVERY_CANDIDATE, CandidateRecord, Failure, VideoFeatures, fingerprint_of

DETAILS = {"trap:first": '{"frames":2}', "trap:second": '{"frames":3}'}
CANDIDATES = {
    fingerprint_of(details): CandidateRecord(name, fingerprint_of(details), details)
    for name, details in DETAILS.items()
}
KEYS = ("k0", "k1", "k2", "k3")
VIDEOS = ("v0", "v1", "v2")

Acknowledge = Callable[[tuple[str, ...]], None]
"""Told of each thing that the cache has promised to keep."""


def features(fingerprint: str, key: str) -> VideoFeatures:
    """Return what a candidate gives for a video: 3 rows of 4 features that no other pair has."""
    first = 100 * list(CANDIDATES).index(fingerprint) + 10 * KEYS.index(key)
    values = np.arange(first, first + 12, dtype=np.float16).reshape(3, 4)
    return VideoFeatures(values, first + np.arange(3, dtype=np.float64))


def failure(video: str) -> Failure:
    return Failure(video, f"key of {video}", "*", EVERY_CANDIDATE, "decode", "broken", "2026-01-01T00:00:00+00:00")


def make_videos(folder: Path) -> list[Path]:
    """Write files to be hashed; their bytes need be no video."""
    folder.mkdir()
    for name in VIDEOS:
        (folder / name).write_bytes(name.encode() * 50)
    return [folder / name for name in VIDEOS]


def work(cache: Path, videos: Iterable[Path], acknowledge: Acknowledge) -> None:
    """Fill a cache with whatever it lacks, and compact it; segments hold two videos."""
    memo, ledger, store = KeyMemo(cache), Ledger(cache), FeatureStore(cache)
    for video in videos:
        memo.key(video)
    for fingerprint, record in CANDIDATES.items():
        missing = [key for key in KEYS if key not in store.keys(fingerprint)]
        with store.writer(record, weights_sha256="f" * 64, versions={"torch": "2"}, max_videos=2) as writer:
            for key in missing:
                writer.put(key, features(fingerprint, key), seconds=0.1)
                if missing.index(key) % 2:
                    acknowledge(("row", fingerprint, missing[missing.index(key) - 1]))
                    acknowledge(("row", fingerprint, key))
        for video in VIDEOS:
            if not ledger.failed(f"key of {video}", fingerprint):
                ledger.add(failure(video))
                acknowledge(("failure", video))
    compact_cache(cache)


def check(cache: Path, videos: Iterable[Path], promised: Iterable[tuple[str, ...]]) -> None:
    """Assert that a cache holds all it promised, and nothing that is not as it should be."""
    store, ledger = FeatureStore(cache), Ledger(cache)
    found: set[tuple[str, ...]] = set()
    for fingerprint in CANDIDATES:
        for key in store.keys(fingerprint):
            read, right = store.read(fingerprint, key), features(fingerprint, key)
            assert np.array_equal(read.values, right.values), (fingerprint, key)
            assert np.array_equal(read.pts_seconds, right.pts_seconds), (fingerprint, key)
            found.add(("row", fingerprint, key))
    for entry in ledger.open_failures():
        assert entry == failure(entry.video)
        found.add(("failure", entry.video))
    assert set(promised) <= found
    memo = KeyMemo(cache)
    assert [memo.key(video) for video in videos] == [sha256_of(video) for video in videos]


def whole() -> set[tuple[str, ...]]:
    """Return all that is promised when the work is done."""
    rows = {("row", fingerprint, key) for fingerprint in CANDIDATES for key in KEYS}
    return rows | {("failure", video) for video in VIDEOS}
