"""A backbone's features as points of a plane: t-SNE, as in figure 2 of PTM-VQA (Yuan et al., CVPR 2024).

L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9, 2008. The paper's perplexity and iterations are
not known; those here are scikit-learn's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from vqa.errors import DegenerateDataError
from vqa.select.measuring import one_thread
from vqa.select.preparing import COMMON_WIDTH, prepare_candidate

MOST_POINTS = 2000
"""Ours: more make a page heavy and a plot no clearer."""
_PERPLEXITY = 30.0
_FEWEST_ROWS = 4


@dataclass(frozen=True, eq=False)
class Embedding:
    """Some videos as points of a plane; close points have like features, distances far apart mean little."""

    rows: NDArray[np.intp]
    """Numbers of the rows that are shown, ascending, shape (M,)."""
    points: NDArray[np.float64]
    """Shape (M, 2)."""
    perplexity: float
    """About how many neighbours of each point were kept close."""


def embed_candidate(
    name: str,
    block: NDArray[np.floating],
    mos: NDArray[np.float64],
    *,
    common_width: int = COMMON_WIDTH,
    random_state: int = 0,
    most: int = MOST_POINTS,
) -> Embedding:
    """Lay a candidate's features out in a plane, those the Davies-Bouldin index is measured on.

    Args:
        name: The candidate's text form.
        block: Features, shape (N, D); NaN marks missing cells.
        mos: Mean opinion scores, shape (N,); they decide which rows are shown where there are too many, no more.
        common_width: Columns that the index sees.
        random_state: Seed; the same gives the same points.
        most: Points at most.

    Raises:
        DegenerateDataError: fewer than 4 videos, half the cells or more are missing, or no column changes.
    """
    if len(block) < _FEWEST_ROWS:
        raise DegenerateDataError(f"{len(block)} videos are too few for a map; add videos")
    space = prepare_candidate(name, block, common_width=common_width).common
    rows = even_rows(mos, most)
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    method = TSNE(perplexity=perplexity, init="pca", random_state=random_state, n_jobs=1)
    with one_thread().limit(limits=1):  # threads would sum in an order of their own
        points = method.fit_transform(_two_columns(space[rows]))
    return Embedding(rows, points.astype(np.float64), perplexity)


def even_rows(mos: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return the numbers of at most `most` rows, ascending, at equal steps from the worst to the best score."""
    if len(mos) <= most:
        return np.arange(len(mos))
    steps = np.linspace(0, len(mos) - 1, most).round().astype(np.intp)
    rows: NDArray[np.intp] = np.sort(np.argsort(mos, kind="stable")[steps])
    return rows


def _two_columns(space: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points in two dimensions or more: a column of zeros changes no distance, and the start needs it."""
    return space if space.shape[1] > 1 else np.pad(space, ((0, 0), (0, 1)))
