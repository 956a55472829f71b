"""What a run on a cluster leaves in a cache when it is killed goes, once it is old; nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from cachefill import fill, held
from s3server import Bucket

from vqa.cache.compaction import compact_cache
from vqa.cache.verifying import sweep_cache, verify_cache
from vqa.urls import place_of

OLD = [f".node-{'0123456789abcdef'}", f".node-{'0' * 16}-{'f' * 16}"]
OTHER = [".node-x", f".node-{'0' * 16}-x", "node-0123456789abcdef", f".node-{'0' * 17}"]
HOURS = 3600


def test_old_marks_of_clusters_go_with_a_repair_and_new_ones_stay(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 1})
    now = time.time()
    for name, age in [*((name, 25) for name in (*OLD, *OTHER)), (f".node-{'1' * 16}", 23)]:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now, now - age * HOURS))
    assert verify_cache(tmp_path).swept == 0
    assert verify_cache(tmp_path, repair=True).swept == 2
    left = {path.name for path in tmp_path.iterdir() if "node-" in path.name}
    assert left == {*OTHER, f".node-{'1' * 16}"}
    assert held(tmp_path) == {"a": 1}


def test_old_marks_of_clusters_go_with_a_compaction_of_a_remote_cache(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = place_of(f"{bucket.url}/cache")
    fill(root, {"a": 1})
    for name in (*OLD, *OTHER):
        bucket.put(f"cache/{name}", b"")
    assert sweep_cache(root) == 0
    later = time.time_ns() + 25 * HOURS * 10**9
    monkeypatch.setattr("vqa.cache.verifying.time.time_ns", lambda: later)
    assert compact_cache(root).swept == 2
    assert sorted(name for name in bucket.names("cache/") if "node-" in name) == sorted(f"cache/{x}" for x in OTHER)
    assert held(root) == {"a": 1}
