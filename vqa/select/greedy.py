"""Greedy forward selection: always add the candidate with which the set predicts held-out scores best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.select.crossval import fold_moments, ridge_predictions, srocc
from vqa.select.preparing import Prepared
from vqa.select.target import Target


@dataclass(frozen=True)
class Step:
    """One candidate's place in the order."""

    name: str
    value: float
    """Held-out SROCC of the picks before it and itself, fused by ridge regression."""
    picked: bool
    """False for those that were left when the picks were complete; they are ordered by what they would add next."""


def order_greedily(
    candidates: Sequence[Prepared],
    target: Target,
    *,
    count: int,
    cost_ms: Mapping[str, float] | None = None,
    budget_ms: float | None = None,
) -> tuple[Step, ...]:
    """Pick `count` candidates one after the other, each the best beside those before it.

    Each candidate enters with total variance 1, so that a wide one does not drown a narrow one. Of equal ones the
    first by name is picked. With a budget, only what still fits is picked.

    Args:
        candidates: At least one.
        target: Of the same rows.
        count: Most picks.
        cost_ms: Cost of each candidate; needed with a budget.
        budget_ms: Most that the picks may cost together.

    Returns:
        All candidates: the picks in their order, then the others.

    Raises:
        DegenerateDataError: all videos show one content.
    """
    blocks = {candidate.name: _of_variance_one(candidate.space) for candidate in candidates}
    costs = cost_ms or {}
    picks: list[Step] = []
    fused, left = np.empty((len(target.mos), 0), dtype=np.float32), budget_ms
    while blocks:
        values = {name: _fused_srocc(fused, block, target) for name, block in blocks.items()}
        ranked = sorted(values, key=lambda name: (-values[name], name))
        fitting = [name for name in ranked if left is None or costs[name] <= left]
        if len(picks) == count or not fitting:
            return (*picks, *(Step(name, values[name], picked=False) for name in ranked))
        picks.append(Step(fitting[0], values[fitting[0]], picked=True))
        fused = np.hstack([fused, blocks.pop(fitting[0])])
        left = None if left is None else left - costs[fitting[0]]
    return tuple(picks)


def _of_variance_one(space: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = space - space.mean(0)
    return np.asarray(centred / np.sqrt(np.square(centred).mean(0).sum()), dtype=np.float32)


def _fused_srocc(fused: NDArray[np.float32], block: NDArray[np.float32], target: Target) -> float:
    joined, folds = np.hstack([fused, block]), target.known_folds
    return srocc(ridge_predictions(joined, folds, fold_moments(joined, target.mos, folds)), target.mos)
