"""Nodes with a GPU run models, nodes without one decode for them. Ray is told of a GPU that is not there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from clusters import cluster, rows_of, said
from faults import environment, extract, readable_pairs, workspace

pytest.importorskip("ray")

MODELS = ("trap:mean", "trap:mixture")
GREYS = tuple(range(10, 90, 4))


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
    assert runs.keys() == {"ray::Helper", "ray::Extractor"}
    assert runs["ray::Helper"] >= 2 * 2  # two runs of each video
