"""A cluster of this machine alone, started for the run, whose shared cache is full."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from clusters import said
from faults import QUIET_GREYS, command, environment, readable_pairs, workspace
from mounts import on_a_full_disk

pytest.importorskip("ray")

MODELS = ("trap:mean", "trap:spread")


@pytest.mark.slow
def test_a_full_cache_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", QUIET_GREYS)
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    try:
        lines = on_a_full_disk(
            folder,
            command(folder, "--engine", "ray", models=MODELS),
            environment(folder, segment=3) | {"RAY_TMPDIR": temporary},
        )
    finally:
        shutil.rmtree(temporary)
    refusal, *lines = said("\n".join(lines))
    assert "can't be written (No space left on device); free or unlock that place" in refusal
    assert lines == ["status: 1", "status: 0", "status: 0", "status: 0"]
    before, after = readable_pairs(folder / "before"), readable_pairs(folder / "after")
    assert 0 < len(before) < 40
    assert len(after) == 40
    assert before.items() <= after.items()
