from __future__ import annotations

import pytest

from vqa.errors import DegenerateDataError
from vqa.train.weights import dbi_weights


def test_inverse_weights_fall_with_the_index_and_sum_to_one():
    assert dbi_weights([1.0, 2.0, 4.0]) == pytest.approx((4 / 7, 2 / 7, 1 / 7))


def test_softmax_weights_of_indices_one_apart_differ_by_e():
    first, second = dbi_weights([1000.0, 1001.0], "softmax")
    assert first / second == pytest.approx(2.718281828)
    assert first + second == pytest.approx(1)


def test_uniform_weights_are_equal():
    assert dbi_weights([1.0, 9.0, 3.0, 5.0], "uniform") == (0.25, 0.25, 0.25, 0.25)


def test_an_index_of_zero_takes_nearly_all_weight_and_stays_finite():
    assert dbi_weights([0.0, 2.0]) == pytest.approx((1, 5e-7), abs=1e-6)


@pytest.mark.parametrize(("dbis", "rule"), [([], "inverse"), ([1, float("nan")], "inverse"), ([-1], "uniform")])
def test_indices_that_give_no_weights_are_refused(dbis, rule):
    with pytest.raises(DegenerateDataError, match="need a DBI of 0 or more"):
        dbi_weights(dbis, rule)


def test_an_unknown_rule_is_refused_with_those_there_are():
    with pytest.raises(DegenerateDataError, match="use one of: inverse, softmax, uniform"):
        dbi_weights([1.0], "square")
