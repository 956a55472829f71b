"""Extraction on the nodes of a Ray cluster: what it gives is what one machine gives, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clusters import Nodes, cluster, rows_of, said
from faults import Pairs, environment, extract, readable_pairs, stored, temporary_files, workspace
from workspaces import make_clips, tiny_models

pytest.importorskip("ray")

GREYS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 110)
VIDEOS, BROKEN = 26, 2
"""Distinct ones that can be decoded, of 28 files, and those that can't."""

Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class World:
    """A workspace that one machine has done, and a cluster."""

    folder: Path
    nodes: Nodes
    models: tuple[str, ...]
    report: dict[str, Any]
    pairs: Pairs

    def fresh(self, name: str, meeting: int) -> Path:
        """Copy the workspace without its cache; so many nodes are to take part in the next run."""
        folder = self.folder.with_name(name)
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("cache", "marks"))
        marks = self.folder / "marks"
        for mark in marks.iterdir():
            mark.unlink()
        (marks / "meet").write_text(str(meeting))
        (self.folder / "puts").unlink(missing_ok=True)
        return folder

    def puts(self) -> list[list[str]]:
        """Return candidate, key and process of each pair that was put on the cluster."""
        return [line.split() for line in (self.folder / "puts").read_text().splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    base = tmp_path_factory.mktemp("cluster")
    folder = workspace(base / "local", GREYS, workers=1)
    make_clips(folder / "marks")
    for clip in (folder / "marks" / "clips").iterdir():
        clip.rename(folder / "clips" / clip.name)
    shutil.rmtree(folder / "marks")
    (folder / "marks").mkdir()
    shutil.copy(folder / "clips" / "c1v1.mp4", folder / "clips" / "again.mp4")
    shutil.copy(folder / "clips" / "c1v2.mp4", folder / "clips" / "anew.mp4")
    (folder / "clips" / "broken.mp4").write_bytes(b"no video" * 100)
    (folder / "clips" / "half.mp4").write_bytes((folder / "clips" / "c0v0.mp4").read_bytes()[:2000])
    vit, convnext, _ = tiny_models(base)
    models = (vit, f"{convnext}@crop", "classic:siti", "trap:mixture")
    status, report = extract(folder, models=models)
    assert status == 3
    orders = {"puts": str(folder / "puts"), "meet": str(folder / "marks" / "meet")}
    variables = environment(folder, **orders)
    with cluster(2, {name: variables[name] for name in ("PYTHONPATH", "VQA_TRAP")}) as nodes:
        yield World(folder, nodes, models, report, readable_pairs(folder / "cache"))


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report without times and sizes, which no two runs share."""
    unlike = {"seconds", "megabytes", "time"}
    candidates = [{name: row[name] for name in row.keys() - unlike} for row in report["candidates"]]
    failures = [{name: row[name] for name in row.keys() - unlike} for row in report["failures"]]
    return {**report, "candidates": candidates, "failures": sorted(failures, key=lambda row: row["video"])}


def assert_alike(world: World, folder: Path, result: tuple[int, dict[str, Any], str], run: Run, *, nodes: int) -> None:
    """A run on so many nodes gave what one machine gave, each pair once, and all nodes had a part in it."""
    status, report, err = result
    assert status == 3
    assert sorted(line.partition(":")[0] for line in said(err)) == ["broken.mp4", "half.mp4"]
    assert comparable(report) == comparable(world.report)
    assert (report["videos"], report["decoded"]) == (VIDEOS + BROKEN, VIDEOS)
    assert readable_pairs(folder / "cache") == world.pairs
    rows, puts = rows_of(folder / "cache"), world.puts()
    assert len(set(rows)) == len(rows) == len(puts) == len(world.pairs) == VIDEOS * len(world.models)
    assert len({process for _, _, process in puts}) == nodes
    assert run("cache", "verify", "-C", folder)[0] == 0
    assert not [path for path in temporary_files(folder / "cache") if path.is_file()]


def test_two_nodes_give_what_one_machine_gives_and_a_rerun_does_nothing(world: World, run: Run) -> None:
    folder = world.fresh("two", 2)
    result = world.nodes.extract(folder, models=world.models)
    assert_alike(world, folder, result, run, nodes=2)
    assert (world.folder / "marks" / "mixture").exists()
    (world.folder / "marks" / "mixture").unlink()
    before = sorted(path.name for path in (folder / "cache").rglob("*"))
    status, report, _ = world.nodes.extract(folder, models=world.models)
    assert (status, report["decoded"], stored(report)) == (3, 0, 0)
    assert [row["cached"] for row in report["candidates"]] == [VIDEOS] * len(world.models)
    assert comparable(report)["failures"] == comparable(world.report)["failures"]
    assert sorted(path.name for path in (folder / "cache").rglob("*")) == before
    assert not (world.folder / "marks" / "mixture").exists()


@pytest.mark.slow
def test_four_nodes_give_what_one_machine_gives_and_one_more_candidate_takes_its_own_work_alone(
    world: World, run: Run
) -> None:
    world.nodes.add(2)
    folder = world.fresh("four", 4)
    assert_alike(world, folder, world.nodes.extract(folder, models=world.models), run, nodes=4)
    (world.folder / "marks" / "mixture").unlink()

    status, report, _ = world.nodes.extract(folder, models=(*world.models, "trap:spread"))
    assert (status, report["decoded"], stored(report)) == (3, VIDEOS, VIDEOS)
    assert len(world.puts()) == VIDEOS * (len(world.models) + 1)
    assert not (world.folder / "marks" / "mixture").exists()


@pytest.mark.slow
def test_a_cluster_goes_on_in_the_precision_and_generation_of_the_cache(world: World, run: Run) -> None:
    folder = world.fresh("partly", 1)
    kept = folder.with_name("kept")
    kept.mkdir()
    for clip in sorted((folder / "clips").iterdir())[4:]:
        clip.rename(kept / clip.name)
    model = world.models[0]
    status, report = extract(folder, "--precision", "bfloat16", models=(model,))
    assert (status, stored(report), report["candidates"][0]["precision"]) == (0, 4, "bfloat16")
    for clip in kept.iterdir():
        clip.rename(folder / "clips" / clip.name)
    status, report, _ = world.nodes.extract(folder, models=(model,))
    (row,) = report["candidates"]
    assert (status, row["precision"], row["generation"]) == (3, "bfloat16", 0)
    assert (row["cached"], row["stored"]) == (4, VIDEOS - 4)
    assert len(list((folder / "cache").glob("timm_*"))) == 1


def test_options_of_a_cluster_are_refused_where_none_is_asked_for(run: Run, tmp_path: Path) -> None:
    for option, value in (("--address", "10.0.0.1:6379"), ("--num-cpus", "1"), ("--num-gpus", "0.5")):
        status, out, err = run("extract", "--engine", "local", option, value, "-C", tmp_path)
        assert (status, out) == (2, "")
        assert err.splitlines()[-1] == f"Error: {option} is for a cluster; add --engine ray, or leave it out"
