"""How much each backbone counts in the fusion: by its Davies-Bouldin index, or by what it predicts of MOS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from vqa.errors import DegenerateDataError
from vqa.train.linear import fit_ridge
from vqa.train.rowwise import Floats

WEIGHT_RULES = ("inverse", "softmax", "uniform")
_SMALLEST_DBI = 1e-6
_LEAST_SROCC = 0.02
_FEWEST_GROUPS = 3
_POWER = 3
"""Ours, measured on training rows: .005 (KoNViD-1k) and .010 (LIVE-VQC) above equal weights; a power of 1 gave less."""


def dbi_weights(dbis: Sequence[float], rule: str = "inverse") -> tuple[float, ...]:
    """Return fusion weights that sum to 1, one for each backbone.

    The paper weights models by their DBI; the formulas are ours.

    Args:
        dbis: Davies-Bouldin index of each backbone, 0 or more; smaller is better.
        rule: `inverse` for 1 / DBI, `softmax` for exp(-DBI), `uniform` for equal weights.

    Raises:
        DegenerateDataError: no index, one that is negative or not finite, or no such rule.
    """
    values = np.asarray(dbis, dtype=np.float64)
    if not len(values) or not (np.isfinite(values) & (values >= 0)).all():
        raise DegenerateDataError(
            f"fusion weights need a DBI of 0 or more for each backbone, not {list(dbis)}; rank again"
        )
    if rule == "inverse":
        weights = 1 / np.maximum(values, _SMALLEST_DBI)
    elif rule == "softmax":
        weights = np.exp(values.min() - values)
    elif rule == "uniform":
        weights = np.ones_like(values)
    else:
        raise DegenerateDataError(f"there is no weight rule {rule!r}; use one of: {', '.join(WEIGHT_RULES)}")
    return tuple((weights / weights.sum()).tolist())


def srocc_weights(rows: Floats, targets: Floats, groups: Sequence[NDArray[np.intp]]) -> tuple[float, ...]:
    """Return fusion weights that sum to 1, one for each backbone, by the cube of its SROCC on rows left out. Ours.

    Of fewer than 3 contents too little is left to predict one from the others: all count equally then.

    Args:
        rows: Features of the K backbones after their scalers, shape (N, K, P), of training rows.
        targets: Standardised MOS, shape (N,).
        groups: Rows of each source content, as of `vqa.train.leaving_out.rows_by_group`.
    """
    if len(groups) < _FEWEST_GROUPS:
        return tuple(1 / rows.shape[1] for _ in range(rows.shape[1]))
    sroccs = []
    for index in range(rows.shape[1]):
        unseen = fit_ridge(rows[:, index], targets, groups).unseen
        srocc = spearmanr(unseen, targets).statistic if np.ptp(unseen) > 0 else 0.0
        sroccs.append(max(float(srocc), _LEAST_SROCC))
    weights = np.array(sroccs) ** _POWER
    return tuple((weights / weights.sum()).tolist())
