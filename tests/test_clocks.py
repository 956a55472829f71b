"""Clocks that are off: at the beginning of time, as on machines without a battery, or far ahead."""

from __future__ import annotations

import builtins
import importlib
import sys
import time
from pathlib import Path

import pytest
from workspaces import make_trained

from vqa.cache.segment import sha256_in_name
from vqa.cache.segmentwriting import present_time
from vqa.cache.store import FeatureStore
from vqa.extract.deaths import KilledError
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.workers import DecodeWorkers, _Task
from vqa.pipeline import (
    build_report,
    compact_features,
    describe_cache,
    describe_features,
    evaluate_workspace,
    look_around,
    score_videos,
    verify_features,
)

YEAR = 365.25 * 24 * 3600
CLOCKS = {1970: 5.0, 2150: 180.2 * YEAR, 2300: 330.2 * YEAR}
RUNS = (1970, pytest.param(2150, marks=pytest.mark.slow), 2300)


@pytest.fixture
def year(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Set this process's clock to a year."""
    ahead = CLOCKS[request.param] - time.time()
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(ahead * 1e9))
    return int(request.param)


@pytest.mark.parametrize("year", RUNS, indirect=True)
def test_the_whole_job_is_done_whatever_the_clock_says(tmp_path: Path, year: int) -> None:
    own = make_trained(tmp_path)
    assert time.gmtime(time.time()).tm_year == year
    evaluate_workspace(tmp_path, splits=2, baselines=False)
    assert build_report(tmp_path, thumbnails=False).file.is_file()
    assert score_videos(own.clips[:1], folder=tmp_path, output=tmp_path / "scores.csv").scores[0].score is not None
    assert verify_features(tmp_path).good
    compact_features(tmp_path)
    assert verify_features(tmp_path).good
    assert [stored.videos for stored in FeatureStore(tmp_path / "cache").candidates()] == [16, 16]
    assert describe_cache(tmp_path)
    assert describe_features(["c0v0"], folder=tmp_path).origins
    assert look_around(tmp_path).failed == 0


@pytest.mark.parametrize("nanoseconds", [-1, 0, 10**18, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 70])
def test_every_time_of_a_clock_can_be_stored_and_named(nanoseconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from vqa.cache.segment import named_time, sortable_time, utc_time

    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds)
    found = present_time()
    assert 0 < found < 1 << 63
    assert (found == nanoseconds) == (nanoseconds == 10**18 or nanoseconds == 1 << 62)
    name = Path(f"{sortable_time(found - 1000)}-01234567-{'a' * 64}.h5")
    assert (sha256_in_name(name), named_time(name)) == ("a" * 64, found - 1000)
    assert utc_time(found)


def test_a_segment_of_1970_is_read_and_merged(tmp_path: Path) -> None:
    name = f"19700101T000000.000000000Z-01234567-{'a' * 64}.h5"
    assert sha256_in_name(tmp_path / name) == "a" * 64
    assert sha256_in_name(tmp_path / name.replace("19700101T000000.000000000", "19691231T235959.999999999")) == "a" * 64


def test_a_clock_that_python_can_not_read_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow() -> float:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")

    monkeypatch.setattr(time, "time", overflow)
    monkeypatch.delitem(sys.modules, "vqa.cli._clock", raising=False)
    with pytest.raises(SystemExit, match=r"Error: this system's clock is set beyond the year 2262.*; set it"):
        importlib.import_module("vqa.cli._clock")


def test_a_clock_that_is_set_ahead_does_not_make_a_video_late() -> None:
    from concurrent.futures import Future

    future: Future[object] = Future()
    future.set_exception(builtins.TimeoutError("Task timeout", 600))
    with DecodeWorkers([], 1, WorkerLimits(max_pixels=10, video_seconds=600)) as workers:
        task = _Task((), lambda outcome, generation: None, began=time.monotonic())
        assert isinstance(workers._outcome(future, task), KilledError)  # type: ignore[arg-type]
        task.began -= 600
        assert "took longer than 600 s" in str(workers._outcome(future, task))  # type: ignore[arg-type]
