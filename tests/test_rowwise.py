import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_limits

from vqa.train.fitting import TrainJob, fit_many
from vqa.train.methods import find_method
from vqa.train.rowwise import multiply_rows


@given(rows=st.integers(1, 70), width=st.integers(1, 300), columns=st.integers(1, 70), seed=st.integers(0, 2**32 - 1))
def test_a_row_s_product_is_the_same_alone_and_among_others(rows, width, columns, seed):
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(rows, width)), random.normal(size=(width, columns))
    together = multiply_rows(left, right)
    alone = np.concatenate([multiply_rows(left[row : row + 1].copy(), right) for row in range(rows)])
    assert_array_equal(together, alone)
    np.testing.assert_allclose(together, left @ right, rtol=1e-9, atol=1e-9)


def test_a_vector_gives_one_number_for_each_row():
    assert multiply_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 1.0])).tolist() == [12.0, 34.0]


@pytest.fixture(scope="module")
def fitted():
    """Three backbones of other widths on 80 rows, and the features of 50 new rows."""
    random = np.random.default_rng(1)
    quality = random.normal(size=130)
    widths = (40, 7, 130)
    blocks = [quality[:, None] * random.normal(size=width) + random.normal(size=(130, width)) for width in widths]
    features = np.concatenate(blocks, axis=1).astype(np.float32)
    features[100, :40] = np.nan  # one row lacks a backbone
    job = TrainJob(features[:80], quality[:80], None, widths, None, 0)
    regressor = fit_many([job], settings=find_method("blend", {"epochs": 3}).settings)[0]
    return regressor, features[80:]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_score_and_its_interval_are_the_same_bits_in_any_company(fitted, threads):
    regressor, features = fitted
    with threadpool_limits(threads):
        together = regressor.predict_intervals(features)
        alone = [regressor.predict_intervals(features[row : row + 1].copy()) for row in range(50)]
        turned = regressor.predict_intervals(features[::-1])
    for field in ("scores", "low", "high"):
        one = np.concatenate([getattr(each, field) for each in alone])
        assert_array_equal(getattr(together, field), one)
        assert_array_equal(getattr(turned, field)[::-1], one)
