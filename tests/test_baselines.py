from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from vqa.train import baselines
from vqa.train.baselines import BASELINES, predict_best_single, predict_ridge, predict_svr
from vqa.train.job import TrainJob


def make_job(rows=90, seed=0, widths=(5, 20), groups=None):
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1, 5, rows)
    features = np.hstack([mos[:, None] + 3 * rng.normal(size=(rows, width)) for width in widths])
    return TrainJob(features, mos, groups, widths, None, 4)


def test_ridge_is_ridgecv_on_standardised_columns():
    job, others = make_job(), make_job(seed=1).features
    reference = make_pipeline(StandardScaler(), RidgeCV(baselines._PENALTIES)).fit(job.features, job.mos)
    np.testing.assert_allclose(predict_ridge(job, others), reference.predict(others))


def test_svr_is_the_grid_search_on_blocks_divided_by_the_root_of_their_width():
    job, others = make_job(), make_job(seed=1).features
    divisors = np.sqrt([5] * 5 + [20] * 20)
    scaler = StandardScaler().fit(job.features)
    rows = scaler.transform(job.features) / divisors
    scale = 1 / (25 * rows.var())
    grid = {"C": baselines._COSTS, "gamma": [gamma * scale for gamma in baselines._GAMMAS]}
    folds = KFold(3, shuffle=True, random_state=4)
    targets = (job.mos - job.mos.mean()) / job.mos.std()
    search = GridSearchCV(SVR(epsilon=0.1), grid, cv=folds).fit(rows, targets)
    expected = search.predict(scaler.transform(others) / divisors) * job.mos.std() + job.mos.mean()
    np.testing.assert_allclose(predict_svr(job, others), expected, atol=1e-6)


def test_the_best_single_model_is_the_one_that_shows_the_score():
    job = make_job(widths=(5, 5))
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(90, 5))
    hidden = TrainJob(np.hstack([noise, job.features[:, 5:]]), job.mos, None, (5, 5), None, 0)
    others = make_job(seed=1, widths=(5, 5)).features
    alone = TrainJob(job.features[:, 5:], job.mos, None, (5,), None, 0)
    assert predict_best_single(hidden, others).tolist() == predict_ridge(alone, others[:, 5:]).tolist()


@pytest.mark.parametrize("name", BASELINES)
def test_missing_cells_are_filled_from_training_rows(name):
    job = make_job()
    job.features[::7, 3] = np.nan
    others = make_job(seed=1)
    others.features[:, 3] = np.inf
    predicted = BASELINES[name].predict(job, others.features)
    assert spearmanr(predicted, others.mos).statistic > 0.5


@pytest.mark.parametrize("name", BASELINES)
def test_huge_and_missing_cells_leave_the_error_near_that_of_clean_rows(name):
    clean, others = make_job(), make_job(seed=1)
    job, strange = replace(clean, features=clean.features.copy()), others.features.copy()
    for column in range(25):  # one bad cell of each kind in every column, in training and in the test
        job.features[[column, column + 30, column + 60], column] = 1e30, -np.inf, np.nan
        strange[[column + 5, column + 35, column + 65], column] = -1e30, np.inf, np.nan
    error, bad = (
        np.sqrt(np.mean((BASELINES[name].predict(*given) - others.mos) ** 2))
        for given in ((clean, others.features), (job, strange))
    )
    assert error < 0.9
    assert bad < 1.1 * error


@pytest.mark.parametrize("name", BASELINES)
def test_a_value_far_outside_the_training_rows_counts_as_ten_standard_deviations(name):
    job, others = make_job(), make_job(seed=1).features
    means, deviations = job.features.mean(0), job.features.std(0)
    far, at_ten = others.copy(), others.copy()
    far[:, 3], at_ten[:, 3] = means[3] + 500 * deviations[3], means[3] + 10 * deviations[3]
    np.testing.assert_allclose(BASELINES[name].predict(job, far), BASELINES[name].predict(job, at_ten))


def test_folds_of_the_search_take_whole_contents():
    job = make_job(groups=[f"c{row // 10}" for row in range(90)])
    for fitting, held_out in baselines._folds(job):
        assert not {job.groups[i] for i in fitting} & {job.groups[i] for i in held_out}
