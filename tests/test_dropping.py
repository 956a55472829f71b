"""A candidate removed from the cache: all of it or nothing."""

import shutil

import pytest
from cachefill import FINGERPRINT, OTHER, features, fill, held, open_writer, segments

from vqa.cache.dropping import drop_candidate
from vqa.cache.store import FeatureStore


def test_one_candidate_goes_and_the_others_stay(tmp_path):
    fill(tmp_path, {"a": 1, "b": 2})
    fill(tmp_path, {"a": 3}, record=OTHER)
    drop_candidate(tmp_path, FINGERPRINT)
    assert held(tmp_path) == {}
    assert held(tmp_path, OTHER) == {"a": 3}
    assert list(tmp_path.glob(f"*{FINGERPRINT}*")) + list(tmp_path.glob(".dropped-*")) == []


def test_what_a_killed_drop_left_can_not_be_seen_and_goes_with_the_next(tmp_path, monkeypatch):
    fill(tmp_path, {"a": 1})
    monkeypatch.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        drop_candidate(tmp_path, FINGERPRINT)
    monkeypatch.undo()
    assert FeatureStore(tmp_path).candidates() == ()
    assert len(list(tmp_path.glob(".dropped-*/*.h5"))) == 1
    drop_candidate(tmp_path, "abcdefabcdef")
    assert list(tmp_path.glob(".dropped-*")) == []


def test_a_writer_whose_candidate_is_dropped_begins_anew(tmp_path):
    fill(tmp_path, {"a": 1})
    with open_writer(tmp_path) as writer:
        drop_candidate(tmp_path, FINGERPRINT)
        writer.put("b", features(2), seconds=0)
    assert held(tmp_path) == {"b": 2}
    assert len(segments(tmp_path)) == 1
