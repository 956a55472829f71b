"""The Davies-Bouldin index of points in clusters: how well a backbone separates good videos from bad.

D. L. Davies and D. W. Bouldin, "A cluster separation measure", IEEE TPAMI 1(2), 1979.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import davies_bouldin_score

from vqa.errors import DegenerateDataError


def cluster_index(space: NDArray[np.floating], labels: NDArray[np.intp]) -> float:
    """Return scikit-learn's Davies-Bouldin index of points as they are.

    Args:
        space: Points, shape (N, P).
        labels: Cluster of each, shape (N,).

    Returns:
        0 or more; 0 is best, smaller is better.

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
    if np.allclose(centres, centres[0], atol=1e-6):
        raise DegenerateDataError("features have the same mean in every MOS cluster")
    return float(davies_bouldin_score(space, labels))
