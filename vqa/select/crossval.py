"""How well held-out scores are predicted from a candidate's features: ridge regression and nearest neighbours.

Rows are cut into folds once, whole contents into one fold where contents are known; each fold is predicted from the
others. The figure is the SROCC of all predictions together, since a fold of a few rows has none worth averaging.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold, KFold

from vqa.errors import DegenerateDataError

FOLDS = 5
NEIGHBOURS = 10
PENALTIES = tuple(float(10.0**power) for power in range(-5, 1))
"""Of the ridge regression, for each row and as a share of the features' total variance."""


def cut_folds(groups: Sequence[str] | None, rows: int, *, random_state: int) -> NDArray[np.intp]:
    """Return the fold of each row, shape (N,); as many folds as there are contents where those are fewer than five.

    Raises:
        DegenerateDataError: there is one content only.
    """
    contents = rows if groups is None else len(set(groups))
    if contents < 2:
        raise DegenerateDataError("all videos show one content, so none can be held out; add videos of another content")
    kind = KFold if groups is None else GroupKFold
    cutter = kind(min(FOLDS, contents), shuffle=True, random_state=random_state)
    folds = np.empty(rows, dtype=np.intp)
    for fold, (_, held_out) in enumerate(cutter.split(np.zeros(rows), groups=groups)):
        folds[held_out] = fold
    return folds


def srocc(predicted: NDArray[np.floating], mos: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation, -1 to 1, larger is better.

    Raises:
        DegenerateDataError: all predictions, or all scores, are equal.
    """
    ranks = np.stack([rankdata(predicted), rankdata(mos)])
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.sqrt(np.square(ranks).sum(1))
    if not lengths.all():
        raise DegenerateDataError("all predictions, or all scores, are equal; there is no rank correlation")
    return float(ranks[0] @ ranks[1] / lengths.prod())


def fold_moments(space: NDArray[np.floating], mos: NDArray[np.float64], folds: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return A'A of each fold, A being the features, a column of the scores, and a column of ones.

    Returns:
        Shape (F, P + 2, P + 2); the sum over some folds is the same of their rows together.
    """
    scores = (mos - mos.mean()) / mos.std()
    joined = np.column_stack([space, scores, np.ones(len(mos))]).astype(np.float64)
    return np.stack([part.T @ part for part in (joined[folds == fold] for fold in range(folds.max() + 1))])


def ridge_predictions(
    space: NDArray[np.floating], folds: NDArray[np.intp], moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Predict each fold by ridge regression on the others, scores in deviations from the mean.

    The penalty is the one of `PENALTIES` whose held-out squared error over all folds is smallest.

    Args:
        space: Points, shape (N, P).
        folds: Shape (N,).
        moments: What `fold_moments` gives for these points.

    Returns:
        Shape (N,).
    """
    weights, offsets = _ridge(moments.sum(0) - moments)
    predicted = np.empty((len(space), len(PENALTIES)))
    for fold, (slopes, offset) in enumerate(zip(weights, offsets, strict=True)):
        rows = folds == fold
        predicted[rows] = space[rows] @ slopes + offset
    return predicted[:, _best_penalty(weights, offsets, moments)]


def _ridge(training: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve each training part for all penalties.

    Args:
        training: Moments of each training part, shape (F, P + 2, P + 2).

    Returns:
        Slopes, shape (F, P, number of penalties), and offsets, shape (F, number of penalties).
    """
    rows = training[:, -1, -1]
    means = training[:, :-1, -1] / rows[:, None]
    centred = training[:, :-1, :-1] / rows[:, None, None] - means[:, :, None] * means[:, None, :]
    products, answers = centred[:, None, :-1, :-1], centred[:, None, :-1, -1:]
    width = products.shape[-1]
    total = np.trace(products, axis1=2, axis2=3)
    penalties = np.asarray(PENALTIES) * np.maximum(total, np.finfo(float).tiny)
    slopes = np.linalg.solve(products + penalties[:, :, None, None] * np.eye(width), answers)[..., 0].swapaxes(1, 2)
    offsets = means[:, -1:] - np.einsum("fp,fpa->fa", means[:, :-1], slopes)
    return slopes, offsets


def _best_penalty(slopes: NDArray[np.float64], offsets: NDArray[np.float64], moments: NDArray[np.float64]) -> int:
    """Return the penalty of the smallest held-out squared error, which follows from the moments alone."""
    folds, _, count = slopes.shape
    line = np.concatenate([slopes, np.full((folds, 1, count), -1.0), offsets[:, None, :]], axis=1)
    errors = np.einsum("fpa,fpq,fqa->a", line, moments, line, optimize=True)
    return int(np.argmin(errors))


def neighbour_predictions(
    space: NDArray[np.floating], mos: NDArray[np.float64], folds: NDArray[np.intp], *, neighbours: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """Predict each row by the mean score of its nearest rows of other folds.

    Args:
        space: Points, shape (N, P).
        mos: Shape (N,).
        folds: Shape (N,).
        neighbours: How many; all other folds' rows where they are fewer.

    Returns:
        Shape (N,).
    """
    predicted = np.empty(len(mos))
    squares = np.square(space).sum(1)
    for fold in range(folds.max() + 1):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        distances = squares[others] - 2 * (space[rows] @ space[others].T)
        count = min(neighbours, len(others))
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        predicted[rows] = mos[others[nearest]].mean(1)
    return predicted
