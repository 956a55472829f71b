"""Runs that are asked to stop: by Ctrl-C, by a signal, by the end of their terminal or of who reads them."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pty
import random
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
from faults import (
    CANDIDATES,
    QUIET_GREYS,
    assert_nothing_runs_on,
    finish,
    readable_pairs,
    start,
    temporary_files,
    wait_for_line,
    workspace,
)

from vqa import terminal
from vqa.cli.stopping import Stop, catch_signals

STOPPED = "Stopped; run the same command again to go on."


def test_the_first_signal_stops_and_those_that_follow_at_once_are_the_same_wish() -> None:
    times = iter([100.0, 100.0, 100.2, 109.9, 110.0, 110.0])
    stop = Stop(lambda: next(times))
    with pytest.raises(KeyboardInterrupt):
        stop(signal.SIGINT, None)
    stop(signal.SIGINT, None)
    stop(signal.SIGTERM, None)
    with pytest.raises(SystemExit, match="143"):
        stop(signal.SIGTERM, None)


@pytest.mark.parametrize(
    ("number", "times", "status", "said"),
    [
        (signal.SIGINT, 3, 130, STOPPED),
        (signal.SIGTERM, 1, 143, ""),
        pytest.param(signal.SIGHUP, 2, 129, "", marks=pytest.mark.slow),  # a terminal that is gone says it, too
    ],
)
def test_a_run_that_is_asked_to_stop_keeps_what_is_done(
    tmp_path: Path, number: signal.Signals, times: int, status: int, said: str
) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS, workers=2)
    process = start(folder, models=("trap:mean", "trap:spread"), pause=0.3, puts=str(folder / "puts"))
    wait_for_line(folder / "puts", 5, process)
    for _ in range(times):
        os.killpg(process.pid, number)  # as a terminal does: the command and all that it has started
        time.sleep(0.05)
    assert_stopped(process, status, said)
    # The default segment holds all 40 pairs: what is there was written because of the stop.
    assert 5 <= len(readable_pairs(folder / "cache")) < 40
    assert temporary_files(folder / "cache") == []


def assert_stopped(process: subprocess.Popen[str], status: int, said: str) -> None:
    found, out, err = finish(process)
    assert (found, out, err.strip()) == (status, "", said)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("number", "status", "said"), [(signal.SIGINT, 130, STOPPED), (signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, "")]
)
def test_a_run_can_be_stopped_at_any_instant(tmp_path: Path, number: signal.Signals, status: int, said: str) -> None:
    folder, rng = workspace(tmp_path / "w", QUIET_GREYS, workers=2), random.Random(11)
    for trial in range(15):
        process = start(folder, models=CANDIDATES, segment=3, pause=0.3)
        time.sleep(rng.uniform(0.5, 5.0))  # by then the interpreter runs; the work itself takes longer
        os.killpg(process.pid, number)
        found, _, err = finish(process)
        assert (found, err.strip()) in [(status, said), (0, "")], trial


def test_a_run_ends_in_order_when_its_terminal_is_gone(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS, workers=2)
    terminal, its_end = pty.openpty()
    process = start(
        folder,
        pause=0.3,
        puts=str(folder / "puts"),
        streams={
            "stdin": its_end,
            "stdout": its_end,
            "stderr": its_end,
            "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        },
    )
    os.close(its_end)
    wait_for_line(folder / "puts", 4, process)
    os.close(terminal)
    assert process.wait(timeout=60) == 129
    assert len(readable_pairs(folder / "cache")) >= 4
    assert_nothing_runs_on(process.pid)


def test_what_nohup_had_ignored_stays_ignored() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        catch_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert isinstance(signal.getsignal(signal.SIGTERM), Stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_run_whose_reader_has_gone_stores_all_and_says_nothing(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS[:2], workers=2)
    process = start(folder)
    assert process.stdout is not None
    process.stdout.close()  # as `| head -1` does when it has its line
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1
    assert len(readable_pairs(folder / "cache")) == 2


class Full(io.StringIO):
    """A stream to a log on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_progress_that_can_not_be_written_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Full())
    times = iter(range(0, 10_000, 100))
    with terminal.Bars(lambda: float(next(times))) as bars:
        bars.update("models", 1, 2)
        bars.note("clip.mp4: broken")
