"""What candidates are measured against: scores, their clusters, and folds; the same for all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.clusters import DEFAULT_BINS, Clusters, mos_clusters
from vqa.errors import DegenerateDataError
from vqa.select.crossval import cut_folds


@dataclass(frozen=True, eq=False)
class Target:
    """The scores of N videos, and how they are cut up."""

    mos: NDArray[np.float64]
    """Shape (N,)."""
    labels: NDArray[np.intp]
    """MOS cluster of each video by the rule that was asked for, shape (N,)."""
    counted: NDArray[np.intp]
    """MOS cluster of each video by the rule of equal count, shape (N,)."""
    folds: NDArray[np.intp] | None
    """Fold of each video, shape (N,), or None where all videos show one content."""
    groups: NDArray[np.intp]
    """Number of each video's content, shape (N,); its own where contents are not known."""
    random_state: int

    @property
    def known_folds(self) -> NDArray[np.intp]:
        """The folds.

        Raises:
            DegenerateDataError: there are none.
        """
        if self.folds is None:
            raise DegenerateDataError(
                "all videos show one content, so none can be held out; add videos of another content, or choose a "
                "criterion without folds, such as dbi"
            )
        return self.folds

    def take(self, rows: NDArray[np.intp]) -> Target:
        """Return the same for the given rows; nothing is cut anew."""
        folds = None if self.folds is None else self.folds[rows]
        return Target(
            self.mos[rows], self.labels[rows], self.counted[rows], folds, self.groups[rows], self.random_state
        )


def make_target(
    mos: NDArray[np.float64],
    groups: Sequence[str] | None,
    *,
    bins: int = DEFAULT_BINS,
    bin_rule: str = "width",
    random_state: int = 0,
) -> tuple[Target, Clusters]:
    """Cut scores into clusters and folds.

    Args:
        mos: Mean opinion scores, shape (N,).
        groups: Source content of each video, or None where it is not known.
        bins: Number of MOS bins.
        bin_rule: `width` or `count`, see `mos_clusters`.
        random_state: Seed of the folds.

    Returns:
        The target, and its clusters by `bin_rule`.

    Raises:
        DegenerateDataError: the scores have no clusters.
    """
    clusters = mos_clusters(mos, bins=bins, rule=bin_rule)
    counted = mos_clusters(mos, bins=bins, rule="count").labels
    one_content = groups is not None and len(set(groups)) == 1
    folds = None if one_content else cut_folds(groups, len(mos), random_state=random_state)
    contents = np.arange(len(mos)) if groups is None else np.unique(groups, return_inverse=True)[1]
    return Target(mos, clusters.labels, counted, folds, contents, random_state), clusters
