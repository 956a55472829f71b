"""How much two candidates say the same: linear CKA.

S. Kornblith, M. Norouzi, H. Lee and G. Hinton, "Similarity of neural network representations revisited", ICML 2019,
section 3: |X'Y|^2 / (|X'X| |Y'Y|), Frobenius norms, columns centred.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def linear_cka(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the similarity of two feature sets of the same videos.

    Args:
        one: Shape (N, P).
        other: Shape (N, Q).

    Returns:
        0 for sets that share nothing to 1 for sets that are the same up to a turn and a scale.
    """
    return float(cka_matrix([one, other])[0, 1])


def cka_matrix(spaces: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Return the linear CKA of each two of K feature sets of the same videos, shape (K, K)."""
    centred = [(space - space.mean(0)).astype(np.float32) for space in spaces]
    overlaps = np.empty((len(spaces), len(spaces)))
    for row, one in enumerate(centred):
        for column, other in enumerate(centred[: row + 1]):
            overlaps[row, column] = overlaps[column, row] = np.square(one.T @ other, dtype=np.float64).sum()
    lengths = np.sqrt(np.diag(overlaps))
    return np.asarray(overlaps / np.outer(lengths, lengths))
