"""What training is worth on real ratings; the long form of what benchmarks/ratings.py prints."""

from __future__ import annotations

import numpy as np
import pytest

from vqa.pipeline.contest import Round, predict_rounds
from vqa.records import FeatureTable
from vqa.select.ranking import rank_candidates
from vqa.train.baselines import BASELINES
from vqa.train.methods import METHODS
from vqa.train.metrics import score_predictions
from vqa.train.splits import content_splits


def read_pool(file):
    with np.load(file, allow_pickle=False) as pool:
        blocks = {name: np.where(np.isfinite(pool[name]), pool[name], np.nan) for name in pool.files if "__" in name}
        return FeatureTable(tuple(pool["ids"].tolist()), pool["mos"].astype(float), None, blocks)


def sroccs(table, names, contenders):
    """Return each contender's SROCC on the first 10 benchmark splits, by its name."""
    parts = content_splits(None, len(table.ids), count=10)
    rounds = []
    for number, part in enumerate(parts):
        train = table.take(part.train)
        ranking = rank_candidates(train)
        rounds.append(Round(table, part.train, table, part.test, ranking, names(train, number), number))
    methods = [each for each in contenders if each.name in METHODS]
    others = [each for each in contenders if each.name not in METHODS]
    said = predict_rounds(rounds, methods, others, coverage=0.9)
    return {
        name: np.array(
            [score_predictions(each.test_mos, own.scores).srocc for each, own in zip(rounds, of, strict=True)]
        )
        for name, of in said.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pool", ["konvid1k", "livevqc"])
def test_all_sets_are_a_hundredth_above_the_better_of_ridge_and_svr(test_data, pool):
    table = read_pool(test_data / "pools" / f"{pool}.npz")
    found = sroccs(table, lambda *_: tuple(table.blocks), [METHODS["blend"], BASELINES["ridge"], BASELINES["svr"]])
    bar = max(np.median(found["ridge"]), np.median(found["svr"]))
    assert np.median(found["blend"]) >= bar + 0.01
    assert (found["blend"] > found["ridge"]).sum() >= 7
    assert (found["blend"] > found["svr"]).sum() >= 7


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pool", ["konvid1k", "livevqc"])
def test_four_chosen_by_dbi_and_fused_are_two_hundredths_above_four_drawn_at_random(test_data, pool):
    table = read_pool(test_data / "pools" / f"{pool}.npz")
    ours = [METHODS["blend"]]
    chosen = np.median(sroccs(table, lambda train, _: rank_candidates(train).best(4), ours)["blend"])
    names, drawn = list(table.blocks), []
    for draw in range(20):

        def four(_, split, draw=draw):
            return tuple(np.random.default_rng([draw, split]).permutation(names)[:4].tolist())

        drawn.append(np.median(sroccs(table, four, ours)["blend"]))
    assert chosen >= np.mean(drawn) + 0.02
