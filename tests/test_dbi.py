from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError
from vqa.select.dbi import cluster_index, davies_bouldin, to_common_width


def test_two_clusters_of_spread_half_and_distance_four_have_index_a_quarter():
    space = np.array([[0.0], [1.0], [4.0], [5.0]])  # (0.5 + 0.5) / 4
    assert cluster_index(space, np.array([0, 0, 1, 1])) == 0.25


def test_scale_of_a_feature_does_not_matter_since_features_are_standardised():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 5)), np.repeat([0, 1, 2], 20)
    index = davies_bouldin(features, labels)
    assert davies_bouldin(features * [1, 10, 100, 1000, 0.01] + 7, labels) == pytest.approx(index, rel=1e-9)


def test_features_wider_than_the_common_width_keep_their_leading_principal_directions():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(80, 3)) * [5, 3, 1]
    features = np.concatenate([source, source @ rng.normal(size=(3, 37))], axis=1)  # 40 columns of rank 3
    assert to_common_width(features, common_width=16).shape == (80, 16)
    exact = to_common_width(features, common_width=3)
    standardised = (features - features.mean(0)) / features.std(0)
    distances = np.linalg.norm(exact[:, None] - exact[None], axis=-1)
    wanted = np.linalg.norm(standardised[:, None] - standardised[None], axis=-1)
    np.testing.assert_allclose(distances, wanted, atol=1e-9)


def test_features_as_narrow_as_the_common_width_or_narrower_stay_as_they_are():
    assert to_common_width(np.array([[1.0, 5], [3, 9]]), common_width=2).tolist() == [[-1, -1], [1, 1]]


def test_more_features_than_videos_are_brought_to_one_less_than_the_videos():
    assert to_common_width(np.random.default_rng(0).normal(size=(10, 300))).shape == (10, 9)


def test_columns_that_never_change_make_no_difference():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(40, 4)), np.repeat([0, 1], 20)
    dead = np.full((40, 3), 0.1)
    assert davies_bouldin(np.hstack([features, dead]), labels) == davies_bouldin(features, labels)


def test_constant_features_are_refused_though_scikit_learn_gives_them_its_best_value():
    with pytest.raises(DegenerateDataError, match="features are the same for all 20 videos"):
        davies_bouldin(np.full((20, 8), 0.3), np.repeat([0, 1], 10))


def test_features_that_are_not_finite_are_refused_with_their_number():
    features = np.ones((20, 2))
    features[3, 1] = np.nan
    features[5, 0] = np.inf
    with pytest.raises(DegenerateDataError, match="2 of 40 feature values are not finite"):
        davies_bouldin(features, np.repeat([0, 1], 10))


def test_clusters_with_one_common_centre_are_refused():
    with pytest.raises(DegenerateDataError, match="the same mean in every MOS cluster"):
        davies_bouldin(np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.array([0, 0, 1, 1]))


def test_a_single_cluster_is_refused():
    with pytest.raises(DegenerateDataError, match="one MOS cluster"):
        davies_bouldin(np.arange(8.0)[:, None], np.zeros(8, dtype=int))
