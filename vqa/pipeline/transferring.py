"""Import and export: tables of features into a workspace's cache and out of it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqa.cache.store import FeatureStore
from vqa.cache.tablefiles import FeatureFile, RatedIds, TableNames, read_feature_file
from vqa.cache.transfer import SetPlan, imported_name, plan_set, write_set
from vqa.errors import TableError
from vqa.escaping import csv_text
from vqa.files import sha256_of, write_text
from vqa.pipeline.joining import Joined, check_mos, columns_like_mos, join_ids
from vqa.pipeline.opening import open_dataset
from vqa.workspace import FILE_NAME, DatasetSettings, Workspace, open_workspace, write_workspace

_LABELS = "labels.csv"
_LIBRARIES = ("vqa", "numpy", "scipy", "h5py")
_GUESS_ALL = TableNames()


@dataclass(frozen=True)
class ImportedSet:
    """What an import did with one feature set."""

    name: str
    """The candidate's."""
    width: int
    added: int
    """Videos whose features this import added."""
    held: int
    """Videos whose features, the same, were there before."""
    missing: int
    """Cells without a finite value, of all these videos."""
    missing_rows: int
    """Videos with such a cell."""
    like_mos: int
    """Features so close to the MOS that they are likely ratings."""


@dataclass(frozen=True)
class ImportReport:
    """What `import_table` did."""

    file: Path
    rows: int
    """Videos in the file."""
    joined: int
    """Those of them that are videos of the dataset."""
    sets: tuple[ImportedSet, ...]
    mos_range: tuple[float, float] | None
    """Lowest and highest MOS in the file; None where it holds none."""
    groups: int
    """Source contents in the file; 0 where it names none."""
    unknown: tuple[str, ...]
    """Ids of the file that the dataset does not have; they are left out."""
    without: tuple[str, ...]
    """Ids of the dataset that the file does not have."""
    left_aside: tuple[str, ...]
    """Arrays or columns of the file that were not taken."""
    workspace: Path | None
    """The vqa.toml that was made, where there was none."""


def import_table(
    file: Path, name: str, *, folder: Path = Path(), names: TableNames = _GUESS_ALL, ids_file: Path | None = None
) -> ImportReport:
    """Put a table's features into a workspace's cache, as candidates called `imported:NAME` or `imported:NAME/SET`.

    A folder that is no workspace yet becomes one, of the ids and MOS in the file. If anything is refused, nothing is
    written.

    Args:
        file: `.npz`, `.npy`, `.csv`, `.tsv`, `.mat`, `.h5` or `.hdf5`.
        name: What to call its features.
        folder: The workspace.
        names: Which arrays or columns of the file hold what.
        ids_file: The ids of its rows, for a file that holds none.

    Raises:
        TableError: the file can't be read, does not fit the dataset, or differs from what the cache holds.
        WorkspaceError, LabelsError, CacheError: the workspace, its labels or its cache can't be used.
    """
    imported_name(name)
    table = read_feature_file(file, names, ids_file=ids_file)
    is_new = not (folder / FILE_NAME).exists()
    workspace = _new_workspace(folder, file, table.rated) if is_new else open_workspace(folder)
    joined, labels = _join(file, table.rated, workspace, is_new=is_new)
    store = FeatureStore(workspace.cache_dir)
    taken = list(joined.rows.values())
    plans = {
        feature_set: plan_set(store, _candidate(name, feature_set, table), list(joined.rows), values[taken])
        for feature_set, values in table.sets.items()
    }
    made = _make_workspace(workspace, table.rated) if is_new else None
    _write(store, plans.values(), file)
    mos, groups = table.rated.mos, table.rated.groups
    known = np.empty(0) if mos is None else mos[np.isfinite(mos)]
    return ImportReport(
        file=file,
        rows=len(table.rated.ids),
        joined=len(taken),
        sets=tuple(_imported(plan, table.sets[feature_set][taken], labels) for feature_set, plan in plans.items()),
        mos_range=(float(known.min()), float(known.max())) if len(known) else None,
        groups=len(set(groups)) if groups else 0,
        unknown=joined.unknown,
        without=joined.without,
        left_aside=table.left_aside,
        workspace=made,
    )


def _candidate(name: str, feature_set: str, table: FeatureFile) -> str:
    return imported_name(name, feature_set if table.several else "")


def _imported(plan: SetPlan, values: NDArray[np.float32], labels: NDArray[np.float64]) -> ImportedSet:
    missing = np.isnan(values)
    return ImportedSet(
        name=plan.record.name,
        width=values.shape[1],
        added=len(plan.ids),
        held=plan.held,
        missing=int(missing.sum()),
        missing_rows=int(missing.any(axis=1).sum()),
        like_mos=columns_like_mos(values, labels),
    )


def _write(store: FeatureStore, plans: Iterable[SetPlan], file: Path) -> None:
    sha256 = sha256_of(file)
    versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
    for plan in plans:
        if plan.ids:
            write_set(store, plan, file=file.name, sha256=sha256, versions=versions)


def _join(file: Path, rated: RatedIds, workspace: Workspace, *, is_new: bool) -> tuple[Joined, NDArray[np.float64]]:
    """Join a table's rows with the workspace's dataset, or with itself where it makes the dataset.

    Returns:
        Which row is which video, and the MOS of these videos by the dataset's labels, NaN where it has none.
    """
    if is_new and rated.mos is not None:
        rows = {video: row for row, video in enumerate(rated.ids) if _has_mos(rated, row)}
        unrated = tuple(video for video in rated.ids if video not in rows)
        return Joined(rows, unrated, ()), rated.mos[list(rows.values())]
    dataset = open_dataset(workspace)
    scores = {row.id: row.mos for row in dataset.rows}
    try:
        joined = join_ids(rated.ids, (*scores, *dataset.missing))
        labels = _scores(scores.get(video) for video in joined.rows)
        if rated.mos is not None:
            check_mos(tuple(joined.rows), rated.mos[list(joined.rows.values())], labels)
    except TableError as error:
        raise TableError(f"{file}: {error}") from error
    if not joined.rows:
        raise TableError(
            f"{file}: none of its {len(rated.ids)} ids ({', '.join(rated.ids[:3])}, ...) is one of the dataset's "
            f"({', '.join([*scores][:3])}, ...); check that it belongs to this dataset"
        )
    return joined, labels


def _scores(mos: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if score is None else score for score in mos], dtype=np.float64)


def _has_mos(rated: RatedIds, row: int) -> bool:
    return rated.mos is not None and bool(np.isfinite(rated.mos[row]))


def _new_workspace(folder: Path, file: Path, rated: RatedIds) -> Workspace:
    """Return the workspace that a table makes of a folder; nothing is written yet.

    Raises:
        TableError: the table has no MOS, or the folder has other labels already.
    """
    if not any(_has_mos(rated, row) for row in range(len(rated.ids))):
        raise TableError(
            f"{folder} has no {FILE_NAME}, and {file} holds no MOS to make a dataset of; name them with --mos-column, "
            "or make a workspace first with `vqa init`"
        )
    labels = folder / _LABELS
    if labels.exists() and labels.read_bytes() != _labels_text(rated).encode("utf-8"):
        raise TableError(f"{labels} is there already and not the file's; move it, or use `vqa init` with these labels")
    return Workspace(folder, DatasetSettings(videos="", labels=_LABELS))


def _make_workspace(workspace: Workspace, rated: RatedIds) -> Path:
    write_text(workspace.root / _LABELS, _labels_text(rated))
    return write_workspace(workspace)


def _labels_text(rated: RatedIds) -> str:
    """Return a label file of the rows that have a MOS."""
    columns: dict[str, tuple[object, ...]] = {"id": rated.ids}
    columns["mos"] = () if rated.mos is None else tuple(rated.mos.tolist())
    columns |= {} if rated.groups is None else {"group": rated.groups}
    columns |= {} if rated.splits is None else {"split": rated.splits}
    rows = enumerate(zip(*columns.values(), strict=True))
    return csv_text([tuple(columns), *(cells for row, cells in rows if _has_mos(rated, row))])
