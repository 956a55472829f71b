from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from vqa.select.crossval import PENALTIES
from vqa.select.greedy import order_greedily
from vqa.select.preparing import prepare_candidate
from vqa.select.target import make_target

RANDOM = np.random.default_rng(0)
ONE, TWO = RANDOM.normal(size=(2, 120))
MOS = ONE + 0.8 * TWO + 0.1 * RANDOM.normal(size=120)
TARGET, _ = make_target(MOS, None)


def candidate(name, *parts, noise=0.05, seed=1):
    columns = np.column_stack([*parts, *parts]) + noise * np.random.default_rng(seed).normal(size=(120, 2 * len(parts)))
    return prepare_candidate(name, columns.astype(np.float32))


FIRST = candidate("first", ONE)
TWIN = candidate("twin", ONE, noise=0.06, seed=2)
OTHER = candidate("other", TWO)
BLIND = candidate("blind", np.random.default_rng(9).normal(size=120))


def names(steps):
    return [step.name for step in steps if step.picked]


def test_what_adds_most_comes_next_not_what_is_best_alone():
    steps = order_greedily([BLIND, OTHER, TWIN, FIRST], TARGET, count=2)
    assert names(steps)[1] == "other"
    assert names(steps)[0] in {"first", "twin"}
    assert [step.name for step in steps][-1] == "blind"
    assert steps[1].value > steps[0].value


def test_the_value_is_the_held_out_rank_correlation_of_ridge_on_blocks_of_equal_variance():
    wide = candidate("wide", *[TWO] * 10, noise=1.0)
    steps = order_greedily([FIRST, wide], TARGET, count=2)
    spaces = [FIRST.space, wide.space]
    joined = np.hstack([space / np.sqrt(space.var(0).sum()) for space in spaces])
    found = []
    for penalty in PENALTIES:
        predicted = np.empty(120)
        for fold in range(5):
            inside, out = TARGET.folds != fold, TARGET.folds == fold
            model = Ridge(penalty * joined[inside].var(0).sum() * inside.sum()).fit(joined[inside], MOS[inside])
            predicted[out] = model.predict(joined[out])
        found.append((np.square(predicted - MOS).sum(), spearmanr(predicted, MOS).statistic))
    assert steps[1].value == pytest.approx(min(found)[1], abs=1e-4)


def test_those_not_picked_follow_by_what_they_would_add():
    steps = order_greedily([BLIND, OTHER, FIRST], TARGET, count=1)
    assert [(step.name, step.picked) for step in steps] == [("first", True), ("other", False), ("blind", False)]


def test_equal_candidates_are_picked_in_the_order_of_their_names():
    twins = [prepare_candidate(name, FIRST.space) for name in ("b", "a")]
    assert names(order_greedily(twins, TARGET, count=1)) == ["a"]


def test_more_picks_than_candidates_are_all_candidates():
    assert names(order_greedily([FIRST, OTHER], TARGET, count=9)) == ["first", "other"]


def test_within_a_budget_the_best_that_still_fits_is_picked():
    costs = {"first": 50.0, "twin": 10.0, "other": 30.0, "blind": 5.0}
    steps = order_greedily([FIRST, TWIN, OTHER, BLIND], TARGET, count=3, cost_ms=costs, budget_ms=45)
    assert names(steps) == ["twin", "other", "blind"]
    assert names(order_greedily([FIRST, OTHER], TARGET, count=2, cost_ms=costs, budget_ms=40)) == ["other"]
