"""A candidate's features as all criteria see them: filled, standardised, in their leading principal directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError

COMMON_WIDTH = 16
"""Ours: indices of clusters are not comparable between widths, so all candidates are brought to this one."""
KEPT_WIDTH = 64
"""Ours: criteria that use the MOS as a number see at most this many directions."""
_CHUNK_ROWS = 512


@dataclass(frozen=True, eq=False)
class Prepared:
    """One candidate's features, ready to be measured."""

    name: str
    width: int
    """D, the number of its features."""
    common_width: int
    """Leading columns of `space` that cluster indices see."""
    space: NDArray[np.float32]
    """Standardised features in their principal directions, the largest variance first, shape (N, P)."""

    @property
    def common(self) -> NDArray[np.float32]:
        """The space of equal width that cluster indices are measured in, shape (N, common_width)."""
        return self.space[:, : self.common_width]

    def take(self, rows: NDArray[np.intp]) -> Prepared:
        """Return the same for the given rows; nothing is fitted anew."""
        return Prepared(self.name, self.width, self.common_width, self.space[rows])


def prepare_candidate(name: str, block: NDArray[np.floating], *, common_width: int = COMMON_WIDTH) -> Prepared:
    """Fill what is missing, standardise over the rows, and turn to the leading principal directions.

    Turning changes no distance, so features of common_width columns or fewer are as they were for every criterion.

    Args:
        name: The candidate's text form.
        block: Features, shape (N, D); NaN and infinity mark missing cells.
        common_width: Columns that cluster indices see.

    Raises:
        DegenerateDataError: half the cells or more are missing, or no column changes.
    """
    space = leading_directions(standardise(fill_missing(block)), max(KEPT_WIDTH, common_width))
    return Prepared(name, block.shape[1], min(common_width, space.shape[1]), space)


def fill_missing(block: NDArray[np.floating]) -> NDArray[np.floating]:
    """Put each column's median over the rows into its missing cells; a column without any value becomes zero.

    Raises:
        DegenerateDataError: half the cells or more are missing.
    """
    known = np.isfinite(block)
    missing = int(known.size - np.count_nonzero(known))
    if not missing:
        return block
    if 2 * missing >= known.size:
        raise DegenerateDataError(f"{missing} of {known.size} feature values are missing; half or more is too many")
    filled = block.copy()
    for column in np.flatnonzero(~known.all(0)):
        present = known[:, column]
        filled[~present, column] = np.median(block[present, column]) if present.any() else 0
    return filled


def standardise(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the columns that change, each with mean 0 and deviation 1 over the rows.

    Args:
        values: Finite features, shape (N, D).

    Raises:
        DegenerateDataError: no column changes; scikit-learn's Davies-Bouldin index is 0.0 then, its best value.
    """
    means: NDArray[np.float64] = values.mean(0, dtype=np.float64)
    centred = np.empty(values.shape, dtype=np.float32)
    squares = np.zeros(values.shape[1])
    for start in range(0, len(values), _CHUNK_ROWS):  # in parts: no float64 copy of the whole is made
        part = centred[start : start + _CHUNK_ROWS]
        np.subtract(values[start : start + _CHUNK_ROWS], means, out=part, dtype=np.float64, casting="same_kind")
        squares += np.square(part, dtype=np.float64).sum(0)
    deviations = np.sqrt(squares / len(values))
    # A spread below the rounding of the mean is a constant's.
    alive = deviations > 1e-10 * np.maximum(1.0, np.abs(means))
    if not alive.any():
        raise DegenerateDataError(f"features are the same for all {len(values)} videos")
    centred /= np.where(alive, deviations, 1).astype(np.float32)
    return centred if alive.all() else centred[:, alive]


def leading_directions(standardised: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return the coordinates along the leading principal directions.

    The exact solver, of whichever of the two product matrices is smaller, so that the same rows give the same numbers.

    Args:
        standardised: Columns of mean 0, shape (N, D).
        width: Most directions.

    Returns:
        Shape (N, P), P the smallest of `width`, D and N - 1.
    """
    rows, columns = standardised.shape
    kept = max(1, min(width, columns, rows - 1))
    if columns <= rows:
        _, directions = _largest(standardised.T @ standardised, kept)
        return standardised @ directions.astype(np.float32)
    sizes, coordinates = _largest(standardised @ standardised.T, kept)
    return (coordinates * np.sqrt(np.maximum(sizes, 0))).astype(np.float32)


def _largest(product: NDArray[np.float32], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues of a symmetric matrix, and their vectors as columns, the largest first."""
    last = len(product) - 1
    sizes, vectors = scipy.linalg.eigh(
        product.astype(np.float64), subset_by_index=(last + 1 - count, last), overwrite_a=True, check_finite=False
    )
    return sizes[::-1], vectors[:, ::-1]
