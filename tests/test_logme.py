from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge

from vqa.errors import DegenerateDataError
from vqa.select.logme import log_evidence


def points_and_mos(rows=80, columns=6, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    points = random.normal(size=(rows, columns)) * np.linspace(3, 1, columns)
    return points, points @ random.normal(size=columns) + noise * random.normal(size=rows)


@pytest.mark.parametrize(("columns", "noise"), [(6, 0.1), (6, 5.0), (40, 1.0)])
def test_the_evidence_is_that_of_scikit_learns_bayesian_ridge_without_priors(columns, noise):
    points, mos = points_and_mos(columns=columns, noise=noise)
    points, scores = points - points.mean(0), (mos - mos.mean()) / mos.std()
    flat = {"alpha_1": 0.0, "alpha_2": 0.0, "lambda_1": 0.0, "lambda_2": 0.0}
    model = BayesianRidge(fit_intercept=False, compute_score=True, tol=1e-12, max_iter=5000, **flat)
    model.fit(points, scores)
    assert log_evidence(points, mos) == pytest.approx(model.scores_[-1] / 80, abs=1e-5)


def test_the_evidence_is_the_gaussian_log_density_of_the_scores_at_its_maximum():
    points, mos = points_and_mos(rows=30, columns=3)
    points, scores = points - points.mean(0), (mos - mos.mean()) / mos.std()

    def density(alpha, beta):
        covariance = points @ points.T / alpha + np.eye(30) / beta
        _, logarithm = np.linalg.slogdet(covariance)
        return -(scores @ np.linalg.solve(covariance, scores) + logarithm + 30 * np.log(2 * np.pi)) / 60

    grid = np.logspace(-3, 4, 141)
    best = max(density(alpha, beta) for alpha in grid for beta in grid)
    assert log_evidence(points, mos) == pytest.approx(best, abs=2e-3)


def test_features_that_say_nothing_have_the_evidence_of_noise_and_those_that_say_all_much_more():
    random = np.random.default_rng(1)
    mos = random.normal(size=400)
    assert log_evidence(random.normal(size=(400, 3)), mos) == pytest.approx(-1.42, abs=0.02)
    assert log_evidence(mos[:, None] + 0.01 * random.normal(size=(400, 3)), mos) > 2


def test_scale_and_offset_of_the_scores_do_not_matter():
    points, mos = points_and_mos()
    assert log_evidence(points, 20 * mos + 7) == pytest.approx(log_evidence(points, mos), abs=1e-9)


def test_equal_scores_are_refused():
    with pytest.raises(DegenerateDataError, match="all 80 videos have the MOS 3"):
        log_evidence(points_and_mos()[0], np.full(80, 3.0))
