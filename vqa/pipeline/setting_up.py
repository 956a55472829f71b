"""Init: a workspace from a folder of videos and a file of labels, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vqa.extract.backends import find_backend
from vqa.extract.pools import expand_models
from vqa.pipeline.opening import open_dataset
from vqa.workspace import DatasetSettings, ExtractSettings, Workspace, write_workspace

_DEFAULT_EXTRACT = ExtractSettings()


@dataclass(frozen=True)
class InitReport:
    """What `init_workspace` found."""

    file: Path
    """The new `vqa.toml`."""
    labelled: int
    groups: int
    """Source contents, or 0 where no column names them."""
    missing: tuple[str, ...]
    """Ids that have a label but no file."""
    unlabelled: tuple[str, ...]
    """Videos that have a file but no label."""
    unlabelled_kept: bool
    """Whether videos without a label are extracted too."""
    mos_range: tuple[float, float] | None
    features_only: bool = False
    """Whether the dataset has no videos, but imported features."""


def init_workspace(folder: Path, dataset: DatasetSettings, extract: ExtractSettings = _DEFAULT_EXTRACT) -> InitReport:
    """Check that labels and videos fit, and write a new workspace's `vqa.toml`.

    Args:
        folder: The new workspace; made if missing.
        dataset: Its paths are relative to the current folder; what lies in the workspace is written relative to it.
        extract: Models, frames, precision.

    Raises:
        UnknownModelError: `extract` names a model that does not exist.
        LabelsError: labels and videos do not fit; nothing was written.
        WorkspaceError: the folder is a workspace already.
    """
    for spec in expand_models(extract.models, frames=extract.frames):
        find_backend(spec.backend)
    labels = None if dataset.labels is None else _from_workspace(folder, dataset.labels)
    videos = _from_workspace(folder, dataset.videos) if dataset.videos else ""
    placed = replace(dataset, videos=videos, labels=labels)
    workspace = Workspace(root=folder, dataset=placed, extract=extract)
    found = open_dataset(workspace)
    file = write_workspace(workspace)
    mos = [row.mos for row in found.labelled if row.mos is not None]
    return InitReport(
        file=file,
        labelled=len(mos),
        groups=len({row.group for row in found.labelled if row.group is not None}),
        missing=found.missing,
        unlabelled=found.unlabelled,
        unlabelled_kept=not dataset.labelled_only,
        mos_range=(min(mos), max(mos)) if mos else None,
        features_only=not videos,
    )


def _from_workspace(folder: Path, path: str) -> str:
    """Write a path as it is seen from the workspace: relative if it lies in it, else absolute."""
    absolute, root = Path(path).expanduser().absolute(), folder.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
