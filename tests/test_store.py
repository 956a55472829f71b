"""A folder of segments, read as one table, whatever happens to those who write it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vqa.cache import contents as contents_module
from vqa.cache.segment import SegmentRow
from vqa.cache.segmentwriting import write_segment
from vqa.cache.store import FeatureStore, folder_name, time_average
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


def test_a_damaged_segment_is_named_and_hides_no_other_candidate(tmp_path):
    put_all(tmp_path, {"a": 1})
    put_all(tmp_path, {"a": 1}, record=CandidateRecord("timm:other", "abcdefabcdef", "{}"))
    (path,) = tmp_path.glob("*-abcdefabcdef/*.h5")
    path.write_bytes(b"garbage")
    store = FeatureStore(tmp_path)
    assert store.keys(FINGERPRINT) == {"a"}
    with pytest.raises(
        CacheError, match=r"\.h5: this segment can't be read .*; run `vqa cache verify --repair`, then `vqa extract`"
    ):
        store.keys("abcdefabcdef")
    path.unlink()
    assert [stored.record.fingerprint for stored in FeatureStore(tmp_path).candidates()] == [FINGERPRINT]


def test_files_and_folders_of_others_are_left_aside(tmp_path):
    put_all(tmp_path, {"a": 1})
    folder = segments(tmp_path)[0].parent
    (folder / ".a.h5.1-ab.tmp").write_bytes(b"half")
    (folder / "._20260102.h5").write_bytes(b"a file manager's")
    (folder / "README.txt").write_text("notes")
    (tmp_path / "failures").mkdir()
    (tmp_path / "my-old-notes").mkdir()
    (tmp_path / "keys.jsonl").write_text("")
    assert [stored.videos for stored in FeatureStore(tmp_path).candidates()] == [1]


def test_a_segment_in_the_wrong_folder_is_refused(tmp_path):
    other = CandidateRecord("timm:other", "abcdefabcdef", "{}")
    put_all(tmp_path, {"a": 1})
    put_all(tmp_path, {"b": 1}, record=other)
    (path,) = tmp_path.glob("*-abcdefabcdef/*.h5")
    shutil.copy(path, segments(tmp_path)[0].parent)
    with pytest.raises(CacheError, match=r"does not fit its folder \(it belongs to timm:other-abcdefabcdef\); run"):
        FeatureStore(tmp_path).keys(FINGERPRINT)


def test_segments_that_differ_in_weights_or_width_are_refused(tmp_path):
    writer = open_writer(tmp_path)
    put_all(tmp_path, {"a": 1}, weights="e" * 64)
    writer.put("b", features(1), seconds=0)
    writer.close()
    with pytest.raises(CacheError, match="it comes from other weights than "):
        FeatureStore(tmp_path).keys(FINGERPRINT)
    segments(tmp_path)[0].unlink()
    write_segment(writer.folder, writer.provenance, [SegmentRow("c", features(1, width=5), 0)], seconds=0)
    with pytest.raises(CacheError, match=r"it has 5 features a row, .* has 3"):
        FeatureStore(tmp_path).keys(FINGERPRINT)


def test_a_writer_refuses_changed_weights(tmp_path):
    put_all(tmp_path, {"a": 1})
    with pytest.raises(
        CacheError, match=r"the weights changed \(SHA-256 eeeeeeeeeeee\.\.\., cached .* from ffffffffffff"
    ):
        open_writer(tmp_path, weights="e" * 64)


def test_a_writer_refuses_another_width(tmp_path):
    put_all(tmp_path, {"a": 1})
    with pytest.raises(CacheError, match="5 features a row for video b, 3 for those before"):
        open_writer(tmp_path).put("b", features(1, width=5), seconds=0)


def test_a_writer_refuses_what_it_could_not_give_back(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.put("a", features(1), seconds=0)
        for key in ("", "a\0", "é" * 512 + "k"):
            with pytest.raises(ValueError, match="can't be the key of a video"):
                writer.put(key, features(1), seconds=0)
        with pytest.raises(TypeError, match="are float32; the cache stores float16"):
            writer.put("b", VideoFeatures(np.ones((1, 3), np.float32), np.zeros(1)), seconds=0)
    assert FeatureStore(tmp_path).keys(FINGERPRINT) == {"a"}


def test_a_cache_that_is_a_file_is_an_error_in_one_line(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(CacheError, match=r"cache: the cache can't be read \(Not a directory\); check the path"):
        FeatureStore(tmp_path / "cache").candidates()
    with pytest.raises(CacheError, match="Not a directory"):
        open_writer(tmp_path / "cache")


def test_a_cache_without_permission_refuses_the_writer_before_any_work_and_can_be_read(tmp_path, monkeypatch):
    put_all(tmp_path, {"a": 1})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CacheError, match=r"can't be written \(no permission\)"):
        open_writer(tmp_path)
    assert FeatureStore(tmp_path).read_means(FINGERPRINT, ["a"]).tolist() == [[1, 1, 1]]


def test_a_read_only_cache_can_be_read(tmp_path):
    put_all(tmp_path, {"a": 1})
    (path,) = segments(tmp_path)
    for place in (path, path.parent, tmp_path):
        place.chmod(0o444 if place == path else 0o555)
    try:
        assert FeatureStore(tmp_path).read_means(FINGERPRINT, ["a"]).tolist() == [[1, 1, 1]]
    finally:
        for place in (tmp_path, path.parent):
            place.chmod(0o755)


def test_one_fingerprint_under_two_names_is_one_candidate(tmp_path):
    put_all(tmp_path, {"a": 1})
    (folder,) = tmp_path.glob("*-" + FINGERPRINT)
    folder.rename(tmp_path / f"timm_older_name-{FINGERPRINT}")
    put_all(tmp_path, {"b": 2})
    assert len(list(tmp_path.glob("*-" + FINGERPRINT))) == 1
    assert FeatureStore(tmp_path).keys(FINGERPRINT) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("open_clip:ViT-B-32/openai", "open_clip_ViT-B-32_openai-0123456789ab"),
        ("timm:net//home/me/../w.pth@crop", "timm_net_home_me_.._w.pth@crop-0123456789ab"),
        ("../../é", "candidate-0123456789ab"),
        ("x" * 300, "x" * 80 + "-0123456789ab"),
    ],
)
def test_a_folder_name_is_safe_and_readable(name, folder):
    assert folder_name(CandidateRecord(name, FINGERPRINT, "{}")) == folder


def test_a_fingerprint_never_becomes_a_path(tmp_path):
    with pytest.raises(CacheError, match="can't be part of a folder's name"):
        open_writer(tmp_path, record=CandidateRecord("timm:x", "../../etc", "{}"))
