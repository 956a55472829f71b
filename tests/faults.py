"""Real runs of `vqa extract` to do harm to, and what must hold of them afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from media import grey_frames, write_video

from vqa.cache.store import FeatureStore

TESTS = Path(__file__).parent
CANDIDATES = ("trap:mean", "trap:spread", "trap:mixture")
QUIET_GREYS = tuple(range(10, 90, 4))
"""Of 20 videos that do no harm."""

Pairs = dict[tuple[str, str], tuple[bytes, bytes]]
"""For each fingerprint and key the bytes of features and times."""


def workspace(folder: Path, greys: Sequence[int], **extract: object) -> Path:
    """Make a workspace of still grey clips, one for each grey, seen in this order, and beside it the trap's package."""
    (folder / "clips").mkdir(parents=True)
    for number, grey in enumerate(greys):
        # The one pixel that differs makes each file another video, though the greys may be equal.
        frames = grey_frames([grey] * 5)
        frames[0][0, 0] = number
        write_video(folder / "clips" / f"{number:02d}-{grey}.mp4", frames)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in extract.items())
    (folder / "vqa.toml").write_text(f'[dataset]\nvideos = "clips"\n[extract]\nframes = 2\n{lines}')
    (folder / "marks").mkdir()
    package = folder / "site" / "vqa_trap-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: vqa-trap\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[vqa.backends]\ntrap = trap:BACKEND\n")
    return folder


def command(folder: Path, *arguments: str, models: Sequence[str] = ("trap:mean",)) -> list[str]:
    """Return the words of a `vqa extract`."""
    named = [word for model in models for word in ("--models", model)]
    return [sys.executable, "-m", "vqa", "extract", "-C", str(folder), *named, *arguments]


def environment(folder: Path, **orders: object) -> dict[str, str]:
    """Return the variables by which a run finds the trap and its orders; see `trap`."""
    told = {"marks": str(folder / "marks"), "cache": str(folder / "cache"), **orders}
    path = os.pathsep.join([str(folder / "site"), str(TESTS), str(TESTS.parent)])
    return os.environ | {"PYTHONPATH": path, "VQA_TRAP": json.dumps(told)}


def start(
    folder: Path,
    *arguments: str,
    models: Sequence[str] = ("trap:mean",),
    streams: Mapping[str, Any] = MappingProxyType({}),
    **orders: object,
) -> subprocess.Popen[str]:
    """Start `vqa extract` in a session of its own, as a terminal would.

    Args:
        folder: The workspace.
        arguments: Further ones of the command.
        models: To extract with.
        streams: Further options of the process, pipes for stdout and stderr if nothing else is said.
        orders: See `trap`.
    """
    with nothing_ignored():
        return subprocess.Popen(
            command(folder, *arguments, models=models),
            env=environment(folder, **orders),
            text=True,
            start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )


@contextlib.contextmanager
def nothing_ignored() -> Iterator[None]:
    """Let processes started in the block heed every signal; a shell that runs the tests behind it ignores some."""
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in asking}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return a run's exit status, stdout and stderr; a negative status is the signal that killed it.

    Nothing that it started runs on.
    """
    out, err = process.communicate(timeout=120)
    assert_nothing_runs_on(process.pid)
    return process.returncode, out, err


def extract(folder: Path, *arguments: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Run `vqa extract` to its end; return its exit status and report."""
    status, out, err = finish(start(folder, "--json", *arguments, **options))
    assert out, err
    return status, json.loads(out)


def reasons(report: dict[str, Any]) -> dict[str, str]:
    """Return why each video failed."""
    return {row["video"]: row["reason"] for row in report["failures"]}


def stored(report: dict[str, Any]) -> int:
    """Return how many pairs a run added."""
    return sum(int(row["stored"]) for row in report["candidates"])


def cached(report: dict[str, Any]) -> int:
    """Return how many pairs were there before."""
    return sum(int(row["cached"]) for row in report["candidates"])


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return what a run has started."""
    return psutil.Process(process.pid).children(recursive=True)


def wait_for_slow(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many slow videos were begun."""
    while len(list((folder / "marks").iterdir())) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def wait_for_line(file: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a file has so many lines."""
    while not file.exists() or len(file.read_text().splitlines()) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def left_processes(session: int) -> list[str]:
    """Return the living processes of a run's session."""
    left = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                left.append(f"{process.pid} {process.cmdline()}")
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return left


def assert_nothing_runs_on(*sessions: int) -> None:
    """Fail if, after some time, a process of runs that have ended is left, and with it shared memory."""
    deadline = time.monotonic() + 30
    while left := [line for session in sessions for line in left_processes(session)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def temporary_files(folder: Path) -> list[Path]:
    """Return what writers leave when they are killed."""
    return [path for path in folder.rglob("*") if "tmp" in path.name]


def readable_pairs(cache: Path) -> Pairs:
    """Read all that a cache holds."""
    store, pairs = FeatureStore(cache), Pairs()
    for candidate in store.candidates():
        fingerprint = candidate.record.fingerprint
        for key in store.keys(fingerprint):
            video = store.read(fingerprint, key)
            pairs[fingerprint, key] = (video.values.tobytes(), video.pts_seconds.tobytes())
    return pairs


def count_puts(file: Path) -> Counter[str]:
    """Return how many pairs of each candidate all runs put into the cache."""
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(line.split()[0] for line in lines)
