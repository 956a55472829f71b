from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from vqa.errors import DegenerateDataError
from vqa.select.crossval import PENALTIES, cut_folds, fold_moments, neighbour_predictions, ridge_predictions, srocc

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(60, 4)).astype(np.float32)
MOS = 3 + POINTS @ np.array([1.0, 0.5, 0.0, 0.0]) + 0.5 * RANDOM.normal(size=60)
FOLDS = np.arange(60) % 5


def by_hand(model, fold):
    return model.fit(POINTS[fold != FOLDS], MOS[fold != FOLDS]).predict(POINTS[fold == FOLDS])


def test_a_content_is_never_in_two_folds():
    groups = [f"c{number % 17}" for number in range(100)]
    folds = cut_folds(groups, 100, random_state=0)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    assert all(len({fold for fold, group in zip(folds, groups, strict=True) if group == c}) == 1 for c in set(groups))


def test_rows_without_contents_are_cut_into_five_equal_folds_which_the_seed_decides():
    folds = cut_folds(None, 60, random_state=3)
    assert np.bincount(folds).tolist() == [12, 12, 12, 12, 12]
    assert np.array_equal(folds, cut_folds(None, 60, random_state=3))
    assert not np.array_equal(folds, cut_folds(None, 60, random_state=4))


def test_three_contents_make_three_folds_and_one_makes_none():
    assert cut_folds(["a", "b", "c"] * 4, 12, random_state=0).max() == 2
    with pytest.raises(DegenerateDataError, match="all videos show one content, so none can be held out"):
        cut_folds(["a"] * 12, 12, random_state=0)


def test_rank_correlation_is_scipys_ties_included():
    assert srocc(np.array([1.0, 2, 2, 4]), np.array([1.0, 3, 2, 2])) == pytest.approx(
        spearmanr([1, 2, 2, 4], [1, 3, 2, 2]).statistic
    )


def test_equal_predictions_have_no_rank_correlation():
    with pytest.raises(DegenerateDataError, match="there is no rank correlation"):
        srocc(np.ones(5), np.arange(5.0))


def test_each_fold_is_predicted_by_scikit_learns_ridge_on_the_others_with_the_penalty_of_least_error():
    predicted = ridge_predictions(POINTS, FOLDS, fold_moments(POINTS, MOS, FOLDS))
    candidates = []
    for penalty in PENALTIES:
        wanted = np.empty(60)
        for fold in range(5):
            variance = POINTS[fold != FOLDS].var(0).sum()
            wanted[fold == FOLDS] = by_hand(Ridge(penalty * variance * 48), fold)
        candidates.append(wanted)
    best = min(candidates, key=lambda wanted: np.square(wanted - MOS).sum())
    np.testing.assert_allclose(predicted * MOS.std() + MOS.mean(), best, atol=1e-5)


def test_each_row_is_predicted_by_its_nearest_neighbours_in_other_folds():
    predicted = neighbour_predictions(POINTS, MOS, FOLDS, neighbours=7)
    for fold in range(5):
        np.testing.assert_allclose(predicted[fold == FOLDS], by_hand(KNeighborsRegressor(7), fold), atol=1e-9)


def test_more_neighbours_than_rows_are_all_rows():
    predicted = neighbour_predictions(POINTS[:4], MOS[:4], np.array([0, 0, 1, 1]), neighbours=10)
    np.testing.assert_allclose(predicted, np.repeat([MOS[2:4].mean(), MOS[:2].mean()], 2))
