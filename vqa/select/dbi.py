"""The Davies-Bouldin index of features on MOS pseudo clusters: how well a backbone separates good videos from bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import davies_bouldin_score

from vqa.errors import DegenerateDataError

COMMON_WIDTH = 16
"""Ours: DBI is not comparable between widths, so all candidates are brought to this one where they have as many."""


def davies_bouldin(
    features: NDArray[np.floating], labels: NDArray[np.intp], *, common_width: int = COMMON_WIDTH
) -> float:
    """Return the Davies-Bouldin index of features of any width.

    Args:
        features: Shape (N, D).
        labels: Cluster of each row, shape (N,).
        common_width: Width that wider features are brought to.

    Returns:
        0 or more; 0 is best, smaller is better.

    Raises:
        DegenerateDataError: features are constant or not finite, or the clusters can't be told apart at all.
    """
    return cluster_index(to_common_width(features, common_width=common_width), labels)


def to_common_width(features: NDArray[np.floating], *, common_width: int = COMMON_WIDTH) -> NDArray[np.float64]:
    """Standardise features over the rows and bring them to one width by PCA.

    A column that never changes is dropped first. The solvers are exact ones, so that the same rows give the same
    numbers.

    Args:
        features: Shape (N, D).
        common_width: Most columns to return.

    Returns:
        Shape (N, P). Features that have common_width columns or fewer keep them; wider ones are left with common_width,
        or with N - 1 where that is less.

    Raises:
        DegenerateDataError: a value is not finite, or no column changes; scikit-learn's index is 0.0 then, its best
            value.
    """
    values = np.asarray(features, dtype=np.float64)
    if bad := int(np.count_nonzero(~np.isfinite(values))):
        raise DegenerateDataError(f"{bad} of {values.size} feature values are not finite")
    means, deviations = values.mean(0), values.std(0)
    # A spread below the rounding of the mean is a constant's.
    alive = deviations > 1e-10 * np.maximum(1.0, np.abs(means))
    if not alive.any():
        raise DegenerateDataError(f"features are the same for all {len(values)} videos")
    standardised: NDArray[np.float64] = (values[:, alive] - means[alive]) / deviations[alive]
    rows, width = standardised.shape
    if width <= common_width:
        return standardised
    solver = "covariance_eigh" if width <= rows else "full"
    projected = PCA(min(common_width, rows - 1), svd_solver=solver).fit_transform(standardised)
    return np.asarray(projected, dtype=np.float64)


def cluster_index(space: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Return scikit-learn's Davies-Bouldin index of points as they are.

    Raises:
        DegenerateDataError: there are fewer than two clusters, or their centres coincide; scikit-learn's index is 0.0
            then.
    """
    clusters = np.unique(labels)
    if len(clusters) < 2:
        raise DegenerateDataError(
            "all videos fall into one MOS cluster; add videos of other quality, or raise bins in vqa.toml"
        )
    centres = np.stack([space[labels == cluster].mean(0) for cluster in clusters])
    if np.allclose(centres, centres[0]):
        raise DegenerateDataError("features have the same mean in every MOS cluster")
    return float(davies_bouldin_score(space, labels))
