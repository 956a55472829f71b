"""Decoders killed and hung: each costs its video alone, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import psutil
import pytest
from faults import extract, family, finish, reasons, start, stored, wait_for_slow, workspace


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
    assert stored(report) + len(reasons(report)) == 8, err
    assert set(reasons(report).values()) <= {"the decoder died (signal SIGKILL); check the file with ffprobe"}
