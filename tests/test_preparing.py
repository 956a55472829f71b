from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from vqa.errors import DegenerateDataError
from vqa.select.preparing import fill_missing, leading_directions, prepare_candidate, standardise


def noise(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def distances(space):
    return np.linalg.norm(space[:, None].astype(float) - space[None], axis=-1)


def test_columns_get_mean_nought_and_deviation_one_whatever_their_scale():
    wanted = StandardScaler().fit_transform(noise(60, 5).astype(float))
    np.testing.assert_allclose(standardise(noise(60, 5) * [1, 10, 100, 1000, 0.01] + 7), wanted, atol=2e-5)


def test_many_rows_are_standardised_in_parts_to_the_same_numbers():
    features = noise(9000, 2) + 100
    np.testing.assert_allclose(standardise(features), StandardScaler().fit_transform(features.astype(float)), atol=1e-5)


def test_very_large_features_are_standardised_too():
    np.testing.assert_allclose(standardise(noise(60, 5) * np.float32(1e25)), standardise(noise(60, 5)), atol=2e-5)


def test_columns_that_never_change_make_no_difference():
    features = noise(40, 4)
    with_dead = np.hstack([features, np.full((40, 3), 0.1, dtype=np.float32)])
    assert np.array_equal(prepare_candidate("a", with_dead).space, prepare_candidate("a", features).space)


def test_constant_features_are_refused_though_scikit_learn_gives_them_its_best_index():
    with pytest.raises(DegenerateDataError, match="features are the same for all 20 videos"):
        standardise(np.full((20, 8), 0.3, dtype=np.float32))


@pytest.mark.parametrize("columns", [20, 90])  # fewer than the rows, and more
def test_leading_directions_are_those_of_an_exact_pca(columns):
    features = standardise(noise(50, columns) @ np.diag(np.linspace(3, 1, columns)).astype(np.float32))
    wanted = PCA(16, svd_solver="full").fit_transform(features.astype(float))
    np.testing.assert_allclose(np.abs(leading_directions(features, 16)), np.abs(wanted), atol=1e-3)


def test_a_turn_to_principal_directions_changes_no_distance():
    features = standardise(noise(30, 3))
    np.testing.assert_allclose(distances(leading_directions(features, 16)), distances(features), atol=1e-4)


def test_cluster_indices_see_sixteen_columns_and_the_other_criteria_sixty_four():
    prepared = prepare_candidate("a", noise(200, 100))
    assert (prepared.width, prepared.space.shape, prepared.common.shape) == (100, (200, 64), (200, 16))


def test_a_narrow_candidate_keeps_its_width():
    prepared = prepare_candidate("a", noise(200, 3))
    assert (prepared.common_width, prepared.space.shape) == (3, (200, 3))


def test_more_features_than_videos_are_brought_to_one_less_than_the_videos():
    assert prepare_candidate("a", noise(10, 300)).space.shape == (10, 9)


def test_missing_and_infinite_cells_get_the_median_of_their_column_and_the_table_stays_as_it_was():
    features = np.array([[1, 5], [2, np.nan], [9, 7], [np.inf, 9]], dtype=np.float32)
    assert fill_missing(features).tolist() == [[1, 5], [2, 7], [9, 7], [2, 9]]
    assert np.isnan(features[1, 1])


def test_a_column_without_any_value_is_dropped():
    features = np.hstack([noise(20, 3), np.full((20, 1), np.nan, dtype=np.float32)])
    assert np.array_equal(prepare_candidate("a", features).space, prepare_candidate("a", features[:, :3]).space)


@pytest.mark.parametrize(("absent", "refused"), [(9, False), (10, True)])
def test_a_candidate_that_is_missing_for_half_the_rows_is_refused(absent, refused):
    features = noise(20, 4)
    features[:absent] = np.nan
    if refused:
        with pytest.raises(DegenerateDataError, match="40 of 80 feature values are missing; half or more is too many"):
            prepare_candidate("a", features)
    else:
        assert np.isfinite(prepare_candidate("a", features).space).all()
