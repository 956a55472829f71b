"""Select: measure the cached candidates by all criteria, rank them by one, and choose the best."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.dataset import VideoRow
from vqa.errors import SelectionError
from vqa.extract.pools import find_row
from vqa.pipeline.datahash import rows_sha256
from vqa.pipeline.documents import write_document
from vqa.pipeline.features import CachedRows, current_candidates, look_up, outdated_models, read_table, run_on_all
from vqa.pipeline.opening import count_ignored_contents, open_dataset
from vqa.pipeline.selected import SELECTION_SCHEMA, SelectionRow
from vqa.records import Failure, FeatureTable, Ranked, Ranking
from vqa.select.comparing import Comparison, compare_candidates
from vqa.select.criteria import find_criterion
from vqa.select.measuring import NamedBlock
from vqa.select.ranking import RankingOptions, rank_by
from vqa.workspace import Workspace, open_workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """What `rank_models` found; the same as in `selection.json`."""

    criterion: str
    larger_is_better: bool
    budget_ms: float | None
    """Most that the selected ones may cost together, for one video; None for no limit."""
    rows: tuple[SelectionRow, ...]
    cka: tuple[tuple[float, ...], ...]
    """Linear CKA of each two rows, 0 to 1: how much they say the same."""
    videos: int
    sampled: int
    """Videos that silhouette, k-NN, k-means, greedy, CKA and rank intervals were measured on."""
    cluster_sizes: tuple[int, ...]
    """Videos per MOS pseudo cluster, worst first."""
    common_width: int
    merges: tuple[str, ...]
    left_out: Mapping[str, str]
    """Candidates that could not be ranked, with the reason."""
    unmeasured: Mapping[str, str]
    """Criteria that have no figure of some candidate, with the reason."""
    failures: tuple[Failure, ...]
    """Labelled videos left out because they failed."""
    note: str
    """What the labels are, where they are not people's opinion."""
    ignored_contents: int = 0
    """Contents that the labels name and `vqa.toml` says not to read."""
    rows_sha256: str = ""
    """Of the labels it was made on."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the selected candidates, best first."""
        return tuple(row.name for row in self.rows if row.selected)


@dataclass(frozen=True, eq=False)
class RankedTable:
    """The training rows' features, and the candidates they come from."""

    store: FeatureStore
    table: FeatureTable
    candidates: Mapping[str, StoredCandidate]
    found: CachedRows
    left_out: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class _TrainingRows:
    """The training rows, and the candidates that were run on all of them."""

    store: FeatureStore
    rows: Sequence[VideoRow]
    found: CachedRows
    candidates: Mapping[str, StoredCandidate]
    left_out: Mapping[str, str]

    def read(self, *candidates: StoredCandidate) -> FeatureTable:
        return read_table(self.store, self.rows, self.found, candidates)

    def stream(self) -> Iterator[NamedBlock]:
        """Read one candidate's features after the other."""
        for name, stored in self.candidates.items():
            yield name, self.read(stored).blocks[name]

    def cost_ms(self) -> dict[str, float]:
        """Return the cost of each candidate that was timed."""
        costs = {name: self.store.cost_ms(stored.record.fingerprint) for name, stored in self.candidates.items()}
        return {name: cost for name, cost in costs.items() if cost}


def rank_models(
    folder: str | Path, *, top_k: int | None = None, criterion: str | None = None, budget_ms: float | None = None
) -> Selection:
    """Compare the cached candidates on the training rows, and write `selection.json`.

    Args:
        folder: The workspace.
        top_k: How many to select; by default what `vqa.toml` says.
        criterion: What they are ranked by; by default what `vqa.toml` says.
        budget_ms: Most that the selected ones may cost together, for one video; then fewer than top_k may be selected.

    Raises:
        CacheMissError: videos or candidates have no features yet.
        DegenerateDataError: too few videos, or equal scores.
        SelectionError: no such criterion, fewer candidates than top_k, or none within the budget.
    """
    workspace = open_workspace(folder)
    options = _options(workspace, top_k=top_k, criterion=criterion, budget_ms=budget_ms)
    training = _training_rows(workspace)
    table = training.read()
    told = (len(training.candidates), len(table.ids), options.criterion)
    _log.info("comparing %d candidates on %d videos, by %s", *told)
    comparison = compare_candidates(table, training.stream(), options=options, cost_ms=training.cost_ms())
    ranked = len(comparison.ranking.rows)
    if options.top_k > ranked:
        asked = f"--top-k {options.top_k}" if top_k else f"top_k = {options.top_k} in vqa.toml"
        raise SelectionError(f"{asked}: there are {ranked} ranked candidates; choose 1 to that many")
    selection = _selection(workspace, comparison, training, options.top_k)
    write_document(workspace.selection_file, SELECTION_SCHEMA, asdict(selection), indent=2)
    return selection


def choose_models(
    workspace: Workspace, table: FeatureTable, *, top_k: int | None, criterion: str | None
) -> tuple[Ranking, tuple[str, ...]]:
    """Rank a table's candidates and choose the best; used on training rows only.

    Args:
        workspace: Its settings hold where none are given.
        table: Training rows.
        top_k: How many to choose, 0 or more than there are for all.
        criterion: What they are ranked by.
    """
    count = (workspace.select.top_k if top_k is None else top_k) or len(table.blocks)
    ranking = rank_by(table, _options(workspace, top_k=count, criterion=criterion))
    return ranking, ranking.best(count)


def read_training_table(workspace: Workspace) -> RankedTable:
    """Read the training rows' features of every candidate that was run on all of them."""
    training = _training_rows(workspace)
    table = training.read(*training.candidates.values())
    return RankedTable(training.store, table, training.candidates, training.found, training.left_out)


def _options(
    workspace: Workspace,
    *,
    top_k: int | None = None,
    criterion: str | None = None,
    budget_ms: float | None = None,
) -> RankingOptions:
    settings = workspace.select
    return RankingOptions(
        criterion=settings.criterion if criterion is None else criterion,
        bins=settings.bins,
        bin_rule=settings.bin_rule,
        common_width=settings.common_width,
        random_state=workspace.train.random_state,
        top_k=settings.top_k if top_k is None else top_k,
        budget_ms=budget_ms,
    )


def _training_rows(workspace: Workspace) -> _TrainingRows:
    """Look up which candidates were run on all training rows; no features are read."""
    store = FeatureStore(workspace.cache_dir)
    rows = open_dataset(workspace).training_rows()
    candidates = current_candidates(store, workspace)
    found = look_up(workspace, store, rows, candidates)
    whole = {stored.record.name: stored for stored in run_on_all(found, candidates)}
    left_out = {
        name: f"its features are of {rules}; run {filling_command([name])}"
        for name, rules in outdated_models(store, workspace).items()
    }
    left_out |= {
        name: f"not run on {len(ids)} of {len(rows)} videos; run {filling_command([name])}"
        for name, ids in found.lacking.items()
        if ids
    }
    return _TrainingRows(store, rows, found, whole, left_out)


def _selection(workspace: Workspace, comparison: Comparison, training: _TrainingRows, count: int) -> Selection:
    ranking = comparison.ranking
    chosen = ranking.best(count)
    return Selection(
        criterion=ranking.criterion,
        larger_is_better=find_criterion(ranking.criterion).larger_is_better,
        budget_ms=ranking.budget_ms,
        rows=tuple(
            _row(place, row, comparison, training, selected=row.name in chosen)
            for place, row in enumerate(ranking.rows, start=1)
        ),
        cka=tuple(tuple(row) for row in comparison.cka.round(6).tolist()),
        videos=comparison.videos,
        sampled=comparison.sampled,
        cluster_sizes=ranking.cluster_sizes,
        common_width=ranking.common_width,
        merges=ranking.merges,
        left_out={**training.left_out, **ranking.refused},
        unmeasured=comparison.unmeasured,
        failures=training.found.failures,
        note=workspace.dataset.note,
        ignored_contents=count_ignored_contents(workspace, training.found.ids),
        rows_sha256=rows_sha256(training.rows, training.found.ids),
    )


def _row(place: int, row: Ranked, comparison: Comparison, training: _TrainingRows, *, selected: bool) -> SelectionRow:
    pool_row, picks = find_row(row.name), comparison.picks
    return SelectionRow(
        rank=place,
        rank_interval=comparison.intervals.get(row.name),
        name=row.name,
        fingerprint=training.candidates[row.name].record.fingerprint,
        dbi=row.dbi,
        values=comparison.values[row.name],
        pick=picks.index(row.name) + 1 if row.name in picks else None,
        ranked_width=row.ranked_width,
        width=row.width,
        pretext=pool_row.pretext if pool_row else "",
        cost_ms=row.cost_ms,
        selected=selected,
    )
