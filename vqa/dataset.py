"""Rows of video, MOS, group and split: the files of a dataset, matched with its labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqa.errors import LabelsError
from vqa.files import VIDEO_SUFFIXES
from vqa.labels import Columns, Label, read_labels

__all__ = ["VIDEO_SUFFIXES", "Columns", "Dataset", "VideoRow", "read_dataset", "read_rated_ids"]

_GUESS_ALL = Columns()


@dataclass(frozen=True)
class VideoRow:
    """One video of a dataset."""

    id: str
    path: Path | None
    """None in a dataset of imported features only."""
    mos: float | None
    """Mean opinion score on the dataset's own scale; None where the labels do not name the video."""
    group: str | None
    """Source content, None where the labels have no such column; a blank cell makes the id its own group."""
    split: str | None
    """`train`, `val` or `test`; None where the labels have no such column."""

    @property
    def file(self) -> Path:
        """Its path.

        Raises:
            LabelsError: it has none.
        """
        if self.path is None:
            raise LabelsError(f"{self.id}: this dataset has no videos; name them as `videos` in vqa.toml")
        return self.path


@dataclass(frozen=True)
class Dataset:
    """The videos of a dataset that have a file."""

    rows: tuple[VideoRow, ...]
    """Labelled videos in the order of the labels, then the others in the order of their paths."""
    missing: tuple[str, ...]
    """Ids that have a label and no file."""
    unlabelled: tuple[str, ...]
    """Ids, made of the path, of videos without a label, whether or not they are among the rows."""

    @property
    def labelled(self) -> tuple[VideoRow, ...]:
        """The rows with a MOS."""
        return tuple(row for row in self.rows if row.mos is not None)

    def training_rows(self) -> tuple[VideoRow, ...]:
        """Return the labelled rows of split `train`, or all labelled rows where the dataset has no splits."""
        if all(row.split is None for row in self.rows):
            return self.labelled
        return tuple(row for row in self.labelled if row.split == "train")


def read_dataset(
    videos: str,
    labels: Path | None,
    *,
    columns: Columns = _GUESS_ALL,
    name_template: str = "{id}",
    allow_missing: bool = False,
    labelled_only: bool = False,
) -> Dataset:
    """Read a label file and find each video's file.

    An id, put into the template, names the file whose path ends in it, with or without the file's suffix: `725`,
    `725.mp4` and `batch1/725` all name `lsvq/batch1/725.mp4`. Where several files fit, one whose whole path below the
    folder fits is taken; else the id is refused.

    Args:
        videos: A folder, searched with all below it for known video suffixes, or a glob, or one file.
        labels: A label file as `vqa.labels.read_labels` takes it, or None if the videos have no labels.
        columns: Which columns of the label file hold what.
        name_template: How a video's name is made of its id, such as `{id}_crf_10.mp4`.
        allow_missing: Whether a label without a file is listed in `missing` rather than refused.
        labelled_only: Whether videos without a label are left out of the rows.

    Raises:
        LabelsError: no videos, or labels that can't be read or do not fit them.
    """
    if "{id}" not in name_template:
        raise LabelsError(f"name template {name_template!r} has no {{id}} in it; write one like '{{id}}_small.mp4'")
    base, paths = _find_videos(videos)
    entries = [] if labels is None else read_labels(labels, columns)
    rows, missing = _match(entries, _Index(base, paths), name_template, labels)
    if missing and not allow_missing:
        names = ", ".join(map(repr, missing[:3])) + (", ..." if len(missing) > 3 else "")
        raise LabelsError(
            f"{labels}: {len(missing)} of {len(entries)} videos have no file under {videos} ({names}); "
            "check the folder, or use --allow-missing or --name-template"
        )
    if labels is not None and not rows:
        raise LabelsError(
            f"{labels}: no labelled row is left, none of {len(entries)} has a file under {videos}; "
            "check the folder, or use --name-template"
        )
    others = _unlabelled(base, paths, rows)
    return Dataset(
        rows=tuple(rows if labelled_only else [*rows, *others]),
        missing=tuple(missing),
        unlabelled=tuple(row.id for row in others),
    )


def read_rated_ids(labels: Path, columns: Columns = _GUESS_ALL) -> Dataset:
    """Read the label file of a dataset that has imported features and no videos.

    Raises:
        LabelsError: the labels can't be read.
    """
    rows = (VideoRow(entry.id, None, entry.mos, entry.group, entry.split) for entry in read_labels(labels, columns))
    return Dataset(tuple(rows), (), ())


def _match(
    entries: Sequence[Label], index: _Index, name_template: str, labels: Path | None
) -> tuple[list[VideoRow], list[str]]:
    """Return a row for each label that has a file, and the ids of the others."""
    rows: list[VideoRow] = []
    missing: list[str] = []
    owners: dict[Path, Label] = {}
    for entry in entries:
        paths = index.find(name_template.replace("{id}", entry.id))
        if not paths:
            missing.append(entry.id)
            continue
        if len(paths) > 1:
            raise LabelsError(
                f"{labels}, line {entry.line}: id {entry.id!r} fits both {paths[0]} and {paths[1]}; "
                "write more of the path into the id, or narrow the videos"
            )
        owner = owners.setdefault(paths[0], entry)
        if owner is not entry:
            raise LabelsError(
                f"{labels}: {owner.id!r} in line {owner.line} and {entry.id!r} in line {entry.line} are one file, "
                f"{paths[0]}; keep one of them"
            )
        rows.append(VideoRow(entry.id, paths[0], entry.mos, entry.group, entry.split))
    return rows, missing


def _unlabelled(base: Path, paths: Sequence[Path], labelled: Sequence[VideoRow]) -> list[VideoRow]:
    """Return a row for each video that no label names, under an id made of its path."""
    used, ids = {row.path for row in labelled}, {row.id for row in labelled}
    rows = []
    for path in paths:
        if path not in used:
            name = path.relative_to(base).as_posix()
            rows.append(VideoRow(path.as_posix() if name in ids else name, path, None, None, None))
    return rows


def _find_videos(videos: str) -> tuple[Path, list[Path]]:
    """Return the folder that ids are relative to, and the sorted paths of all videos in it."""
    try:
        base, paths = _search(Path(videos).expanduser())
    except (ValueError, OSError, RuntimeError) as error:
        raise LabelsError(f"{videos}: the videos can't be listed ({error}); name a folder or a glob") from error
    visible = sorted(path for path in paths if not path.name.startswith("."))
    if not visible:
        raise LabelsError(f"{videos}: no videos found; name a folder that holds some, or a glob like 'clips/*.mp4'")
    return base, visible


def _search(videos: Path) -> tuple[Path, list[Path]]:
    """Return the deepest folder that a path or glob names as it stands, and the files that fit."""
    base = next(folder for folder in (videos, *videos.parents) if folder.is_dir() or folder == folder.parent)
    if base == videos:
        return base, [path for path in _walk(base) if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos.is_file():
        return base, [videos]
    return base, [path for path in base.glob(str(videos.relative_to(base))) if not path.is_dir()]


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it, hidden folders left out.

    Each folder is entered once, so that links can't lead round for ever, and by its own name rather than by a link
    to it.
    """
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        status = current.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in sorted(os.scandir(current), key=lambda entry: entry.name):
            if not _is_folder(entry):
                yield Path(entry.path)
            elif not entry.name.startswith("."):
                (links if entry.is_symlink() else folders).append(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link that leads round to itself is none: it fails as a video."""
    try:
        return entry.is_dir()
    except OSError:
        return False


class _Index:
    """Finds a video by the end of its path.

    lsvq/batch1/725.mp4 -> 725.mp4, batch1/725.mp4, lsvq/batch1/725.mp4, and each without .mp4
    """

    def __init__(self, base: Path, paths: Iterable[Path]) -> None:
        self._whole: dict[str, list[Path]] = {}
        self._ends: dict[str, list[Path]] = {}
        folder = base.absolute().name
        for path in paths:
            name = path.relative_to(base)
            for text in dict.fromkeys([name.as_posix(), name.with_suffix("").as_posix()]):
                self._whole.setdefault(text, []).append(path)
                parts = (folder, *PurePosixPath(text).parts)
                for start in range(len(parts)):
                    self._ends.setdefault("/".join(parts[start:]), []).append(path)

    def find(self, name: str) -> list[Path]:
        """Return the files a name fits: with their whole path if any does, else with the end of it."""
        name = PurePosixPath(name).as_posix()
        return self._whole.get(name) or self._ends.get(name, [])
