"""Features -> network input: imputation, standardisation and principal directions, learned on training rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EVENNESS = 0.5
"""Ours, measured: 0 leaves the principal directions their spread, 1 gives all the same; half-way was best."""


@dataclass(frozen=True, eq=False)
class BlockScaler:
    """How one backbone's features become network input.

        (features, missing ones replaced by medians, - means) * factors @ directions

    This is linear, as is the network's first layer behind it. It makes all blocks equally narrow, so that they train as
    one batch, and keeps a wide block on few videos from being learned by heart. Ours, not the paper's.
    """

    medians: Floats
    """Shape (D,)."""
    means: Floats
    """Shape (D,)."""
    factors: Floats
    """1 / standard deviation, 0 for a feature that never changes; shape (D,)."""
    directions: Floats
    """Shape (D, P); what comes out has a mean square of 1 over training rows and directions."""

    @property
    def width(self) -> int:
        """P, the number of principal directions."""
        return int(self.directions.shape[1])

    def apply(self, features: NDArray[np.floating]) -> Floats:
        """Return network input of shape (N, P) for features of shape (N, D); what is not finite is missing."""
        filled = np.where(np.isfinite(features), features, self.medians)
        result: Floats = (filled - self.means) * self.factors @ self.directions
        return result


def fit_scaler(features: NDArray[np.floating], *, components: int) -> BlockScaler:
    """Learn a block's scaling from training rows.

    Args:
        features: Shape (N, D), N of 2 or more; what is not finite is missing.
        components: Most principal directions to keep; no more than D and N - 1 are kept.
    """
    known = np.where(np.isfinite(features), features, np.nan).astype(np.float64)
    medians = np.zeros(known.shape[1])
    seen = ~np.isnan(known).all(0)
    medians[seen] = np.nanmedian(known[:, seen], axis=0)
    filled = np.where(np.isnan(known), medians, known)
    means, deviations = filled.mean(0), filled.std(0)
    # A spread below the rounding of the mean is a constant's.
    alive = deviations > 1e-10 * np.maximum(1.0, np.abs(means))
    factors = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=alive)
    directions = _principal_directions((filled - means) * factors, components)
    return BlockScaler(medians, means, factors, directions)


def _principal_directions(standardised: Floats, components: int) -> Floats:
    """Return the leading principal directions, shape (D, P), signs fixed, spreads evened out by half.

    The eigenproblem is solved on the smaller side: features x features, or rows x rows.
    """
    rows, width = standardised.shape
    keep = max(1, min(components, width, rows - 1))
    if width <= rows:
        vectors = _leading_vectors(standardised.T @ standardised, keep)
    else:
        vectors = standardised.T @ _leading_vectors(standardised @ standardised.T, keep)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(np.float64).tiny)
    largest = vectors[np.abs(vectors).argmax(0), np.arange(keep)]
    spreads = (standardised @ vectors).std(0)
    # A direction without spread is rounding: it would be blown up, so it is left out as a zero.
    alive = spreads > 1e-6 * max(spreads.max(), 1e-6)
    evened = np.divide(np.sign(largest), spreads**_EVENNESS, out=np.zeros_like(spreads), where=alive)
    size = np.sqrt(np.mean((spreads * evened) ** 2))
    result: Floats = vectors * (evened / (size or 1.0))
    return result


def _leading_vectors(symmetric: Floats, count: int) -> Floats:
    """Return the eigenvectors of the largest eigenvalues, largest first, shape (n, count)."""
    size = len(symmetric)
    _, vectors = scipy.linalg.eigh(symmetric, subset_by_index=(size - count, size - 1))
    return np.asarray(vectors[:, ::-1], dtype=np.float64)
