"""Real damage to real runs: they are killed, stopped, cut off from their terminal, and denied the disk."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import fill_killed, run_undisturbed

Run = Callable[..., tuple[int, str, str]]


def kill_runs(tmp_path: Path, run: Run, kills: int) -> None:
    def verify(folder: Path) -> None:
        status, out, _ = run("cache", "verify", "-C", folder)
        assert re.search(r"(\d+) of \1 segments are good", out), out
        assert status == 0 or "keys.jsonl has 1 damaged line\n" in out, out  # a line that a kill cut off

    undisturbed, rng, done, rounds = run_undisturbed(tmp_path / "undisturbed"), random.Random(7), 0, 0
    while done < kills:
        rounds += 1
        folder = tmp_path / str(rounds)
        done += fill_killed(undisturbed, folder, most=kills - done, rng=rng, verify=verify)
        assert run("cache", "verify", "-C", folder)[0] == 0


def test_runs_killed_at_any_instant_end_like_one_that_was_not(tmp_path: Path, run: Run) -> None:
    kill_runs(tmp_path, run, 4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_runs_killed_a_hundred_times_end_like_one_that_was_not(tmp_path: Path, run: Run) -> None:
    kill_runs(tmp_path, run, 100)
