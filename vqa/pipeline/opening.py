"""What every command starts from: the workspace's dataset, and the time."""

from __future__ import annotations

from datetime import UTC, datetime

from vqa.dataset import Columns, Dataset, read_dataset, read_rated_ids
from vqa.errors import WorkspaceError
from vqa.workspace import Workspace


def open_dataset(workspace: Workspace) -> Dataset:
    """Read a workspace's videos and labels as its `vqa.toml` says.

    Raises:
        LabelsError: they can't be read or do not fit each other.
    """
    settings = workspace.dataset
    labels = None if settings.labels is None else workspace.resolve(settings.labels)
    columns = Columns(settings.id_column, settings.mos_column, settings.group_column, settings.split_column)
    if not settings.videos and labels is not None:
        return read_rated_ids(labels, columns)
    return read_dataset(
        str(workspace.resolve(settings.videos)),
        labels,
        columns=columns,
        name_template=settings.name_template,
        allow_missing=settings.allow_missing,
        labelled_only=settings.labelled_only,
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
