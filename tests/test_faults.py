"""Real damage to real runs: decoders killed and hung, runs killed and interrupted, files that change under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from media import grey_frames, write_video

from vqa.extract.workers import SLOT_PREFIX

TRAP = '''
import os, signal, time
import torch
from torch import nn
from vqa.extract.backends import Backend
from vqa.extract.spec import NativeInput, Plan

class Trap(nn.Module):
    """Dies at grey 200, hangs at 220, spins at 180, takes 8 GB at 240, is slow at 100; else gives the mean."""
    def forward(self, runs):
        grey = runs.float().mean((1, 2, 3, 4))
        if abs(grey[0] - 240) < 3:
            runs = torch.ones(8 << 30, dtype=torch.uint8)
        if abs(grey[0] - 200) < 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if abs(grey[0] - 220) < 3:
            while True:
                time.sleep(1)
        while abs(grey[0] - 180) < 3:
            open(os.path.join(os.environ["TRAP_MARKS"], "spins"), "w").close()
        if abs(grey[0] - 100) < 3:
            open(os.path.join(os.environ["TRAP_MARKS"], str(time.time_ns())), "w").close()
            time.sleep(0.5)
        return grey[:, None]

PLAN = Plan(NativeInput(), "none")
BACKEND = Backend("trap", lambda: ("mean",), lambda spec: PLAN, lambda spec: Trap(), lambda spec: Trap())
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A backend, as an installed package offers it, whose network kills or hangs the decode worker."""
    site = tmp_path / "site"
    (site / "vqa_trap-1.dist-info").mkdir(parents=True)
    (site / "vqa_trap.py").write_text(TRAP)
    (site / "vqa_trap-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: vqa-trap\nVersion: 1\n")
    (site / "vqa_trap-1.dist-info" / "entry_points.txt").write_text("[vqa.backends]\ntrap = vqa_trap:BACKEND\n")
    return site


def workspace(folder: Path, greys: list[int], **extract: object) -> Path:
    """A workspace of still grey clips, one for each grey, seen in this order."""
    (folder / "clips").mkdir(parents=True)
    for number, grey in enumerate(greys):
        # The one pixel that differs makes each file another video, though the greys may be equal.
        frames = grey_frames([grey] * 5)
        frames[0][0, 0] = number
        write_video(folder / "clips" / f"{number:02d}-{grey}.mp4", frames)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in extract.items())
    (folder / "vqa.toml").write_text(f'[dataset]\nvideos = "clips"\n[extract]\nframes = 2\n{lines}')
    return folder


def start(folder: Path, site: Path, *arguments: str) -> subprocess.Popen[str]:
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(site), "TRAP_MARKS": str(marks)}
    command = [sys.executable, "-m", "vqa", "extract", "-C", str(folder), "--models", "trap:mean", *arguments]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def extract(folder: Path, site: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    process = start(folder, site, "--json", *arguments)
    out, err = process.communicate(timeout=120)
    assert out, err
    return process.returncode, json.loads(out)


def reasons(report: dict[str, Any]) -> dict[str, str]:
    return {row["video"]: row["reason"] for row in report["failures"]}


def stored(report: dict[str, Any]) -> int:
    (row,) = report["candidates"]
    return int(row["stored"])


def left_behind() -> list[Path]:
    """Shared memory of runs that have ended; slots are named by the process that owns them."""
    owners = {path: int(path.name.split("-")[1]) for path in Path("/dev/shm").glob(f"{SLOT_PREFIX}*-*")}
    return [path for path, owner in owners.items() if not psutil.pid_exists(owner)]


@pytest.fixture
def shared_memory() -> Iterator[None]:
    """Fails a test after which shared memory is left behind."""
    yield
    deadline = time.monotonic() + 20
    while left := left_behind():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.usefixtures("shared_memory")
def test_a_decoder_that_dies_or_hangs_or_takes_all_memory_costs_its_video_alone(tmp_path: Path, plugin: Path) -> None:
    folder = workspace(tmp_path / "w", [50, 200, 60, 220, 240, 80], workers=2, video_seconds=3)
    status, report = extract(folder, plugin)
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
@pytest.mark.usefixtures("shared_memory")
def test_a_decoder_that_spins_dies_though_the_run_that_would_kill_it_is_stopped(tmp_path: Path, plugin: Path) -> None:
    folder = workspace(tmp_path / "w", [180], workers=1, video_seconds=1)
    process = start(folder, plugin, "--json")
    wait_for_slow(folder, 1, process)
    worker = next(member for member in family(process) if member.ppid() != process.pid)
    process.send_signal(signal.SIGSTOP)
    _, alive = psutil.wait_procs([worker], timeout=60)
    process.send_signal(signal.SIGCONT)
    assert [member for member in alive if member.status() != psutil.STATUS_ZOMBIE] == []
    out, _ = process.communicate(timeout=60)
    assert reasons(json.loads(out)) == {
        "00-180.mp4": "decoding took longer than 1 s and was given up; raise video_seconds"
    }


@pytest.mark.usefixtures("shared_memory")
def test_every_worker_may_die(tmp_path: Path, plugin: Path) -> None:
    folder = workspace(tmp_path / "w", [200, 200, 200, 50], workers=1)
    status, report = extract(folder, plugin)
    assert (status, stored(report), len(reasons(report))) == (3, 1, 3)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def wait_for_slow(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many slow videos were begun."""
    while len(list((folder / "marks").iterdir())) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.usefixtures("shared_memory")
def test_a_run_killed_outright_leaves_no_process_and_no_memory(tmp_path: Path, plugin: Path) -> None:
    folder = workspace(tmp_path / "w", [100] * 6, workers=2)
    process = start(folder, plugin)
    wait_for_slow(folder, 3, process)
    members = family(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(members, timeout=20)
    assert [member.cmdline() for member in alive] == []
    status, report = extract(folder, plugin)
    assert status == 0
    assert stored(report) == 6


@pytest.mark.usefixtures("shared_memory")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_keeps_what_is_done(
    tmp_path: Path, plugin: Path, number: signal.Signals, status: int
) -> None:
    folder = workspace(tmp_path / "w", [50, 60, 70, *[100] * 6], workers=1)
    process = start(folder, plugin)
    wait_for_slow(folder, 2, process)  # one worker: the quick ones and the first slow one are through
    members = family(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(members, timeout=20)
    assert alive == []
    again, report = extract(folder, plugin)
    kept = int(report["candidates"][0]["cached"])
    assert again == 0
    assert 3 <= kept < 9
    assert stored(report) == 9 - kept


@pytest.mark.usefixtures("shared_memory")
def test_workers_killed_while_they_are_idle_are_replaced(tmp_path: Path, plugin: Path) -> None:
    folder = workspace(tmp_path / "w", [100] * 8, workers=2)
    process = start(folder, plugin, "--json")
    wait_for_slow(folder, 2, process)
    for member in family(process):
        if member.ppid() != process.pid:  # the workers: children of the server
            member.kill()
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert stored(report) + len(reasons(report)) == 8, err
    assert set(reasons(report).values()) <= {"the decoder died (signal SIGKILL); check the file with ffprobe"}
