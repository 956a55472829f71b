"""Which videos failed: append-only, by many writers, the last line wins."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from vqa.cache import lines as lines_module
from vqa.cache.folder import append_line
from vqa.cache.ledger import Ledger
from vqa.errors import CacheError
from vqa.records import EVERY_CANDIDATE, Failure


def failure(video="clip", key="k1", fingerprint="f1", reason="no frames"):
    return Failure(video, key, "timm:x", fingerprint, "decode", reason, "2026-01-02T03:04:05+00:00")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Count nanoseconds up by one, so that no test hangs on the machine's clock."""
    ticks = iter(range(1_000, 10_000))
    monkeypatch.setattr(lines_module.time, "time_ns", lambda: next(ticks))


def test_nothing_is_made_before_the_first_failure(tmp_path):
    ledger = Ledger(tmp_path / "cache")
    assert ledger.open_failures() == ()
    ledger.resolve("k1", "f1", video="clip")
    assert not (tmp_path / "cache").exists()
    ledger.add(failure())
    assert len(list((tmp_path / "cache" / "failures").glob("*.jsonl"))) == 1
    assert (tmp_path / "cache" / ".gitignore").read_text() == "*\n"


def test_a_failure_is_found_again_by_the_next_process(tmp_path):
    Ledger(tmp_path).add(failure())
    later = Ledger(tmp_path)
    assert later.open_failures() == (failure(),)
    assert later.failed("k1", "f1") == failure()
    assert later.failed("k1", "f2") is None
    assert later.failed("k2", "f1") is None


def test_a_failure_of_the_video_itself_stands_against_every_candidate(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(failure(fingerprint=EVERY_CANDIDATE))
    assert ledger.failed("k1", "f7").fingerprint == "*"


def test_the_last_line_on_a_pair_wins(tmp_path):
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    first.add(failure(reason="one"))
    second.add(failure(reason="two"))
    first.add(failure(reason="three"))
    assert len(list((tmp_path / "failures").iterdir())) == 2
    assert [each.reason for each in Ledger(tmp_path).open_failures()] == ["three"]


def test_a_clock_set_back_does_not_reorder_a_process_own_lines(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.add(failure(reason="one"))
    monkeypatch.setattr(lines_module.time, "time_ns", lambda: 5)
    ledger.add(failure(reason="two"))
    assert [each.reason for each in Ledger(tmp_path).open_failures()] == ["two"]


def test_a_line_from_a_clock_that_runs_ahead_can_be_resolved(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module.time, "time_ns", lambda: 10**19)
    Ledger(tmp_path).add(failure())
    monkeypatch.setattr(lines_module.time, "time_ns", lambda: 10**18)
    ledger = Ledger(tmp_path)
    ledger.resolve("k1", "f1", video="clip")
    assert (ledger.open_failures(), Ledger(tmp_path).open_failures()) == ((), ())


def test_a_time_too_long_to_write_the_next_one_is_left_aside(tmp_path):
    Ledger(tmp_path).add(failure())
    append_line(
        tmp_path / "failures" / "a.jsonl", {"written_ns": int("9" * 4300), "failure": asdict(failure())}, sync=False
    )
    Ledger(tmp_path).resolve("k1", "f1", video="clip")
    assert Ledger(tmp_path).open_failures() == ()


def test_resolving_cancels_the_pair_and_what_stood_against_the_whole_video(tmp_path):
    ledger = Ledger(tmp_path)
    for fingerprint in ("f1", "f2", EVERY_CANDIDATE):
        ledger.add(failure(fingerprint=fingerprint))
    ledger.add(failure(key="k2"))
    ledger.resolve("k1", "f1", video="clip")
    for view in (ledger, Ledger(tmp_path)):
        assert [(each.key, each.fingerprint) for each in view.open_failures()] == [("k1", "f2"), ("k2", "f1")]
    ledger.resolve("k1", EVERY_CANDIDATE, video="clip")
    assert [each.key for each in Ledger(tmp_path).open_failures()] == ["k2"]
    ledger.add(failure(reason="again"))
    assert Ledger(tmp_path).failed("k1", "f1").reason == "again"


def test_a_video_without_a_key_is_known_by_its_id_until_its_file_can_be_read(tmp_path):
    ledger = Ledger(tmp_path)
    for video in ("a", "b", "c"):
        ledger.add(failure(video=video, key="", fingerprint=EVERY_CANDIDATE))
    ledger.resolve("k1", "f1", video="a")
    ledger.add(failure(video="b", key="k2", reason="garbage"))
    assert [(each.video, each.reason) for each in Ledger(tmp_path).open_failures()] == [
        ("c", "no frames"),
        ("b", "garbage"),
    ]


def test_refresh_shows_what_others_wrote(tmp_path):
    mine, other = Ledger(tmp_path), Ledger(tmp_path)
    assert mine.open_failures() == ()
    other.add(failure())
    assert mine.open_failures() == ()
    mine.refresh()
    assert mine.open_failures() == (failure(),)


def test_broken_and_foreign_lines_are_left_aside(tmp_path):
    Ledger(tmp_path).add(failure())
    (file,) = (tmp_path / "failures").iterdir()
    good = file.read_bytes()
    foreign = [
        b"\xff",
        b"[" * 100_000,
        b'{"written_ns":1,"failure":{"video":3}}',
        good.strip().replace(b'"key":"k1"', b'"key":3'),
        b'{"written_ns":"x"}',
        b'{"written_ns":1,"resolved":1}',
    ]
    file.write_bytes(b"\n".join([*foreign, good.strip(), good[:40]]))
    assert Ledger(tmp_path).open_failures() == (failure(),)


def test_each_line_is_on_the_disk_before_work_goes_on(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    ledger = Ledger(tmp_path)
    ledger.add(failure())
    ledger.add(failure(key="k2"))
    assert [path.suffix for path in synced if path.parent.name == "failures"] == [".jsonl", ".jsonl"]


def test_a_ledger_that_can_not_be_written_or_read_says_so_in_one_line(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(CacheError, match=r"failures: can't be written \(Not a directory\); free or unlock that place"):
        Ledger(tmp_path / "cache").add(failure())
    (tmp_path / "failures").write_text("")
    with pytest.raises(CacheError, match=r"failures: can't be read \(Not a directory\); check its permissions"):
        Ledger(tmp_path).open_failures()


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def fill_up(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lines_module, "append_line", fill_up)
    ledger = Ledger(tmp_path)
    with pytest.raises(CacheError, match="No space left on device"):
        ledger.add(failure())
    assert ledger.open_failures() == ()
