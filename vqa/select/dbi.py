"""The Davies-Bouldin index of points in clusters: how well a backbone separates good videos from bad.

D. L. Davies and D. W. Bouldin, "A cluster separation measure", IEEE TPAMI 1(2), 1979. The figures are those of
scikit-learn's davies_bouldin_score, which takes ten times as long: the bootstrap needs thousands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from vqa.errors import DegenerateDataError


def cluster_index(space: NDArray[np.floating], labels: NDArray[np.intp]) -> float:
    """Return the Davies-Bouldin index of points as they are.

        mean over clusters i of the largest (spread i + spread j) / (distance of centres i and j)

    Args:
        space: Points, shape (N, P).
        labels: Cluster of each, shape (N,).

    Returns:
        0 or more; 0 is best, smaller is better.

    Raises:
        DegenerateDataError: there are fewer than two clusters, or their centres coincide; scikit-learn's index is 0.0
            then.
    """
    points = np.asarray(space, dtype=np.float64)
    _, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DegenerateDataError(
            "all videos fall into one MOS cluster; add videos of other quality, or raise bins in vqa.toml"
        )
    centres = (member == np.arange(len(sizes))[:, None]) @ points / sizes[:, None]
    if np.allclose(centres, centres[0], atol=1e-6):
        raise DegenerateDataError("features have the same mean in every MOS cluster")
    from_centre = np.sqrt(np.square(points - centres[member]).sum(1))
    spreads = np.bincount(member, from_centre) / sizes
    apart = cdist(centres, centres)
    apart[apart == 0] = np.inf  # of a cluster and itself; two with one centre count as scikit-learn counts them
    return float(((spreads[:, None] + spreads) / apart).max(1).mean())
