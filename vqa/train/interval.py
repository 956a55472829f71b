"""Prediction intervals: how far off the regressor was on rows that its parts had not seen.

Split-conformal prediction (Lei et al., JASA 2018, section 5.2, residuals divided by a local scale), with the rows that
each restart held out and the exact left-out predictions of the closed-form paths. The local scale grows where the paths
disagree. Where contents repeat, residuals are of whole contents left out, each content weighs the same, and the
correction for their number counts contents as far as their residuals go together: by rows where they do not, by
contents where they are equal. The latter is hierarchical conformal prediction (Lee, Barber and Willett,
Distribution-free inference with hierarchical data, arXiv 2306.06342), which holds for any data but, with a dozen
contents, gives up to 95 % where 90 % were asked; what lies between is ours. Only videos of the
same kind are exchangeable with those rows, so the coverage holds for such; `vqa evaluate` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from vqa.errors import DegenerateDataError
from vqa.train.rowwise import Floats

FEWEST_RESIDUALS = 10
FEWEST_CONTENTS = 8
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


def fit_interval(residuals: Floats, disagreement: Floats, contents: NDArray[np.intp]) -> IntervalScale | None:
    """Learn the scale of intervals from residuals on unseen rows.

    Args:
        residuals: MOS minus prediction, standardised, shape (N,).
        disagreement: Shape (N,).
        contents: Number of each row's source content, shape (N,); a number of its own where it is not known.

    Returns:
        The scale, or None of fewer than 10 residuals or 8 contents.
    """
    _, own, rows = np.unique(contents, return_inverse=True, return_counts=True)
    if len(residuals) < FEWEST_RESIDUALS or len(rows) < FEWEST_CONTENTS:
        return None
    typical = float(np.sqrt(np.mean(residuals**2)))
    scaled = residuals / np.maximum(np.hypot(typical, disagreement), 1e-12)
    order = np.argsort(np.abs(scaled), kind="stable")
    # Each content weighs 1, each of its rows as much as the others. The new row weighs what a content adds to the
    # variance of their mean (the design effect of Kish, Survey Sampling, 1965): 1 with a row a content, so that the
    # ceil((N + 1) coverage)-th smallest is taken. Beyond the largest one the largest is taken.
    likeness = limit_correlation(scaled, own)
    new = float(np.mean(likeness + (1 - likeness) / rows))
    reached = np.cumsum(1 / rows[own[order]]).round(9)
    places = np.searchsorted(reached, (len(rows) + new) * _QUANTILES)
    return IntervalScale(typical, np.abs(scaled)[order[np.minimum(places, len(order) - 1)]])


def limit_correlation(values: Floats, contents: NDArray[np.intp]) -> float:
    """Return the most that values of one content may go together: the upper 95 % limit of their intraclass correlation.

    By the F distribution of one-way analysis of variance (Searle, Casella and McCulloch, Variance Components, 1992).
    The limit and not the estimate, since of a dozen contents the estimate is often far too low.

    Args:
        values: Shape (N,).
        contents: Content of each value, 0 to K - 1, shape (N,).

    Returns:
        0 to 1; 1 where no content has two rows or all rows are of one, for nothing is known then.
    """
    rows = np.bincount(contents)
    count, groups = len(values), len(rows)
    if groups in (1, count):
        return 1.0
    means = np.bincount(contents, values) / rows
    between = float(rows @ (means - values.mean()) ** 2) / (groups - 1)
    within = float(np.sum((values - means[contents]) ** 2)) / (count - groups)
    if within <= np.finfo(np.float64).eps * between:
        return 1.0
    size = (count - float(rows @ rows) / count) / (groups - 1)
    ratio = between / within / float(fdtri(groups - 1, count - groups, 0.05))
    return max((ratio - 1) / (ratio + size - 1), 0.0)
