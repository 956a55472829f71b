"""Comparison of two methods on the same splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from vqa.errors import DegenerateDataError


@dataclass(frozen=True)
class Paired:
    """How one method fares against another, split by split."""

    better: int
    """Splits in which the first is above the second."""
    splits: int
    median_difference: float
    """Of first minus second."""
    p_value: float
    """Of Wilcoxon's signed-rank test, two-sided; 1 where all differences are 0. Splits share rows, so that differences
    are not independent: take it as a lower bound."""


def compare_paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Compare a figure of two methods on the same splits (Wilcoxon, Biometrics Bulletin 1945).

    Raises:
        DegenerateDataError: there is no split, or one has fewer than the other.
    """
    if len(first) != len(second) or not len(first):
        raise DegenerateDataError(
            f"{len(first)} and {len(second)} splits can't be paired; use the same splits for both"
        )
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return Paired(int((differences > 0).sum()), len(differences), float(np.median(differences)), p_value)
