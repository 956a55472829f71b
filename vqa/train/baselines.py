"""What one would write in five lines: the regressors that ours has to beat, on the same rows and features.

All take their scaling, imputation and choices from the training rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict
from sklearn.svm import SVR

from vqa.train.job import TrainJob
from vqa.train.rowwise import Floats
from vqa.train.scaling import fit_standardiser

_PENALTIES = 10 ** (np.arange(-10, 20) * 5 / 19)
"""Fine steps: on LIVE-VQC steps of half a decade cost the ridge .017."""
_COSTS = (0.5, 2.0, 8.0)
_GAMMAS = (0.25, 0.5, 1.0, 2.0)
"""Relative to 1 / (columns x variance), scikit-learn's `scale`."""
_FOLDS = 3
_MOST_ROWS = 5000
"""Of an SVR: its kernels take the square of the rows, and its search as many fits as costs, gammas and folds."""


@dataclass(frozen=True)
class Baseline:
    """A regressor to compare with."""

    name: str
    title: str
    """One line for tables."""
    predict: Callable[[TrainJob, NDArray[np.floating]], Floats]
    """Fits on a job's rows and returns scores, shape (N,), for features of other rows."""
    sees_all: bool = False
    """Whether it sees all models, not only those that were chosen for ours."""


def predict_ridge(job: TrainJob, features: NDArray[np.floating]) -> Floats:
    """Return what RidgeCV on the standardised concatenation says."""
    rows, others = _standardised(job, features)
    return np.asarray(RidgeCV(_PENALTIES).fit(rows, job.mos).predict(others), dtype=np.float64)


def predict_svr(job: TrainJob, features: NDArray[np.floating]) -> Floats:
    """Return what an RBF-SVR says, backbones normalised by their width, cost and gamma by 3-fold search."""
    job = _thinned(job)
    rows, others = _standardised(job, features)
    divisors = np.sqrt(np.repeat(job.block_widths, job.block_widths))
    rows, others = rows / divisors, others / divisors
    mean, deviation = job.mos.mean(), job.mos.std()
    targets = (job.mos - mean) / deviation
    distances, other_distances = _squared_distances(rows, rows), _squared_distances(others, rows)
    scale = 1 / max(rows.shape[1] * rows.var(), np.finfo(np.float64).tiny)
    best_score, best, best_gamma = -np.inf, SVR(), 1.0
    for gamma in _GAMMAS:
        search = GridSearchCV(SVR(kernel="precomputed", epsilon=0.1), {"C": _COSTS}, cv=list(_folds(job)))
        search.fit(np.exp(-gamma * scale * distances), targets)
        if search.best_score_ > best_score:
            best_score, best, best_gamma = search.best_score_, search.best_estimator_, gamma
    predicted = best.predict(np.exp(-best_gamma * scale * other_distances))
    return np.asarray(predicted * deviation + mean, dtype=np.float64)


def predict_best_single(job: TrainJob, features: NDArray[np.floating]) -> Floats:
    """Return what RidgeCV on one backbone says: the one with the best 3-fold SROCC on the training rows."""
    rows, others = _standardised(job, features)
    edges = list(pairwise(np.cumsum([0, *job.block_widths]).tolist()))
    sroccs = []
    for start, stop in edges:
        unseen = cross_val_predict(RidgeCV(_PENALTIES), rows[:, start:stop], job.mos, cv=list(_folds(job)))
        sroccs.append(spearmanr(unseen, job.mos).statistic if np.ptp(unseen) > 0 else -1.0)
    start, stop = edges[int(np.argmax(sroccs))]
    fitted = RidgeCV(_PENALTIES).fit(rows[:, start:stop], job.mos)
    return np.asarray(fitted.predict(others[:, start:stop]), dtype=np.float64)


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        baseline.name: baseline
        for baseline in (
            Baseline("ridge", "RidgeCV on the chosen models' standardised concatenation", predict_ridge),
            Baseline(
                "svr",
                f"RBF-SVR on the chosen models, normalised by width, 3-fold search; on {_MOST_ROWS} rows at most",
                predict_svr,
            ),
            Baseline("best-single", "RidgeCV on the best single one of all models", predict_best_single, sees_all=True),
        )
    }
)


def _thinned(job: TrainJob) -> TrainJob:
    """Return a job of at most so many rows, drawn at random."""
    if len(job.mos) <= _MOST_ROWS:
        return job
    rows = np.sort(np.random.default_rng(job.random_state).choice(len(job.mos), _MOST_ROWS, replace=False))
    groups = None if job.groups is None else [job.groups[row] for row in rows]
    return replace(job, features=job.features[rows], mos=job.mos[rows], groups=groups)


def _standardised(job: TrainJob, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return training rows and others, imputed and standardised by the training rows."""
    standardiser, rows = fit_standardiser(job.features)
    return rows, standardiser.apply(features)


def _squared_distances(rows: Floats, others: Floats) -> Floats:
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    result: Floats = np.maximum(squares, 0)
    return result


def _folds(job: TrainJob) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return 3 folds of the training rows, whole contents where they are known and suffice."""
    groups = None if job.groups is None else np.asarray(job.groups)
    grouped = groups is not None and len(set(groups.tolist())) >= _FOLDS
    kind = GroupKFold if grouped else KFold
    maker = kind(_FOLDS, shuffle=True, random_state=job.random_state)
    return list(maker.split(job.features, groups=groups if grouped else None))
