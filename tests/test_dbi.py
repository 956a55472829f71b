from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import davies_bouldin_score

from vqa.errors import DegenerateDataError
from vqa.select.dbi import cluster_index


def test_two_clusters_of_spread_half_and_distance_four_have_index_a_quarter():
    space = np.array([[0.0], [1.0], [4.0], [5.0]])  # (0.5 + 0.5) / 4
    assert cluster_index(space, np.array([0, 0, 1, 1])) == 0.25


def test_each_cluster_counts_with_the_neighbour_it_is_hardest_to_tell_from():
    space = np.array([[0.0], [2.0], [9.0], [11.0], [99.0], [101.0]])  # spreads 1, centres 1, 10, 100
    index = cluster_index(space, np.array([0, 0, 1, 1, 2, 2]))
    assert index == pytest.approx((2 / 9 + 2 / 9 + 2 / 90) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_the_index_is_scikit_learns(seed):
    random = np.random.default_rng(seed)
    space, labels = random.normal(size=(200, 16)), random.choice([0, 2, 3, 7], 200)
    space += labels[:, None] * random.normal(size=16)
    assert cluster_index(space, labels) == pytest.approx(davies_bouldin_score(space, labels), rel=1e-9)


def test_of_three_clusters_two_may_share_a_centre_as_in_scikit_learn():
    space, labels = np.array([[-1.0], [1], [-2], [2], [8], [10]]), np.array([0, 0, 1, 1, 2, 2])
    assert cluster_index(space, labels) == pytest.approx(davies_bouldin_score(space, labels))


def test_clusters_with_one_common_centre_are_refused():
    with pytest.raises(DegenerateDataError, match="the same mean in every MOS cluster"):
        cluster_index(np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.array([0, 0, 1, 1]))


def test_a_single_cluster_is_refused():
    with pytest.raises(DegenerateDataError, match="one MOS cluster"):
        cluster_index(np.arange(8.0)[:, None], np.zeros(8, dtype=int))
