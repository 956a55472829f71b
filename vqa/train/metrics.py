"""How well predicted scores agree with people's: correlation and error, plain and after the logistic fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit
from scipy.stats import kendalltau, pearsonr, spearmanr

from vqa.errors import DegenerateDataError

Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]

_FEWEST_ROWS = 3
_MOST_EVALUATIONS = 20_000


@dataclass(frozen=True)
class Metrics:
    """Agreement of predictions with MOS on one set of rows."""

    srocc: float
    """Spearman's rank correlation, -1 to 1, 1 is best."""
    krocc: float
    """Kendall's rank correlation (tau-b), -1 to 1, 1 is best."""
    plcc: float
    """Pearson's correlation of raw predictions, -1 to 1, 1 is best."""
    rmse: float
    """Root mean square error of raw predictions, on the MOS scale; 0 is best."""
    plcc_fitted: float
    """Pearson's correlation after the fit."""
    rmse_fitted: float
    """Root mean square error after the fit, on the MOS scale."""


@dataclass(frozen=True)
class Summary:
    """Metrics over several splits, each figure taken by itself."""

    splits: int
    median: Metrics
    std: Metrics
    """Standard deviation over the splits, divided by their number (ddof 0)."""


def score_predictions(mos: Floats, predicted: Floats) -> Metrics:
    """Compare predictions with MOS, both of shape (N,).

    Raises:
        DegenerateDataError: fewer than 3 rows, values that are not finite, or all scores or all predictions equal: a
            correlation has no meaning then.
    """
    _check(mos, predicted)
    fitted = fit_logistic(mos, predicted)(predicted)
    return Metrics(
        srocc=float(spearmanr(mos, predicted).statistic),
        krocc=float(kendalltau(mos, predicted).statistic),
        plcc=float(pearsonr(mos, predicted).statistic),
        rmse=_rmse(mos, predicted),
        plcc_fitted=float(pearsonr(mos, fitted).statistic),
        rmse_fitted=_rmse(mos, fitted),
    )


def summarise(metrics: Sequence[Metrics]) -> Summary:
    """Return the median and standard deviation of each figure over splits.

    Raises:
        DegenerateDataError: there is no split.
    """
    if not metrics:
        raise DegenerateDataError("there is no split to summarise; evaluate with 1 split or more")
    columns = {field.name: [getattr(each, field.name) for each in metrics] for field in fields(Metrics)}
    median = Metrics(**{name: float(np.median(values)) for name, values in columns.items()})
    std = Metrics(**{name: float(np.std(values)) for name, values in columns.items()})
    return Summary(len(metrics), median, std)


def _check(mos: Floats, predicted: Floats) -> None:
    """Refuse rows on which a correlation has no meaning."""
    if len(mos) < _FEWEST_ROWS:
        raise DegenerateDataError(f"{len(mos)} videos are too few for a correlation; test on 3 or more")
    if not (np.isfinite(mos).all() and np.isfinite(predicted).all()):
        raise DegenerateDataError("a score is not finite; check the labels and the features")
    if np.ptp(mos) == 0:
        raise DegenerateDataError(
            f"all {len(mos)} test videos have the MOS {mos[0]:g}; test on videos of other quality"
        )
    if np.ptp(predicted) == 0:
        raise DegenerateDataError(f"all {len(mos)} predictions are {predicted[0]:g}; check the features, or train anew")


def _rmse(mos: Floats, predicted: Floats) -> float:
    return float(np.sqrt(np.mean((mos - predicted) ** 2)))


def _logistic(x: Floats, highest: float, lowest: float, middle: float, spread: float) -> Floats:
    """Return b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))."""
    result: Floats = lowest + (highest - lowest) * expit((x - middle) / _size(spread))
    return result


def _logistic_slopes(x: Floats, highest: float, lowest: float, middle: float, spread: float) -> Floats:
    """Return the derivatives by the parameters, shape (N, 4); differences in their stead fail for a start next to 0."""
    scaled = (x - middle) / _size(spread)
    share = expit(scaled)
    slope = -(highest - lowest) * share * (1 - share) / _size(spread)
    result: Floats = np.stack([share, 1 - share, slope, slope * scaled * np.copysign(1, spread)], axis=1)
    return result


def _size(spread: float) -> float:
    """Return |b4|, kept from 0."""
    return max(abs(spread), 1e-12)


def fit_logistic(mos: Floats, predicted: Floats) -> Curve:
    """Return the curve that maps predictions to MOS, the 4-parameter logistic of the field's protocol.

    Code vztu/BVQA_Benchmark; the start is that protocol's: max(MOS), min(MOS), mean(predictions), 0.5. Where the search
    does not converge, or ends at one and the same value for all rows, it is the least-squares straight line instead.

    Args:
        mos: Shape (N,), finite and not all equal.
        predicted: Shape (N,), finite and not all equal.
    """
    start = (mos.max(), mos.min(), predicted.mean(), 0.5)
    try:
        with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
            warnings.simplefilter("ignore", OptimizeWarning)  # about the covariance, which is not used and may overflow
            best, _ = curve_fit(_logistic, predicted, mos, p0=start, jac=_logistic_slopes, maxfev=_MOST_EVALUATIONS)
    except (RuntimeError, TypeError):  # not converged; fewer rows than parameters
        return _line(mos, predicted)
    fitted = _logistic(predicted, *best)
    if not np.isfinite(fitted).all() or np.ptp(fitted) <= 1e-9 * np.ptp(mos):
        return _line(mos, predicted)
    return lambda x: _logistic(x, *best)


def _line(mos: Floats, predicted: Floats) -> Curve:
    """Return the least-squares straight line."""
    slope, middle = np.cov(predicted, mos, ddof=0)[0, 1] / np.var(predicted), predicted.mean()
    height = mos.mean()

    def on_line(x: Floats) -> Floats:
        result: Floats = height + slope * (x - middle)
        return result

    return on_line
