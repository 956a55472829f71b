"""LogME: the evidence that a linear model on frozen features has for the scores.

K. You, Y. Liu, J. Wang and M. Long, "LogME: practical assessment of pre-trained models for transfer learning", ICML
2021, algorithm 1, for one continuous target. Ours: features and scores are centred, features are in their leading
principal directions, and scores have deviation 1, so that the scale of the MOS does not matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError

_MOST_ROUNDS = 500
_CONVERGED = 1e-7
_SMALLEST = 1e-10


def log_evidence(space: NDArray[np.floating], mos: NDArray[np.float64]) -> float:
    """Return the largest log marginal evidence of a Bayesian linear regression, per video.

        prior of weights N(0, 1 / alpha), noise N(0, 1 / beta); alpha and beta by MacKay's fixed point

    Args:
        space: Points, shape (N, P).
        mos: Shape (N,).

    Returns:
        About -1.42 where the features say nothing of the scores (the evidence of noise of deviation 1); larger is
        better, without a limit.

    Raises:
        DegenerateDataError: the scores are equal.
    """
    if mos.min() == mos.max():
        raise DegenerateDataError(f"all {len(mos)} videos have the MOS {mos[0]:g}; check the labels' MOS column")
    points = np.asarray(space, dtype=np.float64)
    points = points - points.mean(0)
    scores = (mos - mos.mean()) / mos.std()
    sizes, vectors = np.linalg.eigh(points.T @ points)
    sizes = np.maximum(sizes, 0)
    projected = np.square(vectors.T @ (points.T @ scores))
    return _evidence(sizes, projected, len(scores))


def _evidence(sizes: NDArray[np.float64], projected: NDArray[np.float64], rows: int) -> float:
    """Find alpha and beta, and return the evidence.

    Args:
        sizes: Eigenvalues of F'F, shape (P,).
        projected: Squares of F'y along its eigenvectors, shape (P,).
        rows: N; the scores' squares sum to it.
    """
    alpha, beta = 1.0, 1.0
    for _ in range(_MOST_ROUNDS):
        weights, residual = _fit(sizes, projected, rows, alpha, beta)
        effective = float((beta * sizes / (alpha + beta * sizes)).sum())
        before = alpha / beta
        alpha = max(effective, _SMALLEST) / max(weights, _SMALLEST)
        beta = max(rows - effective, _SMALLEST) / max(residual, _SMALLEST)
        if abs(alpha / beta - before) <= _CONVERGED * before:
            break
    weights, residual = _fit(sizes, projected, rows, alpha, beta)
    normaliser = np.log(alpha + beta * sizes).sum()
    doubled = rows * np.log(beta) + len(sizes) * np.log(alpha) - rows * np.log(2 * np.pi)
    return float(doubled - beta * residual - alpha * weights - normaliser) / (2 * rows)


def _fit(
    sizes: NDArray[np.float64], projected: NDArray[np.float64], rows: int, alpha: float, beta: float
) -> tuple[float, float]:
    """Return the squared length of the posterior mean m, and the squared residual of the scores."""
    scaled = beta / (alpha + beta * sizes)  # m = scaled * F'y, along the eigenvectors
    length = float((scaled**2 * projected).sum())
    residual = rows - float((scaled * (2 - scaled * sizes) * projected).sum())
    return length, residual
