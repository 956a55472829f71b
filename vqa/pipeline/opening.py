"""What every command starts from: the workspace's dataset, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from vqa.cache.matlab import read_matlab_hdf5
from vqa.dataset import Columns, Dataset, read_dataset, read_rated_ids
from vqa.errors import WorkspaceError
from vqa.labels import read_label_files
from vqa.workspace import DatasetSettings, Workspace


def open_dataset(workspace: Workspace) -> Dataset:
    """Read a workspace's videos and labels as its `vqa.toml` says.

    Raises:
        LabelsError: they can't be read or do not fit each other.
    """
    settings = workspace.dataset
    labels = [workspace.resolve(file) for file in settings.label_files]
    if not settings.videos:
        return read_rated_ids(
            labels,
            columns=label_columns(settings),
            file_splits=settings.file_splits,
            read_hdf5=read_matlab_hdf5,
        )
    return read_dataset(
        workspace.videos,
        labels or None,
        columns=label_columns(settings),
        file_splits=settings.file_splits,
        name_template=settings.name_template,
        allow_missing=settings.allow_missing,
        labelled_only=settings.labelled_only,
        read_hdf5=read_matlab_hdf5,
    )


def count_ignored_contents(workspace: Workspace, ids: Sequence[str]) -> int:
    """Return how many contents some videos show by label files whose contents `vqa.toml` says not to read; else 0."""
    settings = workspace.dataset
    if settings.group_column != "" or settings.group_pattern:
        return 0
    columns = replace(label_columns(settings), group=None)
    files = [workspace.resolve(file) for file in settings.label_files]
    labels = read_label_files(files, columns, splits=settings.file_splits, read_hdf5=read_matlab_hdf5)
    wanted = set(ids)
    return len({label.group for label in labels if label.group is not None and label.id in wanted})


def label_columns(settings: DatasetSettings) -> Columns:
    """Return how a workspace's label files are read."""
    return Columns(
        id=settings.id_column,
        mos=settings.mos_column,
        group=settings.group_column,
        split=settings.split_column,
        id_pattern=settings.id_pattern,
        group_pattern=settings.group_pattern,
    )


def require_videos(workspace: Workspace) -> None:
    """Refuse to look at videos where a workspace has none.

    Raises:
        WorkspaceError: it holds imported features only.
    """
    if not workspace.dataset.videos:
        raise WorkspaceError(
            f"{workspace.root} has no videos, only imported features; name its videos as `videos` in vqa.toml, "
            "or add features with `vqa cache import`"
        )


def now_utc() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
