from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError
from vqa.train.fitting import TrainJob, TrainSettings, fit_many
from vqa.train.interval import disagree, fit_interval


def test_without_disagreement_the_half_width_is_the_corrected_quantile_of_the_residuals():
    residuals = np.arange(1.0, 20.0) * np.where(np.arange(19) % 2, 1, -1)  # 1 to 19
    scale = fit_interval(residuals, np.zeros(19))
    assert scale.half_width(np.zeros(1), 0.9)[0] == pytest.approx(18)  # the ceil(20 x .9)-th smallest
    assert scale.half_width(np.zeros(1), 0.5)[0] == pytest.approx(10)


def test_where_parts_disagree_the_interval_is_longer():
    scale = fit_interval(np.linspace(-1, 1, 50), np.zeros(50))
    agreed, torn = scale.half_width(np.array([0.0, 2.0]), 0.9)
    assert torn == pytest.approx(agreed * np.hypot(scale.typical, 2) / scale.typical)


def test_disagreement_is_the_standard_deviation_of_the_parts():
    assert disagree([np.array([1.0, 5.0]), np.array([3.0, 5.0])]).tolist() == [1, 0]


def test_fewer_than_ten_residuals_give_no_interval():
    assert fit_interval(np.arange(9.0), np.zeros(9)) is None


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(DegenerateDataError, match="use one between 0 and 1"):
        fit_interval(np.arange(20.0), np.zeros(20)).half_width(np.zeros(1), coverage)


def make_job(rows, seed, groups=None):
    rng = np.random.default_rng(seed)
    mos = rng.uniform(0, 100, rows)
    features = np.hstack([mos[:, None] / 30 + rng.normal(size=(rows, 4)) for _ in range(2)])
    return TrainJob(features, mos, groups, (4, 4), None, seed)


@pytest.mark.parametrize("rows", [100, 300])
def test_about_nine_of_ten_new_videos_lie_in_their_interval(rows):
    fitted = fit_many([make_job(rows, seed) for seed in range(6)], settings=TrainSettings(epochs=10, restarts=2))
    new = make_job(500, 99)
    said = [each.predict_intervals(new.features) for each in fitted]
    covered = np.mean([(each.low <= new.mos) & (new.mos <= each.high) for each in said])
    assert 0.85 < covered < 0.95
    narrower = fitted[0].predict_intervals(new.features, coverage=0.5)
    assert (narrower.high - narrower.low < said[0].high - said[0].low).all()


def test_too_few_contents_to_leave_any_out_give_scores_without_intervals():
    job = make_job(20, 0, groups=["a", "b"] * 10)
    said = fit_many([job], settings=TrainSettings(epochs=2, restarts=1))[0].predict_intervals(job.features)
    assert np.isfinite(said.scores).all()
    assert np.isnan(said.low).all()
    assert np.isnan(said.high).all()
