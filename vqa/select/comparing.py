"""Candidates side by side: all criteria, how sure the ranks are, and who says the same as whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError
from vqa.records import FeatureTable, Ranking
from vqa.select.criteria import CRITERIA, Criterion, Measured, find_criterion
from vqa.select.greedy import Step
from vqa.select.intervals import rank_intervals
from vqa.select.measuring import Line, Measurer, NamedBlock, Refused, one_thread
from vqa.select.ranking import (
    Circumstances,
    RankingOptions,
    make_measurer,
    make_ranking,
    pick_greedily,
    split_by_price,
)
from vqa.select.redundancy import cka_matrix


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is known of K ranked candidates."""

    ranking: Ranking
    values: Mapping[str, Mapping[str, float]]
    """For each candidate its figure by each criterion that has one."""
    picks: tuple[str, ...]
    """What `greedy` picks, in its order; nothing where it can't be measured."""
    intervals: Mapping[str, tuple[int, int]]
    """For each candidate the interval of its rank; nothing for `greedy`, which would have to run anew each time."""
    cka: NDArray[np.float64]
    """Linear CKA of each two candidates in the order of ranks, shape (K, K)."""
    unmeasured: Mapping[str, str]
    """Criteria that have no figure of some candidate, each with one reason."""
    videos: int
    """Rows."""
    sampled: int
    """Rows that the criteria which see a sample were measured on."""


def compare_candidates(
    table: FeatureTable,
    blocks: Iterable[NamedBlock],
    *,
    options: RankingOptions | None = None,
    cost_ms: Mapping[str, float] | None = None,
) -> Comparison:
    """Rank candidates by one criterion and measure them by all.

    Args:
        table: Ids, scores and groups of the training rows; its own blocks are not looked at.
        blocks: Name and features of each candidate, read one at a time: two at most are held.
        options: How to rank.
        cost_ms: What each candidate costs for one video, where known.

    Raises:
        DegenerateDataError: the scores have no clusters, or no candidate can be ranked.
        SelectionError: no candidate fits the budget.
    """
    asked, costs = options or RankingOptions(), cost_ms or {}
    measurer, clusters = make_measurer(table, asked, CRITERIA.values())
    refused: dict[str, str] = {}
    with one_thread().limit(limits=1):
        lines = _measure(measurer, _priced(blocks, costs, asked, refused), refused)
        steps = _picks(lines, measurer, asked, costs)
        ranking = make_ranking(lines, steps, Circumstances(asked, costs, clusters, refused))
        places = {row.name: place for place, row in enumerate(ranking.rows)}
        lines.sort(key=lambda line: places[line.sample.name])
        fused = {step.name: {"greedy": step.value} for step in steps}
        return Comparison(
            ranking=ranking,
            values={line.sample.name: {**line.values, **fused.get(line.sample.name, {})} for line in lines},
            picks=tuple(step.name for step in steps if step.picked),
            intervals=_intervals(lines, measurer, asked),
            cka=cka_matrix([line.sample.space for line in lines]),
            unmeasured=_unmeasured(lines, steps),
            videos=len(table.ids),
            sampled=len(measurer.rows),
        )


def _measure(measurer: Measurer, blocks: Iterable[NamedBlock], refused: dict[str, str]) -> list[Line]:
    """Measure candidates, and note those that can't be ranked."""
    lines = []
    for line in measurer.measure_stream(blocks):
        if isinstance(line, Refused):
            refused[line.name] = line.reason
        else:
            lines.append(line)
    return lines


def _picks(
    lines: Sequence[Line], measurer: Measurer, options: RankingOptions, costs: Mapping[str, float]
) -> tuple[Step, ...]:
    """Order candidates by `greedy`, where there are contents to hold out."""
    if not lines or measurer.target.folds is None:
        return ()
    return pick_greedily(lines, measurer, options, costs)


def _priced(
    blocks: Iterable[NamedBlock], costs: Mapping[str, float], options: RankingOptions, refused: dict[str, str]
) -> Iterable[NamedBlock]:
    """Give the blocks that may be ranked, and note the others."""
    for name, block in blocks:
        known, unpriced = split_by_price([name], costs, options)
        refused.update(unpriced)
        if known:
            yield name, block


def _unmeasured(lines: Sequence[Line], steps: Sequence[Step]) -> dict[str, str]:
    """Return the criteria without a figure of some candidate; `greedy` lacks what ridge regression lacks."""
    unmeasured = {name: reason for line in lines for name, reason in line.unmeasured.items()}
    return unmeasured if steps else {**unmeasured, "greedy": unmeasured["ridge"]}


def _intervals(lines: Sequence[Line], measurer: Measurer, options: RankingOptions) -> dict[str, tuple[int, int]]:
    """Return the interval of each candidate's rank by the chosen criterion, on the sampled rows."""
    criterion, target = find_criterion(options.criterion), measurer.target.take(measurer.rows)
    if criterion.measure is None:
        return {}
    try:
        keys = [_Key(criterion, criterion.measure(line.sample, target)) for line in lines]
    except DegenerateDataError:
        return {}
    found = rank_intervals(keys, target.groups, random_state=options.random_state)
    return {} if found is None else {line.sample.name: pair for line, pair in zip(lines, found, strict=True)}


@dataclass(frozen=True, eq=False)
class _Key:
    """One candidate's key in ascending order, on given rows."""

    criterion: Criterion
    measured: Measured

    def __call__(self, rows: NDArray[np.intp]) -> float:
        return self.criterion.order(self.measured.on_rows(rows))
