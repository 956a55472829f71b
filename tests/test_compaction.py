"""Small segments become large ones; what the cache holds stays as it is, whatever stops the compaction."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from cachefill import FINGERPRINT, OTHER, fill, held, segments
from safetensors.numpy import load_file, save_file

from vqa.cache import compaction as compaction_module
from vqa.cache import index as index_module
from vqa.cache.compaction import compact_cache
from vqa.cache.dropping import drop_candidate
from vqa.cache.segment import open_segment
from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.errors import CacheError


@pytest.fixture
def cache(tmp_path):
    """Five segments; the last one has a video again, with other values."""
    fill(tmp_path, {"a": 1, "b": 2, "c": 3, "d": 4}, max_videos=1)
    fill(tmp_path, {"e": 5, "a": 6})
    return tmp_path


def rows(root):
    """All that a cache says of each video, but where it lies."""
    store = FeatureStore(root)
    found = {}
    for key in store.keys(FINGERPRINT):
        segment, position = store.locate(FINGERPRINT, key)
        video = store.read(FINGERPRINT, key)
        said = (video.values.tobytes(), video.pts_seconds.tobytes(), int(segment.created_ns[position]))
        found[key] = (*said, segment.provenance)
    return found


def test_small_segments_become_one_and_every_row_stays_as_it_was(cache):
    before = rows(cache)
    report = compact_cache(cache)
    assert (report.segments_before, report.segments_after) == (5, 1)
    assert report.bytes_after < report.bytes_before
    assert rows(cache) == before
    assert held(cache) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert verify_cache(cache).good
    assert FeatureStore(cache).candidates()[0].seconds == 2.5  # the second `a` went with its half second


def test_the_merged_segment_sorts_before_those_it_came_from(cache):
    oldest = segments(cache)[0].name
    compact_cache(cache)
    assert segments(cache)[0].name < oldest
    fill(cache, {"a": 9})
    assert held(cache)["a"] == 1


def test_segments_of_other_versions_stay_apart(cache):
    fill(cache, {"f": 6, "g": 7}, max_videos=1, torch="3.0")
    compact_cache(cache)
    assert [open_segment(path).provenance.versions for path in segments(cache)] == [{"torch": "2.9"}, {"torch": "3.0"}]


def test_large_segments_are_left_alone_and_merged_ones_stay_below_the_target(cache):
    size = segments(cache)[0].stat().st_size
    compact_cache(cache, target_bytes=size)
    assert len(segments(cache)) == 5
    compact_cache(cache, target_bytes=int(2.5 * size))
    assert len(segments(cache)) == 3
    assert held(cache) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


def test_a_second_compaction_changes_nothing(cache):
    compact_cache(cache)
    before = segments(cache)
    compact_cache(cache)
    assert segments(cache) == before


def test_a_segment_that_wins_nowhere_goes(cache):
    compact_cache(cache)
    fill(cache, {"a": 9, "b": 9})
    assert compact_cache(cache).segments_after == 1
    assert held(cache)["a"] == 1


def test_a_damaged_candidate_is_left_as_it_is_and_named(cache):
    fill(cache, {"a": 1, "b": 1}, record=OTHER, max_videos=1)
    path = segments(cache)[1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # HDF5 does not notice
    path.write_bytes(content)
    report = compact_cache(cache)
    assert [damage.path for damage in report.damages] == [path]
    assert len(segments(cache)) == 5
    assert len(segments(cache, OTHER)) == 1


def test_what_can_not_be_read_back_removes_nothing(cache, monkeypatch):
    real = compaction_module.write_segment

    def write_badly(*arguments, **options):
        path = real(*arguments, **options)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        return path

    monkeypatch.setattr(compaction_module, "write_segment", write_badly)
    with pytest.raises(CacheError, match=r"can't be read back .* nothing was removed, check the disk and run"):
        compact_cache(cache)
    assert len(segments(cache)) == 6
    verify_cache(cache, repair=True)
    assert held(cache) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


def _compact_until(root, stop):
    """Compact in a process that dies before its `stop`-th rename or removal."""
    calls = []

    def counted(function):
        def call(self, *arguments, **options):
            calls.append(function)
            if len(calls) > stop:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(self, *arguments, **options)

        return call

    Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
    compact_cache(root)
    os._exit(7)


def test_a_compaction_killed_at_any_of_its_steps_loses_nothing_and_the_next_one_ends_it(cache):
    before, stop, status = rows(cache), 0, None
    while status != 7:
        fill(cache, {"x": 1}, max_videos=1)
        worker = multiprocessing.get_context("fork").Process(target=_compact_until, args=(cache, stop))
        worker.start()
        worker.join()
        status, stop = worker.exitcode, stop + 1
        assert {key: row for key, row in rows(cache).items() if key != "x"} == before
        assert verify_cache(cache).good
    assert stop > 5
    compact_cache(cache)
    assert len(segments(cache)) == 1
    assert list(cache.rglob("*.tmp")) == []


def test_a_reader_that_listed_the_segments_before_finds_their_rows_after(cache):
    store = FeatureStore(cache)
    keys = sorted(store.keys(FINGERPRINT))
    compact_cache(cache)
    assert store.read_means(FINGERPRINT, keys)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert np.all(store.read(FINGERPRINT, "e").values == 5)


def _compact_often(root, barrier):
    barrier.wait()
    for number in range(6):
        fill(root, {f"{os.getpid()}-{number}": 1})
        compact_cache(root)


def test_compactions_and_writers_at_once_lose_nothing(cache):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_compact_often, args=(cache, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    compact_cache(cache)
    mine = {f"{worker.pid}-{number}": 1 for worker in workers for number in range(6)}
    assert held(cache) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5} | mine
    assert len(segments(cache)) == 1


def test_a_segment_quarantined_in_the_middle_takes_no_row_with_it(cache, monkeypatch):
    """The compaction has listed a damaged segment; before it reads it, a repair moves it away."""
    first = segments(cache)[0]
    first.write_bytes(b"garbage")
    real = compaction_module.segment_paths
    repairs = []

    def list_then_repair(folders):
        paths = real(folders)
        if not repairs and first in paths:
            repairs.append(verify_cache(cache, repair=True))
        return paths

    monkeypatch.setattr(compaction_module, "_weigh", lambda folders: (0, 0))
    monkeypatch.setattr(compaction_module, "segment_paths", list_then_repair)
    compact_cache(cache)
    assert len(repairs) == 1
    assert held(cache) == {"a": 6, "b": 2, "c": 3, "d": 4, "e": 5}


def test_a_candidate_dropped_in_the_middle_stays_dropped(cache, monkeypatch):
    real = compaction_module.write_segment

    def drop_first(*arguments, **options):
        drop_candidate(cache, FINGERPRINT)
        return real(*arguments, **options)

    monkeypatch.setattr(compaction_module, "write_segment", drop_first)
    compact_cache(cache)
    assert held(cache) == {}
    assert list(cache.glob(f"*{FINGERPRINT}*")) == []


def test_what_an_index_says_wrongly_is_not_merged(tmp_path):
    fill(tmp_path, {f"k{number}": number for number in range(40)}, max_videos=1)
    FeatureStore(tmp_path).keys(FINGERPRINT)
    file = segments(tmp_path)[0].parent / ".index"
    tensors = load_file(file) | {"created_ns": np.full(40, 5)}
    save_file(tensors, file, metadata={"schema": "1", "sha256": index_module._digest(tensors)})
    compact_cache(tmp_path)
    assert open_segment(segments(tmp_path)[0]).created_ns.min() > 10**18
