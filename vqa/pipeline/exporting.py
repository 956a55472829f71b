"""Export: a workspace's time-averaged features as a table for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqa.cache.folder import DamagedLines
from vqa.cache.store import FeatureStore
from vqa.cache.tablefiles import RatedIds
from vqa.cache.tablewriting import TABLE_SUFFIXES, check_target, write_feature_file
from vqa.dataset import VideoRow
from vqa.errors import CacheMissError
from vqa.pipeline.features import REPAIRING, current_candidates, look_up, read_table
from vqa.pipeline.opening import open_dataset
from vqa.pipeline.provenance import named_candidates
from vqa.records import IMPORTED
from vqa.workspace import open_workspace

__all__ = ["TABLE_SUFFIXES", "ExportReport", "export_table"]


@dataclass(frozen=True)
class ExportReport:
    """What `export_table` wrote."""

    file: Path
    videos: int
    widths: Mapping[str, int]
    """D of each candidate."""
    missing: int
    """Cells without a value."""
    left_out: tuple[str, ...]
    """Videos that lack features of some candidate, because they failed or it was never run on them."""
    damaged: tuple[DamagedLines, ...] = ()
    """Of the ledger and of the memory of keys: what they told may be why videos are left out."""

    @property
    def complete(self) -> bool:
        """Whether every video of the dataset was written."""
        return not self.left_out


def export_table(file: Path, models: Sequence[str] = (), *, folder: Path = Path()) -> ExportReport:
    """Write ids, MOS, groups, splits and time-averaged features of the videos that have them all.

    Args:
        file: `.npz`, `.csv` or `.mat`; an older one is replaced.
        models: Candidates, globs or fingerprints; none for all that the cache holds.
        folder: The workspace.

    Raises:
        CacheMissError: the cache holds no such candidate, or no video has features of all.
        TableError: the file is of another kind.
        WorkspaceError, LabelsError, CacheError: the workspace, its labels or its cache can't be used.
    """
    check_target(file)
    workspace = open_workspace(folder)
    store = FeatureStore(workspace.cache_dir)
    rows = open_dataset(workspace).rows
    candidates = named_candidates(current_candidates(store, workspace), models)
    found = look_up(workspace, store, rows, candidates)
    lacking = frozenset(video for ids in found.lacking.values() for video in ids)
    whole = frozenset(found.ids) - lacking
    used = [row for row in rows if row.id in whole]
    if not used:
        raise CacheMissError(
            f"none of {len(rows)} videos has features of all {len(candidates)} models{found.told_damage()}; "
            + (f"run `vqa extract`{REPAIRING}" if found.damaged else "name fewer with --models")
        )
    table = read_table(store, used, found, candidates)
    sets = {name.removeprefix(f"{IMPORTED}:"): block for name, block in table.blocks.items()}
    write_feature_file(file, _rated(used), sets)
    return ExportReport(
        file=file,
        videos=len(used),
        widths={name: block.shape[1] for name, block in table.blocks.items()},
        missing=int(sum(np.isnan(block).sum() for block in sets.values())),
        left_out=tuple(row.id for row in rows if row.id not in whole),
        damaged=found.damaged,
    )


def _rated(rows: Sequence[VideoRow]) -> RatedIds:
    mos = np.array([np.nan if row.mos is None else row.mos for row in rows], dtype=np.float64)
    return RatedIds(
        ids=tuple(row.id for row in rows),
        mos=None if np.isnan(mos).all() else mos,
        groups=tuple(row.group or "" for row in rows) if any(row.group for row in rows) else None,
        splits=tuple(row.split or "" for row in rows) if any(row.split for row in rows) else None,
    )
