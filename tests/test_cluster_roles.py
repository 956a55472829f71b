"""Nodes with a GPU run models, nodes without one decode for them. Ray is told of a GPU that is not there."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from clusters import cluster, rows_of, said
from faults import environment, extract, finish, readable_pairs, wait_for_line, workspace

pytest.importorskip("ray")

MODELS = ("trap:mean", "trap:mixture")
GREYS = tuple(range(10, 90, 4))


@pytest.mark.slow
def test_nodes_without_a_gpu_decode_for_those_that_have_one(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "shared", GREYS, workers=1)
    assert extract(folder, models=MODELS)[0] == 0
    alone = readable_pairs(folder / "cache")
    (folder / "cache").rename(folder / "alone")
    variables = environment(folder, decoders=str(folder / "decoders"), pause=0.1)
    with cluster(1, {name: variables[name] for name in ("PYTHONPATH", "VQA_TRAP")}) as nodes:
        nodes.add(gpus=1)
        status, report, err = nodes.extract(folder, models=MODELS)
    assert (status, report["decoded"], said(err)) == (0, len(GREYS), [])
    assert readable_pairs(folder / "cache") == alone
    rows = rows_of(folder / "cache")
    assert len(set(rows)) == len(rows) == 2 * len(GREYS)
    runs = Counter(line.partition(".")[0] for line in (folder / "decoders").read_text().splitlines())
    assert runs["ray::Helper"] >= 2 * 2  # two runs of each video
    assert runs.total() - runs["ray::Helper"] >= 2 * 2


@pytest.mark.slow
def test_a_decoding_node_that_dies_is_replaced_and_without_a_gpu_the_run_ends_in_one_line(tmp_path: Path) -> None:
    folder = workspace(tmp_path / "shared", GREYS, workers=1)
    (folder / "hold").write_text("2")
    variables = environment(folder, puts=str(folder / "puts"), hold=str(folder / "hold"))
    with cluster(1, {name: variables[name] for name in ("PYTHONPATH", "VQA_TRAP")}) as nodes:
        nodes.add(gpus=1)
        run = nodes.start(folder, models=MODELS)
        wait_for_line(folder / "puts", 2, run)
        (helper,) = nodes.processes("ray::Helper")
        helper.kill()
        helper.wait()
        while not nodes.processes("ray::Helper"):
            assert run.poll() is None
            time.sleep(0.1)
        nodes.remove(1)
        status, out, err = finish(run)
        assert (status, out) == (1, "")
        assert said(err)[-1].startswith("Error: the nodes that have a GPU are gone; start one again")
        (folder / "hold").unlink()
        nodes.add(gpus=1)
        assert nodes.extract(folder, models=MODELS)[0] == 0
    assert len(rows_of(folder / "cache")) == 2 * len(GREYS)
