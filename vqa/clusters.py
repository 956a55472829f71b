"""MOS pseudo clusters: videos of like quality, which selection measures and training separates.

After PTM-VQA (Yuan et al., CVPR 2024), figure 2: cluster centres by the range of the MOS values, six of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError

DEFAULT_BINS = 6
"""As many as in the paper's figure 2."""
BIN_RULES = ("width", "count")
_FEWEST_ROWS = 2


@dataclass(frozen=True, eq=False)
class Clusters:
    """Videos by the MOS interval they fall in."""

    labels: NDArray[np.intp]
    """0 (worst) to len(sizes) - 1 (best), shape (N,)."""
    sizes: tuple[int, ...]
    """Videos per cluster, worst first, after merging."""
    merges: tuple[str, ...]
    """One sentence for each bin that had too few rows and was merged with its neighbour."""
    borders: tuple[float, ...]
    """Ends of the clusters' intervals, ascending: one more than there are clusters."""


def mos_clusters(mos: NDArray[np.float64], *, bins: int = DEFAULT_BINS, rule: str = "width") -> Clusters:
    """Label each video by the MOS interval it falls in.

    A bin with fewer than two rows is merged with its smaller neighbour, since it has no spread that an index could
    measure.

    Args:
        mos: Mean opinion scores, shape (N,), any scale, finite.
        bins: Number of intervals, 1 or more.
        rule: `width` for intervals of equal width over the MOS range, `count` for intervals of equal count.

    Raises:
        DegenerateDataError: scores are equal or not finite, there are fewer than two rows for each bin, or no such
            rule.
    """
    _check(mos, bins, rule)
    edges = _edges(mos, bins, rule)
    raw = np.searchsorted(edges[1:-1], mos, side="right")
    members = [np.flatnonzero(raw == label) for label in range(bins)]
    borders = edges.tolist()
    merges = []
    while (smallest := _first_too_small(members)) is not None:
        neighbour = _smaller_neighbour(members, smallest)
        rows = "1 row" if len(members[smallest]) == 1 else "no row"
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(borders)]
        merges.append(f"the bin {names[smallest]} has {rows} and was merged with {names[neighbour]}")
        low, high = sorted((smallest, neighbour))
        members[low : high + 1] = [np.concatenate(members[low : high + 1])]
        del borders[high]
    labels = np.empty(len(mos), dtype=np.intp)
    for label, rows_inside in enumerate(members):
        labels[rows_inside] = label
    return Clusters(labels, tuple(len(rows_inside) for rows_inside in members), tuple(merges), tuple(borders))


def _check(mos: NDArray[np.float64], bins: int, rule: str) -> None:
    """Refuse scores that have no clusters."""
    if rule not in BIN_RULES:
        raise DegenerateDataError(f"there is no bin rule {rule!r}; use one of: {', '.join(BIN_RULES)}")
    if bins < 1:
        raise DegenerateDataError(f"{bins} MOS bins can't be made; use 1 or more")
    if not np.isfinite(mos).all():
        raise DegenerateDataError("a MOS is not finite; correct the labels")
    if len(mos) < _FEWEST_ROWS * bins:
        raise DegenerateDataError(
            f"{len(mos)} labelled videos are too few for {bins} MOS bins, which need {_FEWEST_ROWS * bins}; "
            "add labelled videos, or lower bins in vqa.toml"
        )
    if mos.min() == mos.max():
        raise DegenerateDataError(f"all {len(mos)} videos have the MOS {mos[0]:g}; check the labels' MOS column")


def _edges(mos: NDArray[np.float64], bins: int, rule: str) -> NDArray[np.float64]:
    """Return the bins + 1 borders, ascending."""
    if rule == "count":
        return np.quantile(mos, np.linspace(0, 1, bins + 1))
    return np.linspace(mos.min(), mos.max(), bins + 1)


def _first_too_small(members: Sequence[NDArray[np.intp]]) -> int | None:
    """Return the first cluster with fewer than two rows, or None."""
    return next((label for label, rows in enumerate(members) if len(rows) < _FEWEST_ROWS), None)


def _smaller_neighbour(members: Sequence[NDArray[np.intp]], label: int) -> int:
    """Return the neighbour with fewer rows; of equals the lower one."""
    beside = [other for other in (label - 1, label + 1) if 0 <= other < len(members)]
    return min(beside, key=lambda other: (len(members[other]), other))
