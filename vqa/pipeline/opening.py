"""What every command starts from: the workspace's dataset, and the time."""

from __future__ import annotations

from datetime import UTC, datetime

from vqa.dataset import Columns, Dataset, read_dataset
from vqa.workspace import Workspace


def open_dataset(workspace: Workspace) -> Dataset:
    """Read a workspace's videos and labels as its `vqa.toml` says.

    Raises:
        LabelsError: they can't be read or do not fit each other.
    """
    settings = workspace.dataset
    labels = None if settings.labels is None else workspace.resolve(settings.labels)
    columns = Columns(settings.id_column, settings.mos_column, settings.group_column, settings.split_column)
    return read_dataset(
        str(workspace.resolve(settings.videos)),
        labels,
        columns=columns,
        name_template=settings.name_template,
        allow_missing=settings.allow_missing,
        labelled_only=settings.labelled_only,
    )


def now_utc() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
