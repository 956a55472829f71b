"""How sure a rank is: the bootstrap.

B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993; the percentile interval, of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from vqa.errors import DegenerateDataError

RESAMPLES = 100
CONFIDENCE = 0.9


def rank_intervals(
    keys: Sequence[Callable[[NDArray[np.intp]], float]],
    groups: NDArray[np.intp],
    *,
    resamples: int = RESAMPLES,
    random_state: int = 0,
) -> tuple[tuple[int, int], ...] | None:
    """Return the interval in which each candidate's rank lies in 90 % of the resamples.

    Args:
        keys: For each of K candidates, best first, its key on given rows; the smallest key is best. A resample on
            which one of them has no figure (raises DegenerateDataError) is left out.
        groups: Content of each of the N rows, shape (N,): contents are drawn whole, with replacement.
        resamples: How many.
        random_state: Seed.

    Returns:
        For each candidate its lowest and highest rank, 1 being best, or None where no resample has a figure.
    """
    drawn = []
    for rows in _draws(groups, resamples, random_state):
        try:
            drawn.append([key(rows) for key in keys])
        except DegenerateDataError:
            continue
    if not drawn:
        return None
    ranks = rankdata(np.asarray(drawn), method="ordinal", axis=1)
    tail = (1 - CONFIDENCE) / 2
    lowest = np.quantile(ranks, tail, axis=0, method="lower").astype(int)
    highest = np.quantile(ranks, 1 - tail, axis=0, method="higher").astype(int)
    return tuple(zip(lowest.tolist(), highest.tolist(), strict=True))


def _draws(groups: NDArray[np.intp], resamples: int, random_state: int) -> Iterator[NDArray[np.intp]]:
    """Draw as many contents as there are, again and again, and give all their rows."""
    random = np.random.default_rng(random_state)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    for _ in range(resamples):
        yield np.concatenate([members[number] for number in random.integers(len(members), size=len(members))])
