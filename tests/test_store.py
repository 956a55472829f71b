"""A folder of segments, read as one table, whatever happens to those who write it."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vqa.cache import contents as contents_module
from vqa.cache.store import FeatureStore, time_average
from vqa.errors import CacheError, CacheMissError
from vqa.files import sha256_of
from vqa.records import CandidateRecord, VideoFeatures

FINGERPRINT = "0123456789ab"
RECORD = CandidateRecord("timm:resnet18.a1_in1k@resize", FINGERPRINT, '{"frames":2}')
WEIGHTS = "f" * 64
REPOSITORY = Path(__file__).resolve().parents[1]


def features(value, *, rows=2, width=3):
    return VideoFeatures(np.full((rows, width), value, np.float16), np.arange(rows, dtype=np.float64))


def open_writer(root, *, record=RECORD, weights=WEIGHTS, **limits):
    return FeatureStore(root).writer(record, weights_sha256=weights, versions={"torch": "2.9"}, **limits)


def put_all(root, values, **options):
    with open_writer(root, **options) as writer:
        for key, value in values.items():
            writer.put(key, features(value), seconds=0.5)


def segments(root):
    return sorted(root.glob("*/*.h5"), key=lambda path: path.name)


def test_what_was_put_is_read_back_and_described(tmp_path):
    put_all(tmp_path / "cache", {"a": 1, "b": 2, "c": 3}, max_videos=2)
    store = FeatureStore(tmp_path / "cache")
    (stored,) = store.candidates()
    assert stored.record == RECORD
    assert stored.folder == tmp_path / "cache" / "timm_resnet18.a1_in1k@resize-0123456789ab"
    assert (stored.videos, stored.segments, stored.width, stored.seconds) == (3, 2, 3, 1.5)
    assert stored.bytes == sum(path.stat().st_size for path in segments(tmp_path / "cache"))
    assert stored.weights_sha256 == WEIGHTS
    assert store.keys(FINGERPRINT) == {"a", "b", "c"}
    assert store.read(FINGERPRINT, "b").values.tolist() == [[2, 2, 2], [2, 2, 2]]
    assert store.cost_ms(FINGERPRINT) == 500.0


def test_a_cache_that_does_not_exist_is_empty_and_stays_so(tmp_path):
    store = FeatureStore(tmp_path / "cache")
    assert store.candidates() == ()
    assert store.keys(FINGERPRINT) == frozenset()
    assert not (tmp_path / "cache").exists()


def test_git_is_told_to_leave_the_cache_alone(tmp_path):
    put_all(tmp_path / "cache", {"a": 1})
    assert (tmp_path / "cache" / ".gitignore").read_text() == "*\n"


def test_means_come_in_the_order_of_the_keys_whatever_segment_holds_them(tmp_path):
    put_all(tmp_path, {f"v{n}": n for n in range(7)}, max_videos=2)
    means = FeatureStore(tmp_path).read_means(FINGERPRINT, ["v5", "v0", "v6", "v1", "v5"])
    assert means.dtype == np.float32
    assert means.tolist() == [[5] * 3, [0] * 3, [6] * 3, [1] * 3, [5] * 3]


def test_a_mean_does_not_overflow_float16():
    assert time_average(features(60000, rows=4)).tolist() == [60000.0] * 3


def test_missing_videos_are_counted_and_the_command_that_fills_them_is_named(tmp_path):
    put_all(tmp_path, {"a": 1})
    store = FeatureStore(tmp_path)
    message = (
        "2 of 3 videos have no features of timm:resnet18.a1_in1k@resize in the cache; "
        "run `vqa extract --models timm:resnet18.a1_in1k@resize`"
    )
    with pytest.raises(CacheMissError) as info:
        store.read_means(FINGERPRINT, ["x", "a", "y"])
    assert str(info.value) == message
    with pytest.raises(CacheMissError, match="1 of 1 videos have no features of candidate 999999"):
        store.read("999999", "a")
    with pytest.raises(CacheMissError, match="no features of candidate 999999; run `vqa extract`"):
        store.cost_ms("999999")


def test_where_two_segments_hold_a_video_the_older_wins(tmp_path):
    put_all(tmp_path, {"a": 1})
    put_all(tmp_path, {"a": 2, "b": 3})
    store = FeatureStore(tmp_path)
    assert store.read_means(FINGERPRINT, ["a", "b"])[:, 0].tolist() == [1, 3]
    assert store.candidates()[0].videos == 2


def test_new_segments_appear_on_refresh_and_old_ones_are_not_opened_again(tmp_path, monkeypatch):
    opened = []
    real = contents_module.open_segment
    monkeypatch.setattr(contents_module, "open_segment", lambda path: opened.append(path.name) or real(path))
    put_all(tmp_path, {"a": 1})
    store = FeatureStore(tmp_path)
    opened.clear()
    assert store.keys(FINGERPRINT) == {"a"}
    put_all(tmp_path, {"b": 2})
    opened.clear()
    assert store.keys(FINGERPRINT) == {"a"}
    store.refresh()
    assert store.keys(FINGERPRINT) == {"a", "b"}
    assert opened == [segments(tmp_path)[1].name]


def test_a_segment_is_closed_after_its_number_of_videos(tmp_path):
    with open_writer(tmp_path, max_videos=3, max_seconds=1e9) as writer:
        for number in range(7):
            writer.put(f"v{number}", features(number), seconds=0)
        assert len(segments(tmp_path)) == 2
    assert len(segments(tmp_path)) == 3


def test_a_segment_is_closed_after_its_time(tmp_path):
    with open_writer(tmp_path, max_videos=1000, max_seconds=0.0) as writer:
        writer.put("a", features(1), seconds=0)
        assert len(segments(tmp_path)) == 1
    assert len(segments(tmp_path)) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_an_interruption_keeps_what_was_put(tmp_path, kind):
    def write_two_and_fail():
        with open_writer(tmp_path) as writer:
            writer.put("a", features(1), seconds=0)
            writer.put("b", features(2), seconds=0)
            raise kind

    with pytest.raises(kind):
        write_two_and_fail()
    assert FeatureStore(tmp_path).keys(FINGERPRINT) == {"a", "b"}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
sys.path.insert(0, sys.argv[3])
import test_store
replace, count = Path.replace, 0

def replace_twice(self, target):
    global count
    if target.suffix == ".h5":
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = replace_twice
test_store.put_all(Path(sys.argv[1]), {f"v{n}": n for n in range(10)}, max_videos=2)
"""


def test_a_killed_writer_leaves_only_whole_segments(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(REPOSITORY), str(REPOSITORY / "tests")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (folder,) = tmp_path.glob("*-" + FINGERPRINT)
    assert len(list(folder.glob(".*.tmp"))) == 1
    assert len(segments(tmp_path)) == 2
    assert all(path.stem.endswith(sha256_of(path)) for path in segments(tmp_path))
    store = FeatureStore(tmp_path)
    assert store.read_means(FINGERPRINT, ["v0", "v1", "v2", "v3"])[:, 0].tolist() == [0, 1, 2, 3]
    assert store.keys(FINGERPRINT) == {"v0", "v1", "v2", "v3"}
    put_all(tmp_path, {"v4": 4})
    store.refresh()
    assert len(store.keys(FINGERPRINT)) == 5
    assert list(folder.glob(".*")) == []


def test_two_writers_at_once_lose_nothing(tmp_path):
    with open_writer(tmp_path, max_videos=1) as one, open_writer(tmp_path, max_videos=2) as two:
        for number in range(4):
            one.put(f"one{number}", features(number), seconds=0)
            two.put(f"two{number}", features(number), seconds=0)
    assert FeatureStore(tmp_path).keys(FINGERPRINT) == {f"{who}{n}" for who in ("one", "two") for n in range(4)}


def test_two_processes_write_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[3:5]; import test_store; "
        "test_store.put_all(Path(sys.argv[1]), {sys.argv[2] + str(n): n for n in range(20)}, max_videos=1)"
    )
    paths = [str(REPOSITORY), str(REPOSITORY / "tests")]
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), who, *paths]) for who in "xy"]
    assert [child.wait() for child in children] == [0, 0]
    store = FeatureStore(tmp_path)
    assert store.keys(FINGERPRINT) == {f"{who}{n}" for who in "xy" for n in range(20)}
    assert store.candidates()[0].segments == 40


def test_a_rename_that_fails_leaves_nothing_visible(tmp_path, monkeypatch):
    writer = open_writer(tmp_path, max_videos=1)

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(CacheError, match=r"can't be written \(Permission denied\)"):
        writer.put("a", features(1), seconds=0)
    assert list(writer.folder.iterdir()) == []
    monkeypatch.undo()
    writer.close()
    assert FeatureStore(tmp_path).keys(FINGERPRINT) == {"a"}
