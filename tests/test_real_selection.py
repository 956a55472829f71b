"""Selection on real ratings and published feature sets; `saliency224` was put among them as a useless one."""

from __future__ import annotations

import numpy as np
import pytest

from vqa.records import FeatureTable
from vqa.select.ranking import rank_candidates
from vqa.train.splits import content_splits

SOUND = ["dbi", "dbi-count", "logme", "ridge", "knn", "greedy"]


def read_pool(test_data, name):
    with np.load(test_data / "pools" / f"{name}.npz", allow_pickle=False) as pool:
        blocks = {key.removeprefix("feat__"): pool[key] for key in pool.files if key.startswith("feat__")}
        return FeatureTable(tuple(pool["ids"].tolist()), pool["mos"].astype(float), None, blocks)


def training_parts(table, count):
    return [table.take(split.train) for split in content_splits(None, len(table.ids), count=count)]


@pytest.mark.parametrize("criterion", SOUND)
def test_the_useless_set_is_not_among_four_chosen_in_three_splits(test_data, criterion):
    for part in training_parts(read_pool(test_data, "konvid1k"), 3):
        assert "saliency224" not in rank_candidates(part, criterion=criterion).best(4)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", SOUND)
@pytest.mark.parametrize("beside", ["konvid1k", "livevqc"])
def test_the_useless_set_is_not_among_four_chosen_in_ten_splits_of_either_dataset(test_data, criterion, beside):
    useless = read_pool(test_data, "konvid1k").blocks["saliency224"]
    table = read_pool(test_data, beside)
    lent = {**table.blocks, "saliency224": useless[: len(table.ids)]}  # LIVE-VQC has none: that of other videos
    for part in training_parts(FeatureTable(table.ids, table.mos, None, lent), 10):
        assert "saliency224" not in rank_candidates(part, criterion=criterion).best(4)


def test_all_candidates_of_real_pools_can_be_ranked(test_data):
    for name, candidates in (("konvid1k", 10), ("livevqc", 11)):
        ranking = rank_candidates(read_pool(test_data, name), criterion="ridge")
        assert (len(ranking.rows), ranking.refused) == (candidates, {})


def test_by_held_out_scores_the_best_single_set_of_both_pools_is_videval(test_data):
    for name in ("konvid1k", "livevqc"):
        assert rank_candidates(read_pool(test_data, name), criterion="ridge").best(1) == ("videval60",)
