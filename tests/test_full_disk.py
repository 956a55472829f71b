"""Runs that are denied the disk: it is full, it is broken, or it may only be read."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from faults import (
    QUIET_GREYS,
    command,
    environment,
    extract,
    finish,
    readable_pairs,
    start,
    stored,
    temporary_files,
    workspace,
)
from mounts import on_a_full_disk, own_mounts, vqa

MODELS = ("trap:mean", "trap:spread")
NEXT_STEP = "free or unlock that place, or name another folder as `cache` in vqa.toml"


def assert_refused(folder: Path, result: tuple[int, str, str], place: str, reason: str) -> None:
    """The run ended with one line that names place, reason and next step; nothing half written is left."""
    status, out, err = result
    assert (status, out) == (1, ""), err
    (line,) = err.splitlines()
    assert line.startswith(f"Error: {folder}/cache{place}")
    assert f"can't be written ({reason}); {NEXT_STEP}" in line
    assert temporary_files(folder / "cache") == []


def assert_completes(folder: Path, before: int) -> None:
    """What is whole is readable, and the same command again computes the rest."""
    assert len(readable_pairs(folder / "cache")) == before
    status, report = extract(folder, models=MODELS, segment=3)
    assert (status, stored(report)) == (0, 2 * len(QUIET_GREYS) - before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strike", "reason"),
    [
        ({"number": 4, "how": "half", "kinds": ["write"], "where": ".h5"}, "Input/output error"),
        ({"number": 5, "how": "error", "kinds": ["rename"], "where": ".h5"}, "Input/output error"),
        ({"number": 3, "how": "full", "where": ".h5"}, "No space left on device"),
    ],
)
def test_a_write_that_fails_is_said_in_one_line_and_the_run_can_be_resumed(
    tmp_path: Path, strike: dict[str, Any], reason: str
) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS, workers=2)
    process = start(folder, models=MODELS, segment=3, strike=strike)
    assert_refused(folder, finish(process), "/trap_", reason)
    assert_completes(folder, len(readable_pairs(folder / "cache")))


def test_a_file_larger_than_allowed_is_said_in_one_line(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS[:3], workers=2)
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))}
    assert_refused(folder, finish(start(folder, models=MODELS, streams=limit)), "/trap_", "File too large")
    assert readable_pairs(folder / "cache") == {}


def test_a_disk_too_full_for_the_ledger_keeps_the_features(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [*QUIET_GREYS[:5], 200], workers=1)
    strike = {"number": 1, "how": "full", "where": "failures"}
    assert_refused(folder, finish(start(folder, strike=strike)), "/failures", "No space left on device")
    assert len(readable_pairs(folder / "cache")) == 5
    status, report = extract(folder)
    assert (status, stored(report), len(report["failures"])) == (3, 0, 1)


def test_a_full_disk_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS, workers=2)
    lines = on_a_full_disk(folder, command(folder, models=MODELS), environment(folder, segment=3))
    refusal = lines.pop(0)
    assert f"can't be written (No space left on device); {NEXT_STEP}" in refusal
    assert lines == ["status: 1", "status: 0", "status: 0", "status: 0"]
    before, after = readable_pairs(folder / "before"), readable_pairs(folder / "after")
    assert 0 < len(before) < 40
    assert len(after) == 40
    assert before.items() <= after.items()


def test_a_cache_that_may_only_be_read_is_refused_before_any_work_and_serves_what_it_has(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", [100, *QUIET_GREYS], workers=2)
    rated = "".join(f"{path.stem},{path.stem[3:]}\n" for path in sorted((folder / "clips").iterdir()))
    (folder / "labels.csv").write_text(f"id,mos\n{rated}")
    settings = (folder / "vqa.toml").read_text()
    (folder / "vqa.toml").write_text(settings.replace("[extract]", 'labels = "labels.csv"\n[extract]'))
    assert extract(folder, models=MODELS)[0] == 0
    begun = len(list((folder / "marks").iterdir()))
    lines = own_mounts(
        f"""
        mount --bind {folder}/cache {folder}/cache
        mount -o remount,bind,ro {folder}/cache
        {vqa(folder, "extract", "--models", "trap:mean", "--models", "trap:mixture")}
        {vqa(folder, "extract", "--models", "trap:mean")}
        {vqa(folder, "cache", "info")}
        {vqa(folder, "cache", "verify")}
        {vqa(folder, "select", "--top-k", "2")}
        {vqa(folder, "train", "--cached")}
        """,
        environment(folder),
    )
    assert f"{folder}/cache: can't be written" in lines.pop(0)
    assert lines == ["status: 1", "status: 0", "status: 0", "status: 0", "status: 0", "status: 0"]
    assert len(list((folder / "marks").iterdir())) == begun
