"""A cache at a URL holds what one in a folder holds, and is kept by the same commands."""

import contextlib
import hashlib
import io
import pickle
import subprocess
import sys
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from cachefill import FINGERPRINT, OTHER, fill, held

from vqa.answers import status_of
from vqa.cache import compaction, marks
from vqa.cache.compaction import compact_cache
from vqa.cache.dropping import drop_candidate
from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.errors import StorageError
from vqa.records import VideoFeatures
from vqa.remote import RemotePath
from vqa.urls import place_of


@pytest.fixture
def root(bucket):
    return place_of(f"{bucket.url}/cache")


def test_a_cache_at_a_url_gives_back_what_was_put(root, bucket):
    fill(root, {"a": 1, "b": 2, "c": 3}, max_videos=2)
    assert held(root) == {"a": 1, "b": 2, "c": 3}
    assert len(bucket.segments()) == 2
    assert verify_cache(root).good


def test_what_another_program_puts_is_seen_after_a_refresh(root, bucket):
    fill(root, {"a": 1})
    store = FeatureStore(root)
    assert store.keys(FINGERPRINT) == {"a"}
    fill(place_of(f"{bucket.url}/elsewhere"), {"b": 2})
    (elsewhere,) = bucket.segments("elsewhere/")
    bucket.put(elsewhere.replace("elsewhere/", "cache/"), bucket.get(elsewhere))
    assert store.keys(FINGERPRINT) == {"a"}
    store.refresh()
    assert store.keys(FINGERPRINT) == {"a", "b"}
    bucket.delete(elsewhere.replace("elsewhere/", "cache/"))
    store.refresh()
    assert store.keys(FINGERPRINT) == {"a"}


def test_compaction_keeps_every_row_in_one_segment(root, bucket):
    fill(root, {"a": 1, "b": 2, "c": 3, "d": 4}, max_videos=1)
    fill(root, {"e": 5, "a": 6})
    report = compact_cache(root)
    assert (report.segments_before, report.segments_after) == (5, 1)
    assert len(bucket.segments()) == 1
    assert held(root) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert verify_cache(root).good


def test_a_flipped_byte_is_found_and_its_segment_moved_away(root, bucket):
    fill(root, {"a": 1, "b": 2}, max_videos=1)
    broken = bucket.segments()[0]
    content = bytearray(bucket.get(broken))
    content[-1] ^= 1  # HDF5 does not notice
    bucket.put(broken, bytes(content))
    (damage,) = verify_cache(root).damages
    assert (damage.kind, str(damage.path)) == ("bytes", f"{bucket.url}/{broken}")
    (moved,) = verify_cache(root, repair=True).quarantined
    assert bucket.get(str(moved).removeprefix(f"{bucket.url}/")) == content
    assert broken not in bucket.names()
    assert held(root) == {"b": 2}
    assert verify_cache(root).good


def test_a_dropped_candidate_leaves_nothing_and_the_other_one_stays(root, bucket):
    fill(root, {f"k{n}": n for n in range(3)}, max_videos=1)
    fill(root, {"a": 1}, record=OTHER)
    drop_candidate(root, FINGERPRINT)
    assert held(root) == {}
    assert held(root, OTHER) == {"a": 1}
    (mark,) = [name for name in bucket.names() if FINGERPRINT in name]
    assert (".dropped-" in mark, bucket.get(mark)) == (True, b"")  # hides what a compaction may yet make of them


def test_a_drop_that_is_killed_hides_all_at_once_and_the_next_chore_ends_it(root, bucket, monkeypatch):
    fill(root, {f"k{n}": n for n in range(3)}, max_videos=1)
    removed = []

    def strike(path, *, missing_ok=False):
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        bucket.delete(str(path).removeprefix(f"{bucket.url}/"))

    monkeypatch.setattr(RemotePath, "unlink", strike)
    with contextlib.suppress(KeyboardInterrupt):
        drop_candidate(root, FINGERPRINT)
    monkeypatch.undo()
    assert len(bucket.segments()) == 2
    assert held(root) == {}
    fill(root, {"new": 7})
    assert held(root) == {"new": 7}
    verify_cache(root, repair=True)
    assert len(bucket.segments()) == 1
    assert held(root) == {"new": 7}
    assert len([name for name in bucket.names() if ".dropped-" in name]) == 1
    monkeypatch.setattr(marks.time, "time_ns", lambda: 10**10 * 10**9)  # a day later
    verify_cache(root, repair=True)
    assert not [name for name in bucket.names() if ".dropped-" in name]
    assert held(root) == {"new": 7}


def test_a_compaction_does_not_bring_back_what_is_dropped_meanwhile(root, bucket, monkeypatch):
    real = compaction.write_segment

    def drop_then_write(*arguments, **options):
        drop_candidate(root, FINGERPRINT)
        return real(*arguments, **options)

    fill(root, {"a": 1, "b": 2}, max_videos=1)
    monkeypatch.setattr(compaction, "write_segment", drop_then_write)
    compact_cache(root)
    monkeypatch.undo()
    assert held(root) == {}
    fill(root, {"a": 7})
    assert held(root) == {"a": 7}
    compact_cache(root)
    assert (len(bucket.segments()), held(root)) == (1, {"a": 7})


def test_two_compactions_at_once_keep_every_row(root, bucket, monkeypatch):
    real, inside = compaction.write_segment, []

    def write_then_compact(*arguments, **options):
        path = real(*arguments, **options)
        if not inside:
            inside.append(path)
            compact_cache(root)
        return path

    fill(root, {"a": 1, "b": 2, "c": 3}, max_videos=1)
    monkeypatch.setattr(compaction, "write_segment", write_then_compact)
    compact_cache(root)
    assert held(root) == {"a": 1, "b": 2, "c": 3}
    assert len(bucket.segments()) == 1


def test_few_rows_of_a_large_segment_are_read_without_the_rest(root, monkeypatch):
    wide = np.random.default_rng(0).normal(size=(200, 8, 4096)).astype(np.float16)
    times = np.arange(8, dtype=np.float64)
    with FeatureStore(root).writer(OTHER, weights_sha256="f" * 64, versions={"torch": "2"}, max_videos=300) as writer:
        for number, values in enumerate(wide):
            writer.put(f"k{number}", VideoFeatures(values, times), seconds=0.1)
    store = FeatureStore(root)
    size = store.candidates()[0].bytes
    asked = []
    read_range = RemotePath.read_range
    monkeypatch.setattr(
        RemotePath, "read_range", lambda path, start, stop: asked.append(stop - start) or read_range(path, start, stop)
    )
    assert np.array_equal(store.read(OTHER.fingerprint, "k117").values, wide[117])
    assert size > 13_000_000
    assert 0 < sum(asked) < 5_000_000
    mean = store.read_means(OTHER.fingerprint, ["k0", "k199"])[1]
    assert np.array_equal(mean, wide[199].mean(0, dtype=np.float64).astype(np.float32))


def test_a_memory_of_the_process_serves_as_well():
    root = place_of("memory://cache")
    fill(root, {"a": 1, "b": 2}, max_videos=1)
    assert compact_cache(root).segments_after == 1
    assert held(root) == {"a": 1, "b": 2}
    drop_candidate(root, FINGERPRINT)
    assert held(root) == {}


def test_a_path_travels_between_processes_and_keeps_odd_names(root):
    odd = root / "a b#1" / "50%20?.mp4"
    odd.write_bytes(b"1234")
    again = pickle.loads(pickle.dumps(odd))
    assert (again, again.read_bytes(), str(again)) == (odd, b"1234", str(odd))
    assert [str(path) for path in root.walk_files()] == [str(odd)]
    assert root.walk_files()[0].stat() == odd.stat()


def test_an_object_put_anew_within_a_second_is_another_one_by_its_etag():
    def status(etag, time):
        return status_of({"type": "file", "size": 3, "ETag": etag, "LastModified": time})

    listed, asked = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), datetime(2026, 1, 2, 3, 4, 5, 0, UTC)
    assert status("a", listed) == status("a", asked)  # some servers list fractions and answer without
    assert status("a", asked) != status("b", asked)
    assert status("a", asked).st_mtime_ns // 10**9 == 1767323045
    assert status(None, listed).st_mtime_ns == 1767323045678000000


def test_a_segment_that_leads_out_of_itself_is_refused_there_too(root, bucket):
    fill(root, {"a": 1})
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        for name in ("schema", "name", "fingerprint", "candidate", "weights_sha256", "versions", "seconds"):
            file.attrs[name] = 2
        file["keys"] = h5py.ExternalLink("/etc/passwd", "/keys")
    content = image.getvalue()
    folder = bucket.segments()[0].rsplit("/", 1)[0]
    bucket.put(f"{folder}/20260102T030405.000000006Z-00000000-{hashlib.sha256(content).hexdigest()}.h5", content)
    (damage,) = verify_cache(root).damages
    assert (damage.kind, damage.reason) == ("form", "keys is missing or a link")


def test_a_url_of_a_file_is_a_local_path():
    assert place_of("file:///data/my%20cache").as_posix() == "/data/my cache"


def test_local_paths_load_nothing_for_urls(tmp_path):
    code = (
        "import sys; from pathlib import Path; import vqa.copies, vqa.dataset, vqa.workspace, vqa.cache.verifying\n"
        f"from vqa.cache.store import FeatureStore; FeatureStore(Path({str(tmp_path)!r})).candidates()\n"
        "from vqa.urls import place_of; place_of('file:///x'); place_of('cache')\n"
        "print(sorted({'fsspec', 'upath', 's3fs', 'vqa.remote'} & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://x/y", "nosuch:// can't be used; mount"),
        ("s3://no-such-bucket/cache", "The specified bucket does not exist"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_place_that_can_not_be_is_one_line(s3, url, said):
    with pytest.raises(StorageError, match=said) as caught:
        FeatureStore(place_of(url)).candidates()
    assert "\n" not in str(caught.value)
