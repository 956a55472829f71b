from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from vqa.select.redundancy import cka_matrix, linear_cka

RANDOM = np.random.default_rng(0)
ONE, OTHER = RANDOM.normal(size=(50, 4)), RANDOM.normal(size=(50, 7))


def by_kernels(one, other):
    """Kornblith et al., equation 3 with HSIC of centred linear kernels, equation 2."""
    centre = np.eye(len(one)) - 1 / len(one)

    def hsic(a, b):
        return np.trace(centre @ a @ a.T @ centre @ b @ b.T)

    return hsic(one, other) / np.sqrt(hsic(one, one) * hsic(other, other))


def test_cka_by_features_is_cka_by_kernels():
    assert linear_cka(ONE, OTHER) == pytest.approx(by_kernels(ONE, OTHER), abs=1e-6)


def test_features_turned_scaled_and_moved_say_the_same():
    assert linear_cka(ONE, 3 * ONE @ ortho_group.rvs(4, random_state=0) + 5) == pytest.approx(1, abs=1e-6)


def test_features_that_share_no_direction_have_nothing_in_common():
    one, other = np.array([[1.0], [-1], [1], [-1]]), np.array([[1.0], [1], [-1], [-1]])
    assert linear_cka(one, other) == 0


def test_the_matrix_has_each_pair_and_ones_on_its_diagonal():
    matrix = cka_matrix([ONE, OTHER, ONE[:, :2]])
    np.testing.assert_allclose(np.diag(matrix), 1)
    assert np.array_equal(matrix, matrix.T)
    assert matrix[2, 0] == pytest.approx(by_kernels(ONE[:, :2], ONE), abs=1e-6)
