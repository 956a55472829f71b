"""`vqa cache verify`, `compact` and `drop` on a workspace."""

import json
from pathlib import Path

import pytest
from cachefill import FINGERPRINT, OTHER, RECORD, features, fill, held, segments

from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore
from vqa.records import EVERY_CANDIDATE, CandidateRecord, Failure, fingerprint_of


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace whose cache holds two candidates in five segments."""
    (tmp_path / "vqa.toml").write_text('[dataset]\nvideos = "clips"\n')
    fill(tmp_path / "cache", {"a": 1, "b": 2, "c": 3}, max_videos=1)
    fill(tmp_path / "cache", {"a": 4, "b": 5}, record=OTHER, max_videos=1)
    return tmp_path


def damage(workspace: Path) -> Path:
    path = segments(workspace / "cache")[1]
    path.write_bytes(path.read_bytes()[:-7])
    return path


def test_a_good_cache_ends_with_status_0(workspace, run):
    status, out, _ = run("cache", "verify", "-C", workspace)
    assert status == 0
    assert "5 of 5 segments are good (5 rows," in out


def test_damage_ends_with_status_3_and_names_file_kind_and_next_step(workspace, run):
    path = damage(workspace)
    status, out, _ = run("cache", "verify", "-C", workspace)
    assert status == 3
    assert "4 of 5 segments are good (4 rows," in out
    assert path.name[:20] in out
    assert "bytes" in out
    assert "Run `vqa cache verify --repair`" in out


def test_repair_moves_the_segment_and_says_where(workspace, run):
    path = damage(workspace)
    status, out, _ = run("cache", "verify", "--repair", "-C", workspace)
    assert status == 0
    assert f"Moved 1 segment(s) to {workspace}/cache/quarantine/{path.parent.name}" in out
    assert "Now run `vqa extract`" in out
    assert held(workspace / "cache") == {"a": 1, "c": 3}
    assert run("cache", "verify", "-C", workspace)[0] == 0


def test_verify_says_it_in_json_too(workspace, run):
    path = damage(workspace)
    status, out, _ = run("cache", "verify", "--json", "-C", workspace)
    report = json.loads(out)
    assert status == 3
    assert {entry["path"] for entry in report["damages"]} == {str(path)}
    assert report["damages"][0]["kind"] == "bytes"
    assert (report["segments"], report["videos"], report["quarantined"]) == (5, 4, [])


def test_compact_says_what_there_was_and_is(workspace, run):
    status, out, _ = run("cache", "compact", "-C", workspace)
    assert status == 0
    assert ": 5 segment(s) (" in out
    assert ") are now 2 (" in out
    assert held(workspace / "cache") == {"a": 1, "b": 2, "c": 3}


def test_compact_leaves_damaged_candidates_and_ends_with_status_3(workspace, run):
    path = segments(workspace / "cache")[1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    status, out, _ = run("cache", "compact", "-C", workspace)
    assert status == 3
    assert ") are now 4 (" in out
    assert "run `vqa cache verify --repair`, then compact again" in out


@pytest.mark.parametrize("name", [RECORD.name, FINGERPRINT, "timm:resnet*"])
def test_drop_removes_a_candidate_by_name_fingerprint_or_glob(workspace, run, name):
    status, out, _ = run("cache", "drop", name, "-C", workspace)
    assert status == 0
    assert RECORD.name in out
    assert OTHER.name not in out
    assert held(workspace / "cache") == {}
    assert held(workspace / "cache", OTHER) == {"a": 4, "b": 5}


def test_drop_of_an_unknown_name_drops_nothing(workspace, run):
    status, _, err = run("cache", "drop", OTHER.name, "timm:resnet19", "-C", workspace)
    assert status == 1
    assert "the cache holds no 'timm:resnet19'; did you mean timm:resnet18.a1_in1k or timm:other?" in err
    assert held(workspace / "cache", OTHER) == {"a": 4, "b": 5}


def test_drop_forgets_the_candidates_own_failures_alone(workspace, run):
    ledger = Ledger(workspace / "cache")
    for fingerprint in (FINGERPRINT, OTHER.fingerprint, EVERY_CANDIDATE):
        ledger.add(Failure("v.mp4", "0" * 64, fingerprint, fingerprint, "decode", "why", "2026-01-01T00:00:00+00:00"))
    _, out, _ = run("cache", "drop", FINGERPRINT, "-C", workspace)
    assert "1 failure(s) of theirs are forgotten" in out
    left = [failure.fingerprint for failure in Ledger(workspace / "cache").open_failures()]
    assert sorted(left) == sorted([OTHER.fingerprint, EVERY_CANDIDATE])


def test_a_folder_that_is_no_workspace_is_named(tmp_path, run):
    for chore in (("verify",), ("compact",), ("drop", "x")):
        status, _, err = run("cache", *chore, "-C", tmp_path)
        assert status == 1
        assert "has no vqa.toml" in err


def test_segments_of_one_model_that_saw_the_probe_otherwise_are_found(workspace, run):
    """Two machines began at once, with other versions of a library."""
    details = '{"precision":"float32"}'
    record = CandidateRecord("timm:both", fingerprint_of(details), details)
    for key, probe in (("a", (1.0, 2.0)), ("b", (1.0, 2.00001)), ("c", (1.0, 2.1))):
        with FeatureStore(workspace / "cache").writer(
            record, weights_sha256="f" * 64, versions={}, probe=probe
        ) as writer:
            writer.put(key, features(1), seconds=0)
    last = segments(workspace / "cache", record)[2]
    status, out, _ = run("cache", "verify", "--json", "-C", workspace)
    assert status == 3
    assert [(entry["path"], entry["kind"]) for entry in json.loads(out)["damages"]] == [(str(last), "probe")]
    assert run("cache", "verify", "--repair", "-C", workspace)[0] == 0
    assert held(workspace / "cache", record) == {"a": 1, "b": 1}
