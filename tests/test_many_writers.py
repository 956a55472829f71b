"""Many processes fill one cache at once, others read it meanwhile, and what dead ones leave is swept."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cachework import check, make_videos, whole, work
from disk import Disk
from faults import (
    CANDIDATES,
    QUIET_GREYS,
    Pairs,
    extract,
    finish,
    readable_pairs,
    start,
    temporary_files,
    workspace,
)
from striking import Strike

Run = Callable[..., tuple[int, str, str]]
FORK = multiprocessing.get_context("fork")


def overlapping_workspaces(folder: Path, greys: tuple[int, ...], count: int) -> list[Path]:
    """Make one workspace with all clips, and more with shuffled parts of them, all with the first one's cache."""
    first, rng = workspace(folder / "0", greys, workers=2), random.Random(3)
    clips, others = sorted((first / "clips").iterdir()), []
    for number in range(1, count):
        other = workspace(folder / str(number), [], workers=1)
        for position, clip in enumerate(rng.sample(clips, len(clips) * 2 // 3)):
            (other / "clips" / f"{position:02d}.mp4").hardlink_to(clip)
        with (other / "vqa.toml").open("a") as settings:
            settings.write(f'[workspace]\ncache = "{first}/cache"\n')
        others.append(other)
    return [first, *others]


def watch(cache: Path, writers: list[subprocess.Popen[str]], truth: Pairs, verify: Callable[[], None]) -> int:
    """Read the cache again and again while it is written to; return how often."""
    held, rounds = Pairs(), 0
    while any(writer.poll() is None for writer in writers):
        now = readable_pairs(cache)
        assert held.items() <= now.items() <= truth.items()
        verify()
        held, rounds = now, rounds + 1
        time.sleep(0.2)  # the writers need the cores, too
    return rounds


def write_at_once(tmp_path: Path, run: Run, greys: tuple[int, ...], writers: int) -> None:
    alone = workspace(tmp_path / "alone", greys, workers=2)
    assert extract(alone, models=CANDIDATES, segment=3)[0] == 0
    truth = readable_pairs(alone / "cache")
    folders = overlapping_workspaces(tmp_path, greys, writers)
    cache = folders[0] / "cache"
    runs = [start(folder, models=CANDIDATES, segment=3, pause=0.05, cache=str(cache)) for folder in folders]

    def verify() -> None:
        status, out, _ = run("cache", "verify", "-C", folders[0])
        assert status == 0, out

    assert watch(cache, runs, truth, verify) > 2
    for process in runs:
        status, _, err = finish(process)
        assert status == 0, err
    assert readable_pairs(cache) == truth
    assert temporary_files(cache) == []
    assert not [path for path in cache.rglob("*") if "lock" in path.name]


def test_four_runs_that_fill_one_cache_at_once_give_what_one_gives(tmp_path: Path, run: Run) -> None:
    write_at_once(tmp_path, run, QUIET_GREYS[:8], 4)


@contextlib.contextmanager
def stopped_writer(folder: Path, videos: list[Path]) -> Iterator[int]:
    """Give the number of a process that has stopped in the middle of a segment's write."""
    strike = Strike(1, "stop", kinds=("write",), where=".h5")
    process = FORK.Process(target=live_struck, args=(folder, videos, strike))
    process.start()
    assert process.pid is not None
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        yield process.pid
    finally:
        process.kill()
        process.join()


def live_struck(folder: Path, videos: list[Path], strike: Strike) -> None:
    with Disk(folder, strike):
        work(folder / "cache", videos, lambda thing: None)


def test_a_live_writer_keeps_its_temporary_file_while_that_of_a_dead_one_is_swept(tmp_path: Path) -> None:
    videos, cache = make_videos(tmp_path / "videos"), tmp_path / "cache"
    with stopped_writer(tmp_path, videos) as live:
        with stopped_writer(tmp_path, videos):
            assert len(temporary_files(cache)) == 2
        work(cache, videos, lambda thing: None)  # a third writer, which sweeps first
        (left,) = temporary_files(cache)
        assert left.stat().st_size > 0
        os.kill(live, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(live, 0)[1]) == 0
    assert temporary_files(cache) == []
    check(cache, videos, whole())


def test_many_writers_and_readers_in_threads_of_one_process_agree(tmp_path: Path) -> None:
    videos, cache = make_videos(tmp_path / "videos"), tmp_path / "cache"
    with ThreadPoolExecutor(8) as threads:
        writing = [threads.submit(work, cache, videos, lambda thing: None) for _ in range(4)]
        reading = [threads.submit(check, cache, videos, ()) for _ in range(4)]
        for done in [*writing, *reading]:
            done.result()
    check(cache, videos, whole())
    assert temporary_files(cache) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_runs_that_fill_one_cache_at_once_give_what_one_gives(tmp_path: Path, run: Run) -> None:
    write_at_once(tmp_path, run, QUIET_GREYS, 8)
