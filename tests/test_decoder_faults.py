"""Decoders killed and hung: each costs its video alone, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest
from faults import cached, extract, family, finish, reasons, start, stored, wait_for_slow, workspace

from vqa.extract.deaths import describe_death, is_from_outside


def test_a_decoder_that_dies_or_hangs_or_takes_all_memory_costs_its_video_alone(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [50, 200, 60, 220, 240, 80], workers=2, video_seconds=3)
    status, report = extract(folder)
    assert status == 3
    assert stored(report) == 3
    assert reasons(report) == {
        "01-200.mp4": "the decoder died (signal SIGSEGV); check the file with ffprobe",
        "03-220.mp4": "decoding took longer than 3 s and was given up; raise video_seconds",
        "04-240.mp4": "decoding it needs more memory than there is, or than the 4 GB of one video; "
        "check the file with ffprobe, or raise worker_memory",
    }


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux bounds the time of a process")
def test_a_decoder_that_spins_dies_though_the_run_that_would_kill_it_is_stopped(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [180], workers=1, video_seconds=1)
    process = start(folder, "--json")
    wait_for_slow(folder, 1, process)
    worker = next(member for member in family(process) if member.ppid() != process.pid)
    process.send_signal(signal.SIGSTOP)
    psutil.wait_procs([worker], timeout=60)
    process.send_signal(signal.SIGCONT)
    _, out, _ = finish(process)
    assert reasons(json.loads(out)) == {
        "00-180.mp4": "decoding took longer than 1 s and was given up; raise video_seconds"
    }


def test_every_worker_may_die(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [200, 200, 200, 50], workers=1)
    status, report = extract(folder)
    assert (status, stored(report), len(reasons(report))) == (3, 1, 3)


def test_workers_killed_while_they_are_idle_are_replaced(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [100] * 8, workers=2)
    process = start(folder, "--json")
    wait_for_slow(folder, 2, process)
    for member in family(process):
        if member.ppid() != process.pid:  # the workers: children of the server
            member.kill()
    _, out, err = finish(process)
    report = json.loads(out)
    assert (stored(report), reasons(report)) == (8, {}), err


KILLED = (
    "the decoder was killed from outside (signal {0}, twice), likely by the out-of-memory killer or an operator; look "
    "at the system's log, give it more memory or fewer --workers, and run again"
)


def test_a_video_whose_decoder_somebody_kills_is_tried_again_alone(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [100, 160, 100, 100, 50, 60, 70, 80, 100], workers=2)
    looks = folder / "looks"
    status, report = extract(folder, signal="SIGKILL", looks=str(looks))
    assert (status, stored(report), reasons(report)) == (0, 9, {})
    lines = [line.split()[:2] for line in looks.read_text().splitlines()]
    _, second, *_ = [number for number, line in enumerate(lines) if line == ["begin", "160"]]
    assert lines[second + 1] == ["end", "160"]
    # The killed one's first look never ended: all others that were begun before its second had.
    assert [what for what, _ in lines[:second]].count("begin") == [what for what, _ in lines[:second]].count("end") + 1


@pytest.mark.parametrize("name", ["SIGKILL", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_a_decoder_that_is_killed_twice_is_told_as_such_and_tried_by_the_next_run(tmp_path: Path, name: str) -> None:
    folder = workspace(tmp_path / "w", [50, 160, 60], workers=1)
    status, report = extract(folder, signal=name, times=2)
    assert (status, stored(report)) == (3, 2)
    assert reasons(report) == {"01-160.mp4": KILLED.format(name)}
    assert [row["stage"] for row in report["failures"]] == ["transient"]
    status, report = extract(folder, signal=name, times=2)
    assert (status, stored(report), cached(report), reasons(report)) == (0, 1, 2, {})


def test_signals_that_a_process_brings_upon_itself_are_told_from_others() -> None:
    crashes = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ")
    for number in signal.Signals:
        death = describe_death(-number)
        assert (death, is_from_outside(death)) == (f"signal {number.name}", number.name not in crashes)
    assert describe_death(15) == "signal SIGTERM"  # as pebble's workers end
    assert not any(is_from_outside(describe_death(status)) for status in (None, 0, 1, 9, 137, 255, -1000))


def test_temporary_files_that_went_with_their_folder_end_a_run_in_one_line(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, temporary = workspace(tmp_path / "w", [100, 200, 50], workers=1), short_folder / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = start(folder)
    wait_for_slow(folder, 1, process)
    shutil.rmtree(temporary)
    status, _, err = finish(process)
    assert status == 1
    assert err.splitlines()[-1].startswith("Error: decode workers can't be started (No such file or directory); check")
    assert "Traceback" not in err
