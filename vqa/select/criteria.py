"""The criteria: what makes a candidate good. Each is a row of data; `greedy` alone looks at several candidates."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples

from vqa.errors import SelectionError
from vqa.select.crossval import fold_moments, neighbour_predictions, ridge_predictions, srocc
from vqa.select.dbi import cluster_index
from vqa.select.logme import log_evidence
from vqa.select.preparing import Prepared
from vqa.select.target import Target

_STARTS = 4
"""Of k-means; the best is kept."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One candidate's figure by one criterion."""

    value: float
    on_rows: Callable[[NDArray[np.intp]], float]
    """The figure on rows that were drawn again. What was fitted (clusters of k-means, predictions) stays."""


@dataclass(frozen=True)
class Criterion:
    """One way to tell good candidates from bad ones."""

    name: str
    title: str
    larger_is_better: bool
    measure: Callable[[Prepared, Target], Measured] | None
    """Measures one candidate by itself; raises DegenerateDataError where it has no figure. None for `greedy`."""
    all_rows: bool
    """Whether it sees all rows; the others see a sample where there are many."""
    held_out: bool
    """Whether it predicts held-out contents, of which there must be two or more."""

    def order(self, value: float) -> float:
        """Return a figure's key in ascending order, best first."""
        return -value if self.larger_is_better else value


def find_criterion(name: str) -> Criterion:
    """Return a criterion by name.

    Raises:
        SelectionError: there is none of that name.
    """
    if name not in CRITERIA:
        close = difflib.get_close_matches(name, CRITERIA, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"use one of: {', '.join(CRITERIA)}"
        raise SelectionError(f"there is no criterion {name!r}; {hint}")
    return CRITERIA[name]


def _by_mos_bins(candidate: Prepared, target: Target) -> Measured:
    return _index(candidate.common, target.labels)


def _by_equal_count(candidate: Prepared, target: Target) -> Measured:
    return _index(candidate.common, target.counted)


def _by_own_clusters(candidate: Prepared, target: Target) -> Measured:
    """As many clusters as there are of the MOS, found without it."""
    points = len(np.unique(candidate.common, axis=0))
    clusters = min(len(np.unique(target.labels)), points)
    found = KMeans(clusters, n_init=_STARTS, random_state=target.random_state).fit(candidate.common).labels_
    return _index(candidate.common, found.astype(np.intp))


def _index(space: NDArray[np.float32], labels: NDArray[np.intp]) -> Measured:
    return Measured(cluster_index(space, labels), lambda rows: cluster_index(space[rows], labels[rows]))


def _silhouette(candidate: Prepared, target: Target) -> Measured:
    """P. J. Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20, 1987; the mean of all."""
    widths = silhouette_samples(candidate.common, target.labels)
    return Measured(float(widths.mean()), lambda rows: float(widths[rows].mean()))


def _evidence(candidate: Prepared, target: Target) -> Measured:
    space, mos = candidate.space, target.mos
    return Measured(log_evidence(space, mos), lambda rows: log_evidence(space[rows], mos[rows]))


def _ridge(candidate: Prepared, target: Target) -> Measured:
    folds = target.known_folds
    return _held_out(
        ridge_predictions(candidate.space, folds, fold_moments(candidate.space, target.mos, folds)), target
    )


def _neighbours(candidate: Prepared, target: Target) -> Measured:
    return _held_out(neighbour_predictions(candidate.space, target.mos, target.known_folds), target)


def _held_out(predicted: NDArray[np.float64], target: Target) -> Measured:
    return Measured(srocc(predicted, target.mos), lambda rows: srocc(predicted[rows], target.mos[rows]))


CRITERIA = {
    row.name: row
    for row in (
        Criterion("dbi", "Davies-Bouldin index on MOS bins", False, _by_mos_bins, all_rows=True, held_out=False),
        Criterion(
            "dbi-count",
            "Davies-Bouldin index on MOS bins of equal count",
            False,
            _by_equal_count,
            all_rows=True,
            held_out=False,
        ),
        Criterion(
            "dbi-kmeans",
            "Davies-Bouldin index on k-means clusters",
            False,
            _by_own_clusters,
            all_rows=False,
            held_out=False,
        ),
        Criterion("silhouette", "mean silhouette on MOS bins", True, _silhouette, all_rows=False, held_out=False),
        Criterion("logme", "LogME", True, _evidence, all_rows=True, held_out=False),
        Criterion("ridge", "held-out SROCC of ridge regression", True, _ridge, all_rows=True, held_out=True),
        Criterion("knn", "held-out SROCC of nearest neighbours", True, _neighbours, all_rows=False, held_out=True),
        Criterion("greedy", "held-out SROCC of the set with each next one", True, None, all_rows=False, held_out=True),
    )
}
"""In the order in which they are shown."""
