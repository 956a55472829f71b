from __future__ import annotations

import numpy as np
import pytest

from vqa.train.scaling import fill_missing, fit_scaler


def test_a_missing_cell_takes_the_median_of_the_training_rows():
    features = np.array([[1.0], [2.0], [np.nan], [9.0]])
    scaler = fit_scaler(features, components=4)
    assert scaler.medians.tolist() == [2]
    assert scaler.apply(np.array([[np.nan], [np.inf]])).tolist() == scaler.apply(np.array([[2.0], [2.0]])).tolist()


def test_a_cell_a_thousand_spreads_from_the_median_is_missing_and_one_nearer_is_a_value():
    # Quartiles 1 and 3, spread 2 / 1.35: the limit lies 1481 from the median, 2.
    features = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [1480.0, 1e27]])
    filled, medians = fill_missing(features)
    assert filled[4].tolist() == [1480, 1.5]
    assert medians.tolist() == [2, 1.5]


def test_a_column_without_a_middle_half_keeps_its_values():
    features = np.array([[0.0]] * 9 + [[1e9]])
    assert fill_missing(features)[0].tolist() == features.tolist()


def test_a_single_feature_is_standardised():
    scaler = fit_scaler(np.array([[1.0], [3.0]]), components=4, scaling="standard")
    np.testing.assert_allclose(scaler.apply(np.array([[1.0], [2.0], [5.0]])), [[-1], [0], [3]], atol=1e-12)


def test_soft_scaling_bends_tails_by_arcsinh_of_the_distance_in_spreads_of_the_middle_half():
    features = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [1000.0]])
    softened = np.arcsinh((features - 2.5) * 1.35 / 2.5)  # quartiles 1.25 and 3.75
    expected = (softened - softened.mean()) / softened.std()
    np.testing.assert_allclose(fit_scaler(features, components=1).apply(features), expected, atol=1e-12)
    standard = fit_scaler(features, components=1, scaling="standard").apply(features)
    assert np.ptp(expected[:5]) > 50 * np.ptp(standard[:5])  # the outlier no longer squeezes the others


def test_a_feature_without_a_middle_half_is_softened_by_its_standard_deviation():
    features = np.array([[0.0]] * 9 + [[10.0]])
    softened = np.arcsinh(features / features.std())
    expected = (softened - softened.mean()) / softened.std()
    np.testing.assert_allclose(fit_scaler(features, components=1).apply(features), expected, atol=1e-12)


def test_spreads_give_the_directions_what_evening_took():
    features = np.random.default_rng(0).normal(size=(50, 3)) * [1, 5, 9]
    scaler = fit_scaler(features @ np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1.0]]), components=3, scaling="standard")
    rows = scaler.apply(features @ np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1.0]])) * scaler.spreads
    assert (rows**2).sum() == pytest.approx(50 * 3)  # three standardised features, only turned


def test_directions_are_uncorrelated_and_keep_half_of_their_spread():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(200, 6))
    projected = fit_scaler(features, components=6, scaling="standard").apply(features)
    standardised = (features - features.mean(0)) / features.std(0)
    eigenvalues = np.linalg.eigvalsh(standardised.T @ standardised / 200)[::-1]
    variances = np.sqrt(eigenvalues) / np.sqrt(eigenvalues).mean()
    np.testing.assert_allclose(projected.T @ projected / 200, np.diag(variances), atol=1e-8)


def test_more_features_than_rows_give_the_same_as_the_other_way_round_of_the_eigenproblem():
    rng = np.random.default_rng(0)
    tall = rng.normal(size=(30, 30))
    wide = np.hstack([tall, tall])  # the same directions, each feature twice
    np.testing.assert_allclose(
        fit_scaler(wide, components=8).apply(wide), fit_scaler(tall, components=8).apply(tall), atol=1e-8
    )


@pytest.mark.parametrize(("rows", "width", "kept"), [(50, 1280, 49), (500, 1280, 64), (50, 7, 7)])
def test_no_more_directions_are_kept_than_asked_for_or_there_are(rows, width, kept):
    features = np.random.default_rng(0).normal(size=(rows, width))
    assert fit_scaler(features, components=64).width == kept


def test_features_without_spread_become_zeros_and_never_anything_that_is_not_finite():
    features = np.column_stack([np.full(20, 0.1), np.full(20, np.nan), np.arange(20.0), np.arange(20.0)])
    scaler = fit_scaler(features, components=4)
    strange = scaler.apply(np.array([[5.0, 7.0, 9.5, 9.5]]))
    np.testing.assert_allclose(strange, np.zeros((1, 4)), atol=1e-9)
    assert np.isfinite(fit_scaler(np.ones((20, 3)), components=4).apply(np.ones((1, 3)))).all()
