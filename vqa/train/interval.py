"""Prediction intervals: how far off the regressor was on rows that its parts had not seen.

Split-conformal prediction (Lei et al., JASA 2018, section 5.2, residuals divided by a local scale), with the rows that
each restart held out and the exact left-out predictions of the closed-form paths. The local scale grows where the paths
disagree. Only videos of the same kind are exchangeable with those rows, so the coverage holds for such; `vqa evaluate`
measures it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqa.errors import DegenerateDataError
from vqa.train.rowwise import Floats

FEWEST_RESIDUALS = 10
_QUANTILES = np.linspace(0, 1, 201)


@dataclass(frozen=True, eq=False)
class IntervalScale:
    """What turns a prediction and its parts' disagreement into an interval; all in standardised scores."""

    typical: float
    """Root mean square of the residuals."""
    quantiles: Floats
    """Quantiles 0, .005, ..., 1 of |residual| / local scale, shape (201,); corrected for the number of residuals."""

    def half_width(self, disagreement: Floats, coverage: float) -> Floats:
        """Return half the interval's length for each prediction.

        Args:
            disagreement: As of `disagree`, shape (N,).
            coverage: As of `factor`, as are the errors.
        """
        result: Floats = self.factor(coverage) * np.hypot(self.typical, disagreement)
        return result

    def factor(self, coverage: float) -> float:
        """Return half the interval's length in local scales.

        Args:
            coverage: Share of new videos whose MOS should lie inside, above 0 and below 1.

        Raises:
            DegenerateDataError: no such share.
        """
        if not 0 < coverage < 1:
            raise DegenerateDataError(f"an interval of coverage {coverage:g} can't be made; use one between 0 and 1")
        return float(np.interp(coverage, _QUANTILES, self.quantiles))


def disagree(parts: Sequence[Floats]) -> Floats:
    """Return the standard deviation of the parts' predictions for each row, shape (N,); 0 for a single part."""
    result: Floats = np.std(np.stack(parts), axis=0)
    return result


def fit_interval(residuals: Floats, disagreement: Floats) -> IntervalScale | None:
    """Learn the scale of intervals from residuals on unseen rows.

    Args:
        residuals: MOS minus prediction, standardised, shape (N,).
        disagreement: Shape (N,).

    Returns:
        The scale, or None of fewer than 10 residuals.
    """
    count = len(residuals)
    if count < FEWEST_RESIDUALS:
        return None
    typical = float(np.sqrt(np.mean(residuals**2)))
    ordered = np.sort(np.abs(residuals) / np.maximum(np.hypot(typical, disagreement), 1e-12))
    # The ceil((n + 1) coverage)-th smallest; beyond the largest one the largest is taken.
    ranks = [min(max(math.ceil((count + 1) * share), 1), count) - 1 for share in _QUANTILES]
    return IntervalScale(typical, ordered[ranks])
