"""Runs of `vqa extract` that are killed again and again, each followed by another, until all is done."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults import (
    CANDIDATES,
    QUIET_GREYS,
    Pairs,
    count_puts,
    extract,
    finish,
    readable_pairs,
    start,
    temporary_files,
    workspace,
)

SEGMENT = 3
"""Videos of a segment: few, so that many are written."""
_OPERATIONS = 40
"""A run struck at one of its first so many operations on the disk leaves work to the next."""


@dataclass(frozen=True)
class Undisturbed:
    """What a run gives that nothing happens to."""

    folder: Path
    pairs: Pairs
    seconds: float
    """How long it took, which tells when to kill another."""


@dataclass(frozen=True)
class Harm:
    """When to kill a run: at an operation on the disk, or from outside after some time."""

    strike: tuple[int, str] | None
    seconds: float


def run_undisturbed(folder: Path) -> Undisturbed:
    """Make a workspace of 20 clips and fill its cache."""
    workspace(folder, QUIET_GREYS, workers=2)
    began = time.monotonic()
    status, _ = extract(folder, models=CANDIDATES, segment=SEGMENT, pause=0.03)
    assert status == 0
    return Undisturbed(folder, readable_pairs(folder / "cache"), time.monotonic() - began)


def choose_harm(rng: random.Random, seconds: float) -> Harm:
    """Choose, one time in two, an operation; else an instant of the run."""
    if rng.random() < 0.5:
        return Harm((rng.randint(1, _OPERATIONS), rng.choice(["kill", "kill midway"])), 120.0)
    return Harm(None, rng.uniform(0.0, seconds))


def is_killed(folder: Path, harm: Harm) -> bool:
    """Run in a workspace and do harm; return whether that was before the run's end. Nothing may run on after it."""
    orders: dict[str, object] = {"segment": SEGMENT, "pause": 0.03, "puts": str(folder / "puts")}
    if harm.strike:
        orders["strike"] = {"number": harm.strike[0], "how": harm.strike[1]}
    process = start(folder, models=CANDIDATES, **orders)
    try:
        process.wait(timeout=harm.seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    status, _, err = finish(process)
    assert status in (0, -signal.SIGKILL), err
    return status != 0


def fill_killed(
    undisturbed: Undisturbed, folder: Path, *, most: int, rng: random.Random, verify: Callable[[Path], None]
) -> int:
    """Fill a fresh workspace by runs that are killed at most so often; return how often they were.

    After each nothing is lost that was there before, and nothing is there that is not as it should be; at the end all
    is there, and what was done twice is at most one unfinished segment of each writer for each kill.
    """
    shutil.copytree(undisturbed.folder, folder, ignore=shutil.ignore_patterns("cache"))
    kills, held, unfinished = 0, Pairs(), True
    while unfinished:
        harm = choose_harm(rng, undisturbed.seconds) if kills < most else Harm(None, 120.0)
        unfinished = is_killed(folder, harm)
        kills += unfinished
        now = readable_pairs(folder / "cache")
        assert held.items() <= now.items() <= undisturbed.pairs.items(), harm
        verify(folder)
        held = now
    assert held == undisturbed.pairs
    assert temporary_files(folder / "cache") == []
    puts = count_puts(folder / "puts")
    assert set(puts) == set(CANDIDATES)
    assert all(len(QUIET_GREYS) <= count <= len(QUIET_GREYS) + kills * SEGMENT for count in puts.values()), puts
    return kills
