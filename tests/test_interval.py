from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError
from vqa.train import restarts
from vqa.train.fitting import TrainJob, TrainSettings, fit_many
from vqa.train.interval import disagree, fit_interval, limit_correlation
from vqa.train.job import prepare


def test_without_disagreement_the_half_width_is_the_corrected_quantile_of_the_residuals():
    residuals = np.arange(1.0, 20.0) * np.where(np.arange(19) % 2, 1, -1)  # 1 to 19
    scale = fit_interval(residuals, np.zeros(19), np.arange(19))
    assert scale.half_width(np.zeros(1), 0.9)[0] == pytest.approx(18)  # the ceil(20 x .9)-th smallest
    assert scale.half_width(np.zeros(1), 0.5)[0] == pytest.approx(10)


def test_where_parts_disagree_the_interval_is_longer():
    scale = fit_interval(np.linspace(-1, 1, 50), np.zeros(50), np.arange(50))
    agreed, torn = scale.half_width(np.array([0.0, 2.0]), 0.9)
    assert torn == pytest.approx(agreed * np.hypot(scale.typical, 2) / scale.typical)


def test_disagreement_is_the_standard_deviation_of_the_parts():
    assert disagree([np.array([1.0, 5.0]), np.array([3.0, 5.0])]).tolist() == [1, 0]


def test_fewer_than_ten_residuals_give_no_interval():
    assert fit_interval(np.arange(9.0), np.zeros(9), np.arange(9)) is None


def test_fewer_than_eight_contents_give_no_interval():
    contents = np.repeat(np.arange(7), 10)
    assert fit_interval(np.arange(70.0), np.zeros(70), contents) is None
    assert fit_interval(np.arange(80.0), np.zeros(80), np.repeat(np.arange(8), 10)) is not None


def test_ten_contents_of_equal_residuals_count_as_ten_residuals():
    contents = np.repeat(np.arange(10), 10)
    residuals = (contents + 1.0) * np.where(contents % 2, 1, -1)
    assert limit_correlation(residuals, contents) == 1
    scale = fit_interval(residuals, np.zeros(100), contents)
    assert scale.half_width(np.zeros(1), 0.8)[0] == pytest.approx(9)  # the ceil(11 x .8)-th; of 100 residuals it is 8
    assert scale.half_width(np.zeros(1), 0.9)[0] == pytest.approx(10)


def test_residuals_that_have_nothing_to_do_with_contents_count_each():
    contents = np.arange(100) % 10
    residuals = np.arange(1.0, 101.0) * np.where(np.arange(100) // 10 % 2, 1, -1)
    assert limit_correlation(residuals, contents) == 0
    scale = fit_interval(residuals, np.zeros(100), contents)
    assert scale.half_width(np.zeros(1), 0.9)[0] == pytest.approx(91)  # the ceil(101 x .9)-th; of 10 contents it is 99


def test_half_of_the_variance_between_contents_is_a_correlation_of_little_more_than_a_half():
    rng = np.random.default_rng(0)
    contents = np.repeat(np.arange(4000), 3)
    values = rng.normal(size=4000)[contents] + rng.normal(size=12000)
    assert limit_correlation(values, contents) == pytest.approx(0.515, abs=0.02)


def test_a_content_of_many_videos_weighs_as_much_as_one_of_few():
    contents = np.concatenate([np.zeros(1000, dtype=int), np.arange(1, 20)])
    residuals = np.concatenate([np.full(1000, 50.0), np.arange(1.0, 20.0)])
    scale = fit_interval(residuals, np.zeros(1019), contents)
    assert scale.half_width(np.zeros(1), 0.5)[0] < 12  # by rows nearly all residuals are 50


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(DegenerateDataError, match="use one between 0 and 1"):
        fit_interval(np.arange(20.0), np.zeros(20), np.arange(20)).half_width(np.zeros(1), coverage)


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


def simulate(contents, videos, effect, seed):
    """Quality that features tell, an effect of the content on the MOS that they don't, marks of the content, noise."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(1)
    quality, marks = rng.normal(size=(contents, videos, 1)), rng.normal(size=(contents, 1, 6)).repeat(videos, 1)
    mos = 50 + 10 * quality[..., 0] + 5 * (effect * rng.normal(size=(contents, 1)) + rng.normal(size=quality.shape[:2]))
    told = quality @ fixed.normal(size=(1, 24)) + marks @ fixed.normal(size=(6, 24))
    features = np.tanh(told / 2) + 0.3 * rng.normal(size=told.shape)
    groups = [str(content) for content in range(contents) for _ in range(videos)]
    return TrainJob(features.reshape(-1, 24), mos.ravel(), groups, (12, 12), None, seed)


@pytest.mark.parametrize("videos", [5, 30])
def test_every_content_is_held_out_once_where_contents_repeat(videos):
    settings = TrainSettings(epochs=1, restarts=2, paths=("network",))
    prepared = prepare(simulate(8, videos, 1, 0), settings=settings)  # 40 and 240 rows
    assert np.isfinite(restarts.train_networks([prepared], settings, steps=2)[0].unseen).all()


def test_where_no_content_repeats_only_rows_that_restarts_held_out_are_judged():
    settings = TrainSettings(epochs=1, restarts=2, paths=("network",))
    prepared = prepare(simulate(240, 1, 1, 0), settings=settings)
    known = np.isfinite(restarts.train_networks([prepared], settings, steps=2)[0].unseen)
    assert 24 < known.sum() <= 48


def share_of_new_contents(contents, videos, effect, sets, settings):
    fitted = fit_many([simulate(contents, videos, effect, seed) for seed in range(sets)], settings=settings)
    inside = []
    for seed, each in enumerate(fitted):
        new = simulate(60, 4, effect, 1000 + seed)
        said = each.predict_intervals(new.features)
        inside.append((said.low <= new.mos) & (new.mos <= said.high))
    return np.mean(inside)


def test_about_nine_of_ten_videos_of_new_contents_lie_in_their_interval():
    assert 0.87 < share_of_new_contents(12, 18, 2, 12, TrainSettings(epochs=5, restarts=1)) < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.5, 1, 2])
def test_content_effects_of_three_sizes_leave_the_coverage_between_87_and_93_percent(effect):
    assert 0.87 < share_of_new_contents(24, 9, effect, 40, TrainSettings()) < 0.93
