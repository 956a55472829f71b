"""Select: rank the cached candidates by how well their features separate good from bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.errors import CacheMissError, WorkspaceError
from vqa.extract.pools import find_row
from vqa.files import write_text
from vqa.pipeline.features import CachedRows, current_candidates, look_up, read_table, require_all
from vqa.pipeline.opening import open_dataset
from vqa.records import Failure, FeatureTable, Ranking
from vqa.select.ranking import rank_candidates
from vqa.workspace import Workspace, open_workspace

SELECTION_SCHEMA = 1


@dataclass(frozen=True)
class SelectionRow:
    """One candidate's line in the selection table."""

    rank: int
    name: str
    fingerprint: str
    dbi: float
    """Davies-Bouldin index; smaller is better, and comparable between equal `ranked_width` only."""
    ranked_width: int
    width: int
    pretext: str
    """What the network was trained for, or empty where no pool says so."""
    cost_ms: float
    """Time the network took for one video, without decoding."""
    selected: bool


@dataclass(frozen=True)
class Selection:
    """What `rank_models` found; the same as in `selection.json`."""

    rows: tuple[SelectionRow, ...]
    videos: int
    cluster_sizes: tuple[int, ...]
    """Videos per MOS pseudo cluster, worst first."""
    common_width: int
    merges: tuple[str, ...]
    left_out: Mapping[str, str]
    """Candidates that could not be ranked, with the reason."""
    failures: tuple[Failure, ...]
    """Labelled videos left out because they failed."""
    note: str
    """What the labels are, where they are not people's opinion."""

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


def rank_models(folder: Path, *, top_k: int | None = None) -> Selection:
    """Rank the cached candidates by DBI on the training rows, and write `selection.json`.

    Args:
        folder: The workspace.
        top_k: How many to select; by default what `vqa.toml` says.

    Raises:
        CacheMissError: videos or candidates have no features yet.
        DegenerateDataError: too few videos, or equal scores.
    """
    workspace = open_workspace(folder)
    count = workspace.select.top_k if top_k is None else top_k
    ranked = read_training_table(workspace)
    ranking = rank_table(workspace, ranked.table)
    if not 1 <= count <= len(ranking.rows):
        raise WorkspaceError(f"--top-k {count}: there are {len(ranking.rows)} ranked candidates; choose 1 to that many")
    selection = _selection(workspace, ranking, ranked, count)
    document = {"schema": SELECTION_SCHEMA, **asdict(selection), "left_out": dict(selection.left_out)}
    write_text(workspace.selection_file, json.dumps(document, indent=2) + "\n")
    return selection


def rank_table(workspace: Workspace, table: FeatureTable) -> Ranking:
    """Rank a table's candidates with the workspace's settings; used on training rows only."""
    settings = workspace.select
    return rank_candidates(table, bins=settings.bins, bin_rule=settings.bin_rule, common_width=settings.common_width)


def read_training_table(workspace: Workspace) -> RankedTable:
    """Read the training rows' features of every candidate that was run on all of them."""
    store = FeatureStore(workspace.cache_dir)
    rows = open_dataset(workspace).training_rows()
    candidates = current_candidates(store, workspace)
    found = look_up(workspace, store, rows, candidates)
    whole = [stored for stored in candidates if not found.lacking[stored.record.name]]
    if not whole:
        require_all(found, candidates)
    left_out = {
        name: f"not run on {len(ids)} of {len(rows)} videos; run {filling_command([name])}"
        for name, ids in found.lacking.items()
        if ids
    }
    table = read_table(store, rows, found, whole)
    return RankedTable(store, table, {stored.record.name: stored for stored in whole}, found, left_out)


def read_selection(workspace: Workspace) -> tuple[SelectionRow, ...]:
    """Return the selected candidates as `selection.json` names them.

    Raises:
        WorkspaceError: there is no selection, or the file can't be used.
    """
    path = workspace.selection_file
    if not path.is_file():
        raise WorkspaceError(f"{path}: there is no selection yet; run `vqa select`")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(SelectionRow(**row) for row in document["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{path}: is damaged or of another version; run `vqa select` again") from error
    return tuple(row for row in rows if row.selected)


def find_stored(store: FeatureStore, chosen: tuple[SelectionRow, ...]) -> tuple[StoredCandidate, ...]:
    """Return the cache's candidates of a selection.

    Raises:
        CacheMissError: one is no longer in the cache.
    """
    stored = {candidate.record.fingerprint: candidate for candidate in store.candidates()}
    gone = [row.name for row in chosen if row.fingerprint not in stored]
    if gone:
        raise CacheMissError(f"{', '.join(gone)}: selected, but not in the cache; run {filling_command(gone)}")
    return tuple(stored[row.fingerprint] for row in chosen)


def _selection(workspace: Workspace, ranking: Ranking, ranked: RankedTable, count: int) -> Selection:
    rows = []
    for place, row in enumerate(ranking.rows, start=1):
        fingerprint = ranked.candidates[row.name].record.fingerprint
        pool_row = find_row(row.name)
        rows.append(
            SelectionRow(
                rank=place,
                name=row.name,
                fingerprint=fingerprint,
                dbi=row.dbi,
                ranked_width=row.ranked_width,
                width=row.width,
                pretext=pool_row.pretext if pool_row else "",
                cost_ms=ranked.store.cost_ms(fingerprint),
                selected=place <= count,
            )
        )
    return Selection(
        rows=tuple(rows),
        videos=len(ranked.table.ids),
        cluster_sizes=ranking.cluster_sizes,
        common_width=ranking.common_width,
        merges=ranking.merges,
        left_out={**ranked.left_out, **ranking.refused},
        failures=ranked.found.failures,
        note=workspace.dataset.note,
    )
