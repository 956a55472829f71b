"""The power fails, a process is killed, or the disk refuses, at each single operation of a cache's life."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cachework import check, make_videos, whole, work
from disk import Operation, recorded
from powerloss import Disk, at_random, dropped, zeroed

Promises = list[tuple[int, tuple[str, ...]]]


def lived(folder: Path) -> tuple[list[Operation], Promises]:
    """Return the operations of a cache's life, and what was promised after how many of them."""
    promises: Promises = []
    videos = make_videos(folder / "videos")
    (folder / "disk").mkdir()
    with recorded(folder / "disk") as operations:
        work(folder / "disk" / "cache", videos, lambda thing: promises.append((len(operations), thing)))
    return operations, promises


def failed_at(folder: Path, count: int, operations: list[Operation], how: str, seed: int) -> Path:
    """Return what a power loss after so many operations may leave."""
    rng = random.Random(f"{count} {how} {seed}")
    target = folder / f"{count}-{how}-{seed}"
    disk = Disk(operations[:count])
    if how == "random":
        disk.fail(target, keeps=lambda: rng.random() < 0.5, leaves=at_random(rng))
    else:
        disk.fail(target, keeps=lambda: how != "dropped", leaves=zeroed if how == "zeroed" else dropped)
    return target / "cache"


def all_files(folder: Path) -> frozenset[tuple[Path, bytes | None]]:
    """Return what is in a folder, by its path there."""
    found = folder.rglob("*")
    return frozenset((path.relative_to(folder), path.read_bytes() if path.is_file() else None) for path in found)


def check_power_loss(folder: Path, seeds: int) -> None:
    operations, promises = lived(folder)
    videos = sorted((folder / "videos").iterdir())
    cases = [(how, 0) for how in ("dropped", "named", "zeroed")] + [("random", seed) for seed in range(seeds)]
    checked, finished = set(), set()
    for count in range(len(operations) + 1):
        promised = [thing for after, thing in promises if after <= count]
        for how, seed in cases:
            cache = failed_at(folder, count, operations, how, seed)
            left = all_files(cache)  # many losses leave the same
            if (left, len(promised)) not in checked:
                check(cache, videos, promised)
                checked.add((left, len(promised)))
            if seed == 0 and left not in finished:
                work(cache, videos, lambda thing: None)
                check(cache, videos, whole())
                finished.add(left)


def test_a_power_loss_at_any_operation_costs_nothing_that_was_promised(tmp_path: Path) -> None:
    check_power_loss(tmp_path, seeds=2)


@pytest.mark.slow
def test_a_power_loss_may_leave_any_mixture_of_what_was_not_synced(tmp_path: Path) -> None:
    check_power_loss(tmp_path, seeds=100)
