"""The linear path: ridge regression in closed form, and what it says of rows that it has not seen.

Every backbone counts equally: its standardised features are divided by the root of their number. The penalty is the one
with the least error on contents left out, or on videos left out where contents are not known: cross-validation as in
Golub, Heath and Wahba (Technometrics 1979), the exact error and not its rotation-invariant form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from vqa.train.leaving_out import predict_left_out
from vqa.train.rowwise import Floats, multiply_rows
from vqa.train.scaling import fill_missing, standardising

_PENALTIES = np.logspace(-4, 4, 25)
"""Relative to the mean square of a row."""


@dataclass(frozen=True, eq=False)
class LinearPath:
    """A fitted ridge regression on features as they are."""

    medians: Floats
    """In place of missing cells; shape (sum of D,)."""
    lowest: Floats
    highest: Floats
    """Range of each feature in training, shape (sum of D,); a value beyond it is taken as its end, so that no feature
    of a strange video carries the score away."""
    coefficients: Floats
    """Shape (sum of D,)."""
    intercept: float

    def predict(self, features: NDArray[np.floating]) -> Floats:
        """Return standardised scores, shape (N,), of features (N, sum of D); what is not finite is missing."""
        filled = np.where(np.isfinite(features), features, self.medians)
        result: Floats = multiply_rows(np.clip(filled, self.lowest, self.highest), self.coefficients) + self.intercept
        return result


@dataclass(frozen=True, eq=False)
class Ridge:
    """A ridge regression on centred rows."""

    coefficients: Floats
    """Shape (D,)."""
    unseen: Floats
    """Prediction for each row by the others, or by those of other groups; shape (N,)."""


def fit_linear(
    features: NDArray[np.floating], targets: Floats, widths: Sequence[int], groups: Sequence[NDArray[np.intp]]
) -> tuple[LinearPath, Floats]:
    """Fit the linear path.

    Args:
        features: The backbones' features side by side, shape (N, sum of widths).
        targets: Standardised MOS, shape (N,).
        widths: D of each backbone.
        groups: Rows of each source content, as of `vqa.train.leaving_out.rows_by_group`.

    Returns:
        The path, and predictions for rows left out, shape (N,).
    """
    filled, medians = fill_missing(features)
    means, factors = standardising(filled)
    factors = factors / np.sqrt(np.repeat(widths, widths))
    ridge = fit_ridge((filled - means) * factors, targets - targets.mean(), groups)
    coefficients = ridge.coefficients * factors
    path = LinearPath(medians, filled.min(0), filled.max(0), coefficients, float(targets.mean() - means @ coefficients))
    return path, ridge.unseen + targets.mean()


def fit_ridge(rows: Floats, targets: Floats, groups: Sequence[NDArray[np.intp]]) -> Ridge:
    """Fit a ridge regression to centred rows (N, D) and targets (N,), with the penalty of least left-out error.

    The eigenproblem is solved on the smaller side, once for all penalties.
    """
    values, left, right = _spectrum(rows)
    turned = left.T @ targets
    best_error, best_penalty = np.inf, 1.0
    for penalty in _PENALTIES * max(values.sum() / len(rows), np.finfo(np.float64).tiny):
        kept = values / (values + penalty)
        error = float(np.mean((targets - _unseen(left, kept, targets, groups)) ** 2))
        if error < best_error:
            best_error, best_penalty = error, float(penalty)
    kept = values / (values + best_penalty)
    coefficients = right @ (np.sqrt(values) / (values + best_penalty) * turned)
    return Ridge(coefficients, _unseen(left, kept, targets, groups))


def _unseen(left: Floats, kept: Floats, targets: Floats, groups: Sequence[NDArray[np.intp]]) -> Floats:
    """Return what the fit without a group's rows would say of them."""
    residuals = targets - left @ (kept * (left.T @ targets))
    if len(groups) == len(targets):  # each row by itself: the blocks are numbers
        leverage = np.minimum((left**2) @ kept + 1 / len(targets), 1 - 1e-9)
        alone: Floats = targets - residuals / (1 - leverage)
        return alone

    def hat(members: NDArray[np.intp]) -> Floats:
        block: Floats = (left[members] * kept) @ left[members].T + 1 / len(targets)
        return block

    return predict_left_out(targets, residuals, groups, hat)


def _spectrum(rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Return squared singular values, and left and right singular vectors, of those that are not rounding."""
    count, width = rows.shape
    values, vectors = scipy.linalg.eigh(rows.T @ rows if width <= count else rows @ rows.T)
    alive = values > max(float(values[-1]), np.finfo(np.float64).tiny) * 1e-12
    values, vectors = values[alive], vectors[:, alive]
    other = (rows if width <= count else rows.T) @ vectors / np.sqrt(values)
    return (values, other, vectors) if width <= count else (values, vectors, other)
