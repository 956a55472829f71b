"""How much each backbone counts in the fusion, from its Davies-Bouldin index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqa.errors import DegenerateDataError

WEIGHT_RULES = ("inverse", "softmax", "uniform")
_SMALLEST_DBI = 1e-6


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
