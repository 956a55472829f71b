"""What `vqa select` left: the ranked candidates of `selection.json`, and where the cache holds the selected ones."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.errors import MALFORMED, CacheMissError, WorkspaceError
from vqa.pipeline.documents import read_document
from vqa.pipeline.features import other_rules
from vqa.workspace import Workspace

SELECTION_SCHEMA = 3


@dataclass(frozen=True)
class SelectionRow:
    """One candidate's line in the selection table."""

    rank: int
    """By the selection's criterion, 1 being best."""
    rank_interval: tuple[int, int] | None
    """Where 90 % of the resamples put it; None for `greedy`."""
    name: str
    fingerprint: str
    dbi: float
    """Davies-Bouldin index; smaller is better, and comparable between equal `ranked_width` only."""
    values: Mapping[str, float]
    """By each criterion that has a figure of it; `greedy`: held-out SROCC of the picks before it and itself."""
    pick: int | None
    """Its place among the picks of `greedy`."""
    ranked_width: int
    width: int
    pretext: str
    """What the network was trained for, or empty where no pool says so."""
    cost_ms: float | None
    """Time the network took for one video, without decoding; None where not known."""
    selected: bool


@dataclass(frozen=True)
class StoredSelection:
    """What of `selection.json` later commands use."""

    rows: tuple[SelectionRow, ...]
    """All that were ranked, best first."""
    left_out: frozenset[str]
    """Names of candidates that could not be ranked."""
    videos: int
    rows_sha256: str = ""
    """Of the labels it was made on; empty where the file does not say."""

    @property
    def chosen(self) -> tuple[SelectionRow, ...]:
        """The selected ones."""
        return tuple(row for row in self.rows if row.selected)


def read_selection(workspace: Workspace) -> tuple[SelectionRow, ...]:
    """Return the selected candidates; errors as of `read_stored_selection`."""
    return read_stored_selection(workspace).chosen


def read_stored_selection(workspace: Workspace) -> StoredSelection:
    """Return what `selection.json` says.

    Raises:
        WorkspaceError: there is no selection, or the file can't be used.
    """
    path = workspace.selection_file
    if not path.is_file():
        raise WorkspaceError(f"{path}: there is no selection yet; run `vqa select`")
    try:
        document = read_document(path, digest_since=SELECTION_SCHEMA)
        rows = tuple(_checked_row(SelectionRow(**row)) for row in document["rows"])
        made_on = str(document.get("rows_sha256", ""))
        return StoredSelection(rows, frozenset(document["left_out"]), int(document["videos"]), made_on)
    except (OSError, *MALFORMED) as error:
        raise WorkspaceError(f"{path}: is damaged or of another version; run `vqa select` again") from error


def _checked_row(row: SelectionRow) -> SelectionRow:
    """Refuse a row in which what training uses is not what it should be."""
    if not all(isinstance(text, str) for text in (row.name, row.fingerprint)) or not isinstance(row.selected, bool):
        raise TypeError("a name, a fingerprint or a mark is of another type")
    if isinstance(row.dbi, bool) or not math.isfinite(row.dbi) or row.dbi < 0:
        raise ValueError("a DBI is no number of its kind")
    return row


def find_stored(store: FeatureStore, chosen: tuple[SelectionRow, ...]) -> tuple[StoredCandidate, ...]:
    """Return the cache's candidates of a selection.

    Raises:
        CacheMissError: one is no longer in the cache, or by other decoding rules alone.
        WorkspaceError: one was selected on other features, has a new generation by now, or is called otherwise.
    """
    held = {candidate.record.fingerprint: candidate for candidate in store.candidates()}
    stored = {fingerprint: candidate for fingerprint, candidate in held.items() if not other_rules(candidate)}
    current = {candidate.record.name for candidate in stored.values()}
    gone = [row.name for row in chosen if row.fingerprint not in held]
    if lacking := [name for name in gone if name not in current]:
        raise CacheMissError(f"{', '.join(lacking)}: selected, but not in the cache; run {filling_command(lacking)}")
    if gone:
        raise WorkspaceError(
            f"{', '.join(gone)}: selected on other features than the cache has; run `vqa select` again"
        )
    _require_these_rules(chosen, held, current)
    other = [row.name for row in chosen if row.name != stored[row.fingerprint].record.name]
    if other:
        raise WorkspaceError(f"{', '.join(other)}: called otherwise in the cache; run `vqa select` again")
    newest: dict[str, int] = {}
    for candidate in stored.values():
        newest[candidate.record.name] = max(newest.get(candidate.record.name, 0), candidate.record.generation)
    older = [row.name for row in chosen if stored[row.fingerprint].record.generation < newest[row.name]]
    if older:
        raise WorkspaceError(f"{', '.join(older)}: selected before its new generation; run `vqa select` again")
    return tuple(stored[row.fingerprint] for row in chosen)


def _require_these_rules(
    chosen: tuple[SelectionRow, ...], held: Mapping[str, StoredCandidate], current: Collection[str]
) -> None:
    """Refuse a selection made on features of other decoding rules than this version's; `current` has these already."""
    other = {row.name: rules for row in chosen if (rules := other_rules(held[row.fingerprint]))}
    if not other:
        return
    lacking = [name for name in other if name not in current]
    told = f"{', '.join(other)}: selected on features of {next(iter(other.values()))}"
    if lacking:
        raise CacheMissError(f"{told}; run {filling_command(lacking)}, and `vqa select` again")
    raise WorkspaceError(f"{told}; run `vqa select` again")
