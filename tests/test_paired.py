from __future__ import annotations

import pytest
from scipy.stats import wilcoxon

from vqa.errors import DegenerateDataError
from vqa.train.paired import compare_paired


def test_splits_won_and_the_p_value_of_wilcoxons_test():
    first, second = [0.8, 0.9, 0.7, 0.85, 0.6], [0.7, 0.85, 0.75, 0.83, 0.5]
    paired = compare_paired(first, second)
    assert (paired.better, paired.splits) == (4, 5)
    assert paired.median_difference == pytest.approx(0.05)
    assert paired.p_value == pytest.approx(wilcoxon(first, second).pvalue)


def test_equal_figures_have_a_p_value_of_1_and_none_better():
    paired = compare_paired([0.5, 0.6], [0.5, 0.6])
    assert (paired.better, paired.p_value) == (0, 1.0)


@pytest.mark.parametrize(("first", "second"), [([], []), ([0.5], [0.5, 0.6])])
def test_figures_of_other_splits_are_refused(first, second):
    with pytest.raises(DegenerateDataError, match="can't be paired"):
        compare_paired(first, second)
