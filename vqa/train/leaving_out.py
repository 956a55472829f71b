"""What a linear smoother says of rows that it has not seen, without fitting it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vqa.train.rowwise import Floats


def rows_by_group(groups: Sequence[str] | None, rows: int) -> list[NDArray[np.intp]]:
    """Return the rows of each group, each row by itself where groups are not known."""
    if groups is None:
        return [np.array([row]) for row in range(rows)]
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    return [np.flatnonzero(inverse == group) for group in range(int(inverse.max()) + 1)]


def predict_left_out(
    targets: Floats,
    residuals: Floats,
    groups: Sequence[NDArray[np.intp]],
    hat: Callable[[NDArray[np.intp]], Floats],
) -> Floats:
    """Return what a fit without a group's rows would say of them: y - (I - H)^-1 (y - H y), block by block.

    Exact for a smoother y_hat = H y whose penalty stays as it is (Cook and Weisberg, Residuals and Influence in
    Regression, 1982, section 4.2).

    Args:
        targets: y, shape (N,).
        residuals: y - H y, shape (N,).
        groups: Rows of each group, as of `rows_by_group`.
        hat: Gives the block of H of some rows.
    """
    unseen = np.empty_like(targets)
    for members in groups:
        block = np.eye(len(members)) * (1 + 1e-9) - hat(members)
        unseen[members] = targets[members] - np.linalg.solve(block, residuals[members])
    return unseen
