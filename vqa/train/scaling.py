"""Features -> network input: imputation, softening, standardisation, principal directions, from training rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from vqa.train.rowwise import Floats, multiply_rows

SCALINGS = ("soft", "standard")
"""`soft` bends long tails by arcsinh before standardising, `standard` does not."""

_EVENNESS = 0.5
"""Ours, measured: 0 leaves the principal directions their spread, 1 gives all the same; half-way was best."""
_QUARTILES_OF_NORMAL = 1.35
"""Distance of the quartiles of a normal distribution, in standard deviations."""
_FARTHEST = 1000.0
"""From the median, in spreads of the middle half: what lies beyond is no value but a failed computation. Of published
features those of 1e27 do, and no other; one of them in a column would leave all else without spread."""
_CLIPPED_AT = 10.0
"""Standard deviations."""


@dataclass(frozen=True, eq=False)
class BlockScaler:
    """How one backbone's features become network input.

        x = features, missing ones replaced by medians
        (arcsinh((x - medians) * softness) - means) * factors @ directions

    Where softness is 0, x itself takes the place of the arcsinh. The rest is linear, as is the network's first layer
    behind it. It makes all blocks equally narrow, so that they train as one batch, and keeps a wide block on few videos
    from being learned by heart. Ours, not the paper's.
    """

    medians: Floats
    """Shape (D,)."""
    softness: Floats
    """1.35 / distance of the quartiles, so that the middle of a feature's values stays as it is and its tails bend;
    shape (D,)."""
    means: Floats
    """Shape (D,)."""
    factors: Floats
    """1 / standard deviation, 0 for a feature that never changes; shape (D,)."""
    directions: Floats
    """Shape (D, P); what comes out has a mean square of 1 over training rows and directions."""
    spreads: Floats
    """What gives the directions their own spread again, for the kernel path; shape (P,)."""

    @property
    def width(self) -> int:
        """P, the number of principal directions."""
        return int(self.directions.shape[1])

    def apply(self, features: NDArray[np.floating]) -> Floats:
        """Return network input of shape (N, P) for features of shape (N, D); what is not finite is missing."""
        filled = np.where(np.isfinite(features), features, self.medians)
        standardised = (_soften(filled, self.medians, self.softness) - self.means) * self.factors
        return multiply_rows(standardised, self.directions)


def fit_scaler(features: NDArray[np.floating], *, components: int, scaling: str = "soft") -> BlockScaler:
    """Learn a block's scaling from training rows.

    Args:
        features: Shape (N, D), N of 2 or more; what is not finite is missing.
        components: Most principal directions to keep; no more than D and N - 1 are kept.
        scaling: One of `SCALINGS`.
    """
    filled, medians = fill_missing(features)
    softness = _softness(filled) if scaling == "soft" else np.zeros_like(medians)
    softened = _soften(filled, medians, softness)
    means, factors = standardising(softened)
    directions, spreads = _principal_directions((softened - means) * factors, components)
    return BlockScaler(medians, softness, means, factors, directions, spreads)


@dataclass(frozen=True, eq=False)
class Standardiser:
    """How features become a baseline's input: imputed, standardised, and clipped at 10 standard deviations.

    Training rows are never clipped, for that cost a ridge .003 SROCC on LIVE-VQC: what is far out among them was seen
    by the fit. A row that it has not seen must not carry the score away.
    """

    medians: Floats
    """Shape (D,), as all."""
    farthest: Floats
    """Distance from the median beyond which a cell counts as missing."""
    means: Floats
    factors: Floats
    """1 / standard deviation, 0 for a feature that never changes."""

    def apply(self, features: NDArray[np.floating]) -> Floats:
        """Return rows that were not seen, shape (N, D), as the training rows are."""
        with np.errstate(invalid="ignore"):
            known = np.abs(features - self.medians) <= self.farthest  # nothing that is not finite is
        filled = np.where(known, features, self.medians).astype(np.float64)
        result: Floats = np.clip((filled - self.means) * self.factors, -_CLIPPED_AT, _CLIPPED_AT)
        return result


def fit_standardiser(features: NDArray[np.floating]) -> tuple[Standardiser, Floats]:
    """Learn a standardiser from training rows, shape (N, D), and return it with the standardised rows."""
    filled, medians = fill_missing(features)
    means, factors = standardising(filled)
    return Standardiser(medians, _farthest(filled), means, factors), (filled - means) * factors


def fill_missing(features: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return features with the missing cells filled by their column's median, and the medians (0 without values).

    What is not finite is missing, and so is what lies 1000 spreads of the middle half from the median.
    """
    known = np.where(np.isfinite(features), features, np.nan).astype(np.float64)
    filled, medians = _fill(known)
    far = np.abs(filled - medians) > _farthest(filled)
    return _fill(np.where(far, np.nan, known)) if far.any() else (filled, medians)


def _fill(known: Floats) -> tuple[Floats, Floats]:
    """Fill the cells that are NaN."""
    medians = np.zeros(known.shape[1])
    seen = ~np.isnan(known).all(0)
    medians[seen] = np.nanmedian(known[:, seen], axis=0)
    filled: Floats = np.where(np.isnan(known), medians, known)
    return filled, medians


def _farthest(filled: Floats) -> Floats:
    """Return the distance from the median at which a value can still be one; infinite for a column without middle."""
    low, high = np.percentile(filled, [25, 75], axis=0)
    result: Floats = np.where(high > low, (high - low) * (_FARTHEST / _QUARTILES_OF_NORMAL), np.inf)
    return result


def standardising(features: Floats) -> tuple[Floats, Floats]:
    """Return means and 1 / standard deviations; the latter are 0 for a column that never changes."""
    means, deviations = features.mean(0), features.std(0)
    # A spread below the rounding of the mean is a constant's.
    alive = deviations > 1e-10 * np.maximum(1.0, np.abs(means))
    factors: Floats = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=alive)
    return means, factors


def _softness(filled: Floats) -> Floats:
    """Return 1 / spread of the middle half of each column; of a column without one its standard deviation is used."""
    low, high = np.percentile(filled, [25, 75], axis=0)
    deviations = filled.std(0)
    middle = (high - low) / _QUARTILES_OF_NORMAL
    spreads = np.where(middle > 1e-9 * deviations, middle, deviations)
    softness: Floats = np.divide(1.0, spreads, out=np.zeros_like(spreads), where=spreads > np.finfo(np.float64).tiny)
    return softness


def _soften(filled: Floats, medians: Floats, softness: Floats) -> Floats:
    result: Floats = np.where(softness > 0, np.arcsinh((filled - medians) * softness), filled)
    return result


def _principal_directions(standardised: Floats, components: int) -> tuple[Floats, Floats]:
    """Return the leading principal directions, shape (D, P), signs fixed, spreads evened out by half; and the spreads.

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
    size = np.sqrt(np.mean((spreads * evened) ** 2)) or 1.0
    directions: Floats = vectors * (evened / size)
    return directions, np.where(alive, spreads**_EVENNESS * size, 0.0)


def _leading_vectors(symmetric: Floats, count: int) -> Floats:
    """Return the eigenvectors of the largest eigenvalues, largest first, shape (n, count)."""
    size = len(symmetric)
    _, vectors = scipy.linalg.eigh(symmetric, subset_by_index=(size - count, size - 1))
    return np.asarray(vectors[:, ::-1], dtype=np.float64)
