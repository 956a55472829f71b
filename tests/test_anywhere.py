"""Wherever Python runs: in daemonic processes, after a fork, with streams closed, without /dev/shm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mounts import own_mounts
from workspaces import Trained

from vqa.pipeline import Scorer

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks its decode workers")
DAEMONIC = """
import multiprocessing, sys

def score(names):
    import vqa
    return vqa.Scorer.load(names[0]).score(names[1]).score

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[3]).Pool(1) as pool:
        print(repr(pool.map(score, [sys.argv[1:3]])[0]))
"""
FORKED = """
import multiprocessing, os, sys, threading
import torch, vqa
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.workers import DecodeWorkers

model, clip = sys.argv[1:3]
torch.set_num_threads(2)
scorer = vqa.Scorer.load(model)
torch.ones(1000, 1000) @ torch.ones(1000, 1000)  # the threads of OpenMP that a child does not have
print("parent", scorer.score(clip).score, flush=True)
workers = DecodeWorkers((), 2, WorkerLimits(1 << 20, 60.0))
before = {worker.pid for worker in multiprocessing.active_children()}
if os.fork() == 0:
    print("child", scorer.score(clip).score, flush=True)
    print("new", vqa.Scorer.load(model).score(clip).score, flush=True)
    sys.exit()  # with all that is done at a process's end
print("status", os.wait()[1], flush=True)
print("workers", len(before), before == {worker.pid for worker in multiprocessing.active_children()}, flush=True)
workers.__exit__(None, None, None)
print("parent", scorer.score(clip).score, flush=True)
"""
HELD = """
import multiprocessing, os, signal, sys, time

def hold(_):
    import psutil
    from vqa.extract.decode_worker import WorkerLimits
    from vqa.extract.workers import DecodeWorkers

    workers = DecodeWorkers((), 2, WorkerLimits(1 << 20, 600.0))
    for _ in range(2):
        workers._pool.schedule(signal.raise_signal, args=(signal.SIGSTOP,))  # as a decoder that hangs
    pids = [worker.pid for worker in multiprocessing.active_children()]
    while not all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids):
        time.sleep(0.01)
    started = [one.pid for one in psutil.Process().children(recursive=True)]
    print(os.getpid(), *started, flush=True)
    time.sleep(600)

if __name__ == "__main__":
    pool = multiprocessing.get_context(sys.argv[1]).Pool(1)
    pool.apply_async(hold, [0])
    sys.stdin.readline()
    pool.terminate()
"""
CLOSED = """
import os, sys
import vqa

model, clip, result = sys.argv[1:4]
sys.stdin = sys.stdout = sys.stderr = None
for place in range(3):
    os.close(place)
score = vqa.Scorer.load(model).score(clip).score
with open(result, "w") as file:
    print(repr(score), file=file)
"""


def script(folder: Path, code: str, *arguments: object) -> list[str]:
    """Write a program; return how to run it."""
    file = folder / "program.py"
    file.write_text(code)
    return [sys.executable, str(file), *map(str, arguments)]


def lines_of(command: list[str]) -> list[str]:
    """Run a program; return the lines that it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def expected(trained: Trained) -> float:
    """The score of the first clip."""
    score = Scorer.load(trained.bundle).score(trained.clips[0]).score
    assert score is not None
    return score


@pytest.mark.parametrize("method", ["spawn", pytest.param("fork", marks=[LINUX, pytest.mark.slow])])
def test_a_worker_of_a_pool_scores_although_it_is_daemonic(
    method: str, trained: Trained, expected: float, tmp_path: Path
) -> None:
    command = script(tmp_path, DAEMONIC, trained.bundle, trained.clips[0], method)
    assert [float(line) for line in lines_of(command)] == [expected]


@LINUX
def test_a_forked_process_scores_and_leaves_its_parent_its_workers(
    trained: Trained, expected: float, tmp_path: Path
) -> None:
    lines = lines_of(script(tmp_path, FORKED, trained.bundle, trained.clips[0]))
    assert lines == [
        f"parent {expected}",
        f"child {expected}",
        f"new {expected}",
        "status 0",
        "workers 2 True",
        f"parent {expected}",
    ]


@LINUX
@pytest.mark.parametrize(("end", "method"), [("terminated by its pool", "fork"), ("killed", "spawn")])
def test_no_decoder_outlives_a_daemonic_process_not_even_one_that_hangs(end: str, method: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        script(tmp_path, HELD, method), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        daemonic, *started = (psutil.Process(int(pid)) for pid in process.stdout.readline().split())
        stopped = [one for one in started if one.status() == psutil.STATUS_STOPPED]
        assert len(stopped) == 2
        if end == "killed":
            daemonic.kill()
        else:
            process.stdin.write("\n")
            process.stdin.flush()
        _, left = psutil.wait_procs([daemonic, *started], timeout=60)
        process.kill()
    assert left == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="streams have numbers")
def test_a_program_whose_streams_are_closed_scores(trained: Trained, expected: float, tmp_path: Path) -> None:
    result = tmp_path / "result"
    assert lines_of(script(tmp_path, CLOSED, trained.bundle, trained.clips[0], result)) == []
    assert float(result.read_text()) == expected


@LINUX
@pytest.mark.parametrize(
    "mount",
    [
        pytest.param("size=100k", id="a small one", marks=pytest.mark.slow),
        pytest.param("ro,size=100k", id="one to read alone"),
    ],
)
def test_scoring_needs_no_shared_memory_with_a_name(
    mount: str, trained: Trained, expected: float, tmp_path: Path
) -> None:
    command = f"{sys.executable} -m vqa score {trained.clips[0]} --model {trained.bundle} --format csv -q"
    lines = own_mounts(f"mount -t tmpfs -o {mount} none /dev/shm; cd {tmp_path}; {command}", dict(os.environ))
    assert float(lines[1].split(",")[1]) == expected
