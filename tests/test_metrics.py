from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError
from vqa.train import metrics
from vqa.train.metrics import Metrics, fit_logistic, score_predictions, summarise


def test_correlations_of_five_scores_with_two_neighbours_swapped():
    mos = np.array([1.0, 2, 3, 4, 5])
    found = score_predictions(mos, np.array([1.0, 3, 2, 4, 50]))
    assert found.srocc == pytest.approx(0.9)  # 1 - 6 * 2 / (5 * 24)
    assert found.krocc == pytest.approx(0.8)  # 1 of 10 pairs is swapped
    assert found.plcc == pytest.approx(99 / np.sqrt(10 * 1810))
    assert found.rmse == pytest.approx(np.sqrt((1 + 1 + 45**2) / 5))


def test_predictions_that_are_a_logistic_of_mos_fit_it_exactly():
    predicted = np.linspace(-3, 3, 40)
    mos = 1 + 4 / (1 + np.exp(-(predicted - 0.5) / 0.8))
    found = score_predictions(mos, predicted)
    assert found.plcc < 0.995
    assert found.plcc_fitted == pytest.approx(1, abs=1e-9)
    assert found.rmse_fitted == pytest.approx(0, abs=1e-6)


def test_the_fitted_curve_goes_on_between_and_beyond_the_predictions():
    predicted = np.linspace(-3, 3, 40)
    curve = fit_logistic(1 + 4 / (1 + np.exp(-(predicted - 0.5) / 0.8)), predicted)
    assert curve(np.array([-90.0, 0.5, 90.0])).tolist() == pytest.approx([1, 3, 5])


def test_ranks_do_not_change_by_the_fit_and_reversed_predictions_rank_at_minus_one():
    mos = np.linspace(1, 5, 30)
    found = score_predictions(mos, -mos)
    assert (found.srocc, found.krocc, found.plcc) == pytest.approx((-1, -1, -1))


def test_where_the_logistic_does_not_converge_the_straight_line_is_used(monkeypatch):
    mos = np.array([1.0, 2, 3, 4, 6])
    predicted = np.array([10.0, 20, 30, 40, 50])
    monkeypatch.setattr(metrics, "_MOST_EVALUATIONS", 1)
    found = score_predictions(mos, predicted)
    assert found.plcc_fitted == pytest.approx(found.plcc)
    assert found.rmse_fitted == pytest.approx(np.sqrt(0.08))  # 3.2 + 0.12 * (x - 30) misses by .2, 0, -.2, -.4, .4
    assert found.rmse > 20


def test_three_rows_are_fewer_than_the_logistic_has_parameters_so_the_line_is_used():
    found = score_predictions(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]))
    assert found.rmse_fitted == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("mos", "predicted", "message"),
    [
        ([1, 2], [1, 2], "2 videos are too few"),
        ([1, 2, 3], [4, 4, 4], "all 3 predictions are 4"),
        ([2, 2, 2], [1, 2, 3], "all 3 test videos have the MOS 2"),
        ([1, 2, 3], [1, np.nan, 3], "not finite"),
    ],
)
def test_rows_without_a_correlation_are_refused(mos, predicted, message):
    with pytest.raises(DegenerateDataError, match=message):
        score_predictions(np.array(mos, float), np.array(predicted, float))


def test_a_summary_gives_each_figures_median_and_population_deviation():
    rows = [Metrics(value, value / 2, value, 1 - value, value, 1 - value) for value in (0.2, 0.4, 0.9)]
    summary = summarise(rows)
    assert summary.splits == 3
    assert summary.median == pytest.approx(Metrics(0.4, 0.2, 0.4, 0.6, 0.4, 0.6))
    assert summary.std.srocc == pytest.approx(np.sqrt((0.09 + 0.01 + 0.16) / 3))
    assert summary.std.krocc == pytest.approx(summary.std.srocc / 2)


def test_a_summary_of_nothing_is_refused():
    with pytest.raises(DegenerateDataError, match="no split"):
        summarise([])
