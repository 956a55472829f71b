"""The kernel path: a Gaussian process over all backbones, whose marginal likelihood says how much each one counts.

    k(x, z) = 1 + sum_n a_n <x_n, z_n> / q_n + c_n exp(-|x_n - z_n|^2 / (2 d_n))

x_n is backbone n's features after its scaler, q_n their mean square over the training rows and d_n half the median of
squared distances. The weights a_n, c_n and the noise maximise the marginal likelihood (Rasmussen and Williams, Gaussian
Processes for Machine Learning, 2006, eq. 5.8) of a sample of the rows, under a weak prior that pulls them to equality.
Beyond `MOST_ANCHORS` rows the fit is that of the subset of regressors (the same book, section 8.3.1). Ours, not the
paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize

from vqa.train.leaving_out import predict_left_out
from vqa.train.rowwise import Floats, multiply_rows

MOST_ANCHORS = 2048
_SAMPLE = 512
"""Rows whose likelihood is maximised: more cost the cube and changed no figure."""
_ITERATIONS = 15
_PRIOR = 0.1
_NOISE = 0.4
_JITTER = 1e-4


@dataclass(frozen=True, eq=False)
class KernelPath:
    """A fitted Gaussian process."""

    anchors: NDArray[np.float32]
    """Rows that predictions are made of, shape (M, K, P)."""
    coefficients: Floats
    """Of each anchor, shape (M,)."""
    weights: Floats
    """a_n and c_n, shape (2, K)."""
    sizes: Floats
    """q_n and d_n, shape (2, K)."""
    spreads: Floats
    """What the network's inputs are multiplied with, shape (K, P)."""

    def predict(self, inputs: Floats) -> Floats:
        """Return standardised scores, shape (N,), of network inputs of shape (N, K, P)."""
        covariance = np.ones((len(inputs), len(self.anchors)))
        for index in range(inputs.shape[1]):
            anchors = self.anchors[:, index].astype(np.float64)
            rows = np.ascontiguousarray(inputs[:, index] * self.spreads[index])
            kernels = _kernels(rows, anchors, self.sizes[:, index], products=multiply_rows(rows, anchors.T))
            for weight, kernel in zip(self.weights[:, index], kernels, strict=True):
                covariance += weight * kernel
        return multiply_rows(covariance, self.coefficients)


def fit_kernel(
    inputs: Floats, targets: Floats, spreads: Floats, groups: Sequence[NDArray[np.intp]], *, seed: int
) -> tuple[KernelPath, Floats]:
    """Fit the kernel path.

    Args:
        inputs: Network inputs of the training rows, shape (N, K, P).
        targets: Standardised MOS, shape (N,).
        spreads: Of the scalers, shape (K, P).
        groups: Rows of each source content, as of `vqa.train.leaving_out.rows_by_group`.
        seed: Decides which rows are sampled.

    Returns:
        The path, and predictions for rows left out, shape (N,).
    """
    rows = inputs * spreads
    order = np.random.default_rng(seed).permutation(len(rows))
    anchors = np.sort(order[:MOST_ANCHORS]) if len(rows) > MOST_ANCHORS else np.arange(len(rows))
    sizes = _sizes(rows, order[:_SAMPLE])
    weights, noise = _most_likely(_stack(rows[order[:_SAMPLE]], sizes), targets[order[:_SAMPLE]])
    covariance = np.ones((len(rows), len(anchors)))
    for index in range(rows.shape[1]):
        kernels = _kernels(rows[:, index], rows[anchors, index], sizes[:, index])
        for weight, kernel in zip(weights[:, index], kernels, strict=True):
            covariance += weight * kernel
    coefficients, unseen = (
        _solve(covariance, targets, noise, groups)
        if len(anchors) == len(rows)
        else _solve_sparse(covariance, anchors, targets, noise, groups)
    )
    return KernelPath(rows[anchors].astype(np.float32), coefficients, weights, sizes, spreads), unseen


def _kernels(rows: Floats, anchors: Floats, sizes: Floats, *, products: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the linear and the Gaussian kernel of one backbone, each of shape (N, M).

    Args:
        rows: Shape (N, P).
        anchors: Shape (M, P).
        sizes: q_n and d_n.
        products: Of rows and anchors, where they are known, shape (N, M).
    """
    products = rows @ anchors.T if products is None else products
    distances = np.maximum((rows**2).sum(1)[:, None] + (anchors**2).sum(1) - 2 * products, 0)
    return products / sizes[0], np.exp(-distances / (2 * sizes[1]))


def _sizes(rows: Floats, sample: NDArray[np.intp]) -> Floats:
    """Return q_n and d_n; 1 for a backbone that never changes."""
    squares = (rows**2).sum(2).mean(0)
    medians = []
    for index in range(rows.shape[1]):
        part = rows[sample, index]
        products = part @ part.T
        norms = np.diag(products)
        distances = np.maximum(norms[:, None] + norms - 2 * products, 0)
        medians.append(float(np.median(distances[np.triu_indices(len(part), 1)])) if len(part) > 1 else 0.0)
    sizes = np.stack([squares, np.array(medians)])
    return np.where(sizes > np.finfo(np.float64).tiny, sizes, 1.0)


def _stack(rows: Floats, sizes: Floats) -> Floats:
    """Return all kernels of some rows among themselves, shape (2 K, N, N): linear ones, then Gaussian ones."""
    pairs = [_kernels(rows[:, index], rows[:, index], sizes[:, index]) for index in range(rows.shape[1])]
    return np.stack([kernel for kind in zip(*pairs, strict=True) for kernel in kind])


def _most_likely(kernels: Floats, targets: Floats) -> tuple[Floats, float]:
    """Return the weights (2, K) and the noise that maximise the marginal likelihood under the prior."""
    count, rows = len(kernels), len(targets)
    flat = kernels.reshape(count, -1)
    start = np.log(np.append(np.full(count, 0.5 / count), _NOISE))

    def loss(logs: Floats) -> tuple[float, Floats]:
        values = np.exp(logs)
        covariance = (values[:-1] @ flat).reshape(rows, rows) + 1
        covariance.flat[:: rows + 1] += values[-1] + _JITTER
        factor, _ = lapack.dpotrf(covariance, lower=1)
        solved, _ = lapack.dpotrs(factor, targets, lower=1)
        inverse, _ = lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        slope = (inverse - np.outer(solved, solved)) / 2
        slopes = np.append(flat @ slope.ravel(), np.trace(slope)) * values
        misfit = targets @ solved / 2 + np.log(np.diag(factor)).sum()
        return float(misfit + _PRIOR / 2 * ((logs - start) ** 2).sum()), slopes + _PRIOR * (logs - start)

    bounds = [(-9.0, 3.0)] * (count + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS})
    values = np.exp(found.x)
    return values[:-1].reshape(2, -1), float(values[-1] + _JITTER)


def _solve(
    covariance: Floats, targets: Floats, noise: float, groups: Sequence[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """Return coefficients, and predictions for groups left out, where every row is an anchor."""
    covariance.flat[:: len(targets) + 1] += noise
    inverse = scipy.linalg.cho_solve(scipy.linalg.cho_factor(covariance), np.eye(len(targets)))
    coefficients = inverse @ targets

    def hat(members: NDArray[np.intp]) -> Floats:
        block: Floats = np.eye(len(members)) - noise * inverse[np.ix_(members, members)]
        return block

    return coefficients, predict_left_out(targets, noise * coefficients, groups, hat)


def _solve_sparse(
    covariance: Floats,
    anchors: NDArray[np.intp],
    targets: Floats,
    noise: float,
    groups: Sequence[NDArray[np.intp]],
) -> tuple[Floats, Floats]:
    """Return the same for fewer anchors than rows."""
    inner = covariance.T @ covariance + noise * covariance[anchors]
    inner.flat[:: len(anchors) + 1] += 1e-8 * np.trace(inner) / len(anchors)
    factor = scipy.linalg.cho_factor(inner)
    coefficients = scipy.linalg.cho_solve(factor, covariance.T @ targets)
    spread = scipy.linalg.solve_triangular(factor[0], covariance.T, trans=1, lower=factor[1])

    def hat(members: NDArray[np.intp]) -> Floats:
        block: Floats = spread[:, members].T @ spread[:, members]
        return block

    return coefficients, predict_left_out(targets, targets - covariance @ coefficients, groups, hat)
