"""Init: a workspace from a folder of videos and files of labels, checked before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from vqa.cache.matlab import read_matlab_hdf5
from vqa.dataset import Dataset
from vqa.errors import LabelsError
from vqa.extract.backends import find_backend
from vqa.extract.pools import expand_models
from vqa.labels import read_labels
from vqa.pipeline.opening import label_columns, open_dataset
from vqa.presets import Preset, fill_settings, find_preset, find_splits
from vqa.urls import is_url
from vqa.workspace import DatasetSettings, ExtractSettings, Workspace, write_workspace

_DEFAULT_EXTRACT = ExtractSettings()
_FEWEST_SORTED = 10
"""Fewer rows than this stand in the order of their MOS by chance."""


@dataclass(frozen=True)
class InitReport:
    """What `init_workspace` found."""

    file: Path
    """The new `vqa.toml`."""
    title: str
    """The known dataset's title, empty where none was named."""
    labelled: int
    groups: int
    """Source contents, or 0 where nothing names them."""
    splits: Mapping[str, int]
    """Labelled videos in each split, none where the labels have no split."""
    missing: tuple[str, ...]
    """Ids that have a label but no file."""
    unlabelled: tuple[str, ...]
    """Videos that have a file but no label."""
    unlabelled_kept: bool
    """Whether videos without a label are extracted too."""
    mos_range: tuple[float, float] | None
    features_only: bool
    """Whether the dataset has no videos, but imported features."""
    notes: tuple[str, ...]
    """What is odd about the labels, one sentence each."""


def init_workspace(
    folder: str | Path,
    dataset: str | Path | DatasetSettings,
    extract: ExtractSettings = _DEFAULT_EXTRACT,
    *,
    labels: str | Path | None = None,
    scale: tuple[float, float] | None = None,
    preset: str | None = None,
) -> InitReport:
    """Check that labels and videos fit, and write a new workspace's `vqa.toml`.

    Args:
        folder: The new workspace; made if missing.
        dataset: A folder of videos or a glob; or settings, where more is to be said of the dataset. Paths are relative
            to the current folder; what lies in the workspace is written relative to it.
        extract: Models, frames, precision.
        labels: The file with a row for each video, where `dataset` is no settings.
        scale: Worst and best of the labels' scale, where `dataset` is no settings; by default their range.
        preset: Name of a known dataset, which says what `dataset` leaves at its default.

    Raises:
        UnknownModelError: `extract` names a model that does not exist.
        LabelsError: labels and videos do not fit, or no such dataset is known; nothing was written.
        WorkspaceError: the folder is a workspace already.
        TypeError: labels or scale stand beside settings, which have them.
    """
    folder = Path(folder)
    dataset = _as_settings(dataset, labels, scale)
    for spec in expand_models(extract.models, frames=extract.frames):
        find_backend(spec.backend)
    known = None if preset is None else find_preset(preset)
    placed = replace(
        dataset,
        videos=_from_workspace(folder, dataset.videos) if dataset.videos else "",
        labels=_one_or_more([_from_workspace(folder, file) for file in dataset.label_files]),
    )
    workspace = Workspace(root=folder, dataset=placed, extract=extract)
    if known is not None:
        workspace = _apply(known, workspace)
    found = open_dataset(workspace)
    file = write_workspace(workspace)
    mos = [row.mos for row in found.labelled if row.mos is not None]
    return InitReport(
        file=file,
        title="" if known is None else known.title,
        labelled=len(mos),
        groups=len({row.group for row in found.labelled if row.group is not None}),
        splits=Counter(row.split for row in found.labelled if row.split is not None),
        missing=found.missing,
        unlabelled=found.unlabelled,
        unlabelled_kept=not dataset.labelled_only,
        mos_range=(min(mos), max(mos)) if mos else None,
        features_only=not dataset.videos,
        notes=tuple(_notes(mos, found, workspace.dataset, known)),
    )


def _as_settings(
    dataset: str | Path | DatasetSettings, labels: str | Path | None, scale: tuple[float, float] | None
) -> DatasetSettings:
    """Return a dataset's settings, made of its videos, labels and scale where they are none."""
    if not isinstance(dataset, DatasetSettings):
        return DatasetSettings(videos=str(dataset), labels=None if labels is None else str(labels), scale=scale)
    if labels is not None or scale is not None:
        raise TypeError("labels and scale stand in DatasetSettings; give them there")
    return dataset


def _apply(preset: Preset, workspace: Workspace) -> Workspace:
    """Let a known dataset say what the user left open, and find its official splits."""
    if not workspace.dataset.label_files:
        raise LabelsError(
            f"{preset.title}: no labels are named; name {preset.labels} with --labels; they are its authors', "
            f"see {preset.source}"
        )
    settings = fill_settings(workspace.dataset, preset)
    filled = replace(workspace, dataset=settings)
    if not preset.lists or settings.split_column is not None or settings.file_splits:
        return filled
    files = {
        file: read_labels(filled.resolve(file), label_columns(settings), read_hdf5=read_matlab_hdf5)
        for file in settings.label_files
    }
    if any(label.split is not None for labels in files.values() for label in labels):
        return filled
    splits = find_splits(preset, {file: [label.id for label in labels] for file, labels in files.items()})
    return replace(filled, dataset=replace(settings, file_splits=splits))


def _notes(mos: Sequence[float], found: Dataset, settings: DatasetSettings, preset: Preset | None) -> list[str]:
    """Say what is odd about the labels."""
    notes = []
    rows = len(mos) + len(found.missing)
    if preset is not None and rows != preset.videos:
        notes.append(f"{rows} videos have a label here, {preset.videos} in the published lists of {preset.title}")
    if settings.scale is not None:
        low, high = settings.scale
        outside = sum(not low <= score <= high for score in mos)
        if outside:
            notes.append(
                f"{outside} labels lie outside the scale from {low:g} to {high:g}; check the labels or --scale"
            )
    if len(mos) >= _FEWEST_SORTED and min(mos) < max(mos):
        rises, falls = (all(a <= b for a, b in pairwise(order)) for order in (mos, mos[::-1]))
        if rises or falls:
            notes.append(
                "the labels are sorted by MOS; splits are drawn at random, so that their order decides nothing"
            )
    return notes


def _one_or_more(files: Sequence[str]) -> str | tuple[str, ...] | None:
    """Return label files as vqa.toml has them: one as a text, several as a list."""
    return tuple(files) if len(files) > 1 else files[0] if files else None


def _from_workspace(folder: Path, path: str) -> str:
    """Write a path as it is seen from the workspace: relative if it lies in it, else absolute; a URL as it is."""
    if is_url(path):
        return path
    absolute, root = Path(path).expanduser().absolute(), folder.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
