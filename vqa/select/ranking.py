"""Candidates from best to worst by one criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqa.clusters import DEFAULT_BINS, Clusters
from vqa.errors import DegenerateDataError, SelectionError
from vqa.records import FeatureTable, Ranked, Ranking
from vqa.select.criteria import Criterion, find_criterion
from vqa.select.greedy import Step, order_greedily
from vqa.select.measuring import Line, Measurer, Refused, one_thread, sample_rows
from vqa.select.preparing import COMMON_WIDTH
from vqa.select.target import make_target

DEFAULT_CRITERION = "dbi"


@dataclass(frozen=True)
class RankingOptions:
    """How candidates are ranked, and what the chosen ones may cost.

    Raises:
        SelectionError: a value can't be used.
    """

    criterion: str = DEFAULT_CRITERION
    bins: int = DEFAULT_BINS
    bin_rule: str = "width"
    """`width` or `count`, see `mos_clusters`."""
    common_width: int = COMMON_WIDTH
    random_state: int = 0
    top_k: int = 4
    """How many are to be chosen; `greedy` picks as many."""
    budget_ms: float | None = None
    """Most that the chosen ones may cost together, for one video."""

    def __post_init__(self) -> None:
        find_criterion(self.criterion)
        if self.top_k < 1:
            raise SelectionError(f"{self.top_k} candidates can't be chosen; choose 1 or more")
        if self.budget_ms is not None and not self.budget_ms > 0:
            raise SelectionError(f"a budget of {self.budget_ms:g} ms a video buys nothing; give one above 0")


def rank_candidates(
    table: FeatureTable,
    *,
    criterion: str = DEFAULT_CRITERION,
    bins: int = DEFAULT_BINS,
    bin_rule: str = "width",
    common_width: int = COMMON_WIDTH,
    random_state: int = 0,
    cost_ms: Mapping[str, float] | None = None,
    top_k: int = 4,
    budget_ms: float | None = None,
) -> Ranking:
    """Rank all candidates of a table on all of its rows; of equal ones the first by name leads.

    Args:
        table: Training rows; no test row belongs here.
        criterion: Name of one of `CRITERIA`.
        bins: Number of MOS bins.
        bin_rule: `width` or `count`, see `mos_clusters`.
        common_width: Width that wider features are brought to for cluster indices.
        random_state: Seed of folds, k-means, and the sample of many rows.
        cost_ms: What each candidate costs for one video, where known.
        top_k: How many are to be chosen; `greedy` picks as many.
        budget_ms: Most that the chosen ones may cost together, for one video.

    Returns:
        The ranking; candidates that can't be ranked stand in its `refused`, each with the reason.

    Raises:
        DegenerateDataError: the scores have no clusters, or no candidate can be ranked.
        SelectionError: no such criterion, or no candidate fits the budget.
    """
    options = RankingOptions(criterion, bins, bin_rule, common_width, random_state, top_k, budget_ms)
    return rank_by(table, options, cost_ms=cost_ms)


def rank_by(table: FeatureTable, options: RankingOptions, *, cost_ms: Mapping[str, float] | None = None) -> Ranking:
    """Do what `rank_candidates` does, with its options in one value."""
    costs, wanted = cost_ms or {}, find_criterion(options.criterion)
    measurer, clusters = make_measurer(table, options, (find_criterion("dbi"), wanted))
    names, unpriced = split_by_price(table.blocks, costs, options)
    with one_thread().limit(limits=1):
        measured = [measurer.measure(name, table.blocks[name]) for name in names]
        lines = [line for line in measured if isinstance(line, Line)]
        refused = unpriced | {line.name: line.reason for line in measured if isinstance(line, Refused)}
        steps = () if wanted.measure or not lines else pick_greedily(lines, measurer, options, costs)
    return make_ranking(lines, steps, Circumstances(options, costs, clusters, refused))


def make_measurer(
    table: FeatureTable, options: RankingOptions, criteria: Iterable[Criterion]
) -> tuple[Measurer, Clusters]:
    """Return what measures candidates against a table's scores, and the scores' clusters.

    Raises:
        DegenerateDataError: the scores have no clusters, or the chosen criterion needs contents that are not there.
    """
    target, clusters = make_target(
        table.mos,
        table.groups,
        bins=options.bins,
        bin_rule=options.bin_rule,
        random_state=options.random_state,
    )
    if find_criterion(options.criterion).held_out:
        _ = target.known_folds
    rows = sample_rows(len(table.ids), options.random_state)
    required = frozenset({"dbi", options.criterion})
    distinct = tuple({criterion.name: criterion for criterion in criteria}.values())
    return Measurer(target, rows, distinct, required, options.common_width), clusters


def split_by_price(
    names: Iterable[str], costs: Mapping[str, float], options: RankingOptions
) -> tuple[list[str], dict[str, str]]:
    """Return the names that may be ranked, and with a budget those of unknown cost, each with the reason."""
    if options.budget_ms is None:
        return list(names), {}
    reason = "what it costs is not known, so it can't be chosen within a budget"
    known = [name for name in names if name in costs]
    return known, {name: reason for name in names if name not in costs}


def pick_greedily(
    lines: Sequence[Line], measurer: Measurer, options: RankingOptions, costs: Mapping[str, float]
) -> tuple[Step, ...]:
    """Order candidates by `greedy`, on the sampled rows."""
    return order_greedily(
        [line.sample for line in lines],
        measurer.target.take(measurer.rows),
        count=options.top_k,
        cost_ms=costs,
        budget_ms=options.budget_ms,
    )


@dataclass(frozen=True, eq=False)
class Circumstances:
    """What a ranking says beside the order."""

    options: RankingOptions
    costs: Mapping[str, float]
    clusters: Clusters
    refused: Mapping[str, str]


def make_ranking(lines: Sequence[Line], steps: Sequence[Step], about: Circumstances) -> Ranking:
    """Put measured candidates in order.

    Args:
        lines: The candidates that have figures.
        steps: Their order by `greedy`, where that is the criterion.
        about: Goes into the ranking.

    Raises:
        DegenerateDataError: there is no line.
        SelectionError: no candidate fits the budget.
    """
    if not lines:
        raise DegenerateDataError(_nothing_ranked(about.refused))
    options = about.options
    criterion = find_criterion(options.criterion)
    values = {line.sample.name: line.values.get(criterion.name, 0.0) for line in lines}
    if criterion.measure is None:
        values = {step.name: step.value for step in steps}
        places = {step.name: place for place, step in enumerate(steps)}
        ordered = sorted(lines, key=lambda line: places[line.sample.name])
    else:
        ordered = sorted(lines, key=lambda line: (criterion.order(values[line.sample.name]), line.sample.name))
    rows = tuple(_row(line, values[line.sample.name], about.costs) for line in ordered)
    _check_budget(rows, options.budget_ms)
    return Ranking(
        rows=rows,
        refused=about.refused,
        cluster_sizes=about.clusters.sizes,
        merges=about.clusters.merges,
        common_width=options.common_width,
        criterion=options.criterion,
        budget_ms=options.budget_ms,
    )


def _row(line: Line, value: float, costs: Mapping[str, float]) -> Ranked:
    sample = line.sample
    return Ranked(sample.name, value, line.values["dbi"], sample.width, sample.common_width, costs.get(sample.name))


def _check_budget(rows: Sequence[Ranked], budget_ms: float | None) -> None:
    if budget_ms is None:
        return
    cost, name = min((np.inf if row.cost_ms is None else row.cost_ms, row.name) for row in rows)
    if cost > budget_ms:
        raise SelectionError(
            f"no candidate costs at most {budget_ms:g} ms a video; the cheapest is {name} with {cost:.1f} ms; "
            "raise --budget-ms"
        )


def _nothing_ranked(refused: Mapping[str, str]) -> str:
    """Say why there is no ranking, with one reason as an example."""
    if not refused:
        return "there is no candidate to rank; run `vqa extract --models all` first"
    name, reason = next(iter(refused.items()))
    others = f", and so on for {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"no candidate can be ranked; {name}: {reason}{others}; extract other candidates, or check the videos"
