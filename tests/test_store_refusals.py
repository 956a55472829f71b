"""What a store refuses, by name and in one line, and what it leaves aside."""

import os
import shutil

import numpy as np
import pytest
from cachefill import FINGERPRINT, OTHER, features, fill, open_writer, segments

from vqa.cache.segment import SegmentRow
from vqa.cache.segmentwriting import write_segment
from vqa.cache.store import FeatureStore, folder_name
from vqa.errors import CacheError
from vqa.records import CandidateRecord, VideoFeatures


def test_a_damaged_segment_is_named_and_hides_no_other_candidate(tmp_path):
    fill(tmp_path, {"a": 1})
    fill(tmp_path, {"a": 1}, record=OTHER)
    (path,) = segments(tmp_path, OTHER)
    path.write_bytes(b"garbage")
    store = FeatureStore(tmp_path)
    assert store.keys(FINGERPRINT) == {"a"}
    with pytest.raises(
        CacheError, match=r"\.h5: this segment can't be read .*; run `vqa cache verify --repair`, then `vqa extract`"
    ):
        store.keys(OTHER.fingerprint)
    path.unlink()
    assert [stored.record.fingerprint for stored in FeatureStore(tmp_path).candidates()] == [FINGERPRINT]


def test_files_and_folders_of_others_are_left_aside(tmp_path):
    fill(tmp_path, {"a": 1})
    folder = segments(tmp_path)[0].parent
    (folder / ".a.h5.1-ab.tmp").write_bytes(b"half")
    (folder / "._20260102.h5").write_bytes(b"a file manager's")
    (folder / "README.txt").write_text("notes")
    (tmp_path / "failures").mkdir()
    (tmp_path / "my-old-notes").mkdir()
    (tmp_path / "keys.jsonl").write_text("")
    assert [stored.videos for stored in FeatureStore(tmp_path).candidates()] == [1]


def test_a_segment_in_the_wrong_folder_is_refused(tmp_path):
    fill(tmp_path, {"a": 1})
    fill(tmp_path, {"b": 1}, record=OTHER)
    (path,) = segments(tmp_path, OTHER)
    shutil.copy(path, segments(tmp_path)[0].parent)
    with pytest.raises(
        CacheError, match=rf"does not fit its folder \(it belongs to timm:other-{OTHER.fingerprint}\); run"
    ):
        FeatureStore(tmp_path).keys(FINGERPRINT)


def test_segments_that_differ_in_weights_or_width_are_refused(tmp_path):
    writer = open_writer(tmp_path)
    fill(tmp_path, {"a": 1}, weights="e" * 64)
    writer.put("b", features(1), seconds=0)
    writer.close()
    with pytest.raises(CacheError, match="it comes from other weights than "):
        FeatureStore(tmp_path).keys(FINGERPRINT)
    segments(tmp_path)[0].unlink()
    write_segment(writer.folder, writer.provenance, [SegmentRow("c", features(1, width=5), 0)], seconds=0)
    with pytest.raises(CacheError, match=r"it has 5 features a row, .* has 3"):
        FeatureStore(tmp_path).keys(FINGERPRINT)


def test_a_writer_refuses_changed_weights(tmp_path):
    fill(tmp_path, {"a": 1})
    with pytest.raises(
        CacheError, match=r"the weights changed \(SHA-256 eeeeeeeeeeee\.\.\., cached .* from ffffffffffff"
    ):
        open_writer(tmp_path, weights="e" * 64)


def test_a_writer_refuses_another_width(tmp_path):
    fill(tmp_path, {"a": 1})
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
    fill(tmp_path, {"a": 1})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CacheError, match=r"can't be written \(no permission\)"):
        open_writer(tmp_path)
    assert FeatureStore(tmp_path).read_means(FINGERPRINT, ["a"]).tolist() == [[1, 1, 1]]


def test_a_read_only_cache_can_be_read(tmp_path):
    fill(tmp_path, {"a": 1})
    (path,) = segments(tmp_path)
    for place in (path, path.parent, tmp_path):
        place.chmod(0o444 if place == path else 0o555)
    try:
        assert FeatureStore(tmp_path).read_means(FINGERPRINT, ["a"]).tolist() == [[1, 1, 1]]
    finally:
        for place in (tmp_path, path.parent):
            place.chmod(0o755)


def test_one_fingerprint_under_two_names_is_one_candidate(tmp_path):
    fill(tmp_path, {"a": 1})
    (folder,) = tmp_path.glob("*-" + FINGERPRINT)
    folder.rename(tmp_path / f"timm_older_name-{FINGERPRINT}")
    fill(tmp_path, {"b": 2})
    assert len(list(tmp_path.glob("*-" + FINGERPRINT))) == 1
    assert FeatureStore(tmp_path).keys(FINGERPRINT) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("open_clip:ViT-B-32/openai", "open_clip_ViT-B-32_openai"),
        ("timm:net//home/me/../w.pth@crop", "timm_net_home_me_.._w.pth@crop"),
        ("../../é", "candidate"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_folder_name_is_safe_and_readable(name, folder):
    assert folder_name(CandidateRecord(name, "0123456789ab", "{}")) == f"{folder}-0123456789ab"


def test_a_fingerprint_never_becomes_a_path(tmp_path):
    with pytest.raises(CacheError, match="can't be part of a folder's name"):
        open_writer(tmp_path, record=CandidateRecord("timm:x", "../../etc", "{}"))
