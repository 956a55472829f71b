"""Rows of video, MOS, group and split: the files of a dataset, matched with its labels."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from vqa.errors import LabelsError
from vqa.files import VIDEO_SUFFIXES
from vqa.labels import Columns, Hdf5Reader, Label, read_label_files
from vqa.urls import Place, is_url, place_of

__all__ = ["VIDEO_SUFFIXES", "Columns", "Dataset", "VideoRow", "read_dataset", "read_rated_ids"]

_GUESS_ALL = Columns()


@dataclass(frozen=True)
class VideoRow:
    """One video of a dataset."""

    id: str
    path: Place | None
    """None in a dataset of imported features only."""
    mos: float | None
    """Mean opinion score on the dataset's own scale; None where the labels do not name the video."""
    group: str | None
    """Source content, None where the labels have no such column; a blank cell makes the id its own group."""
    split: str | None
    """`train`, `val` or `test`; None where the labels have no such column."""

    @property
    def file(self) -> Place:
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
    labels: Path | Sequence[Path] | None,
    *,
    columns: Columns = _GUESS_ALL,
    file_splits: Sequence[str] = (),
    name_template: str | Sequence[str] = "{id}",
    allow_missing: bool = False,
    labelled_only: bool = False,
    read_hdf5: Hdf5Reader | None = None,
) -> Dataset:
    """Read label files and find each video's file.

    An id, put into the template, names the file whose path ends in it, with or without the file's suffix: `725`,
    `725.mp4` and `batch1/725` all name `lsvq/batch1/725.mp4`. Where several files fit, one whose whole path below the
    folder fits is taken; else the id is refused.

    Args:
        videos: A folder, searched with all below it for known video suffixes, or a glob, or one file; or a URL of such.
        labels: One or more label files as `vqa.labels.read_labels` takes them, or None if the videos have no labels.
        columns: Which columns of the label files hold what.
        file_splits: Split of each label file's videos, as `vqa.labels.read_label_files` takes them.
        name_template: How a video's name is made of its id, such as `{id}_crf_10.mp4`; of several, the first that
            fits a file.
        allow_missing: Whether a label without a file is listed in `missing` rather than refused.
        labelled_only: Whether videos without a label are left out of the rows.
        read_hdf5: Reads label files of MATLAB 7.3; they are refused without it.

    Raises:
        LabelsError: no videos, or labels that can't be read or do not fit them.
    """
    templates = (name_template,) if isinstance(name_template, str) else tuple(name_template)
    for template in templates:
        if "{id}" not in template:
            raise LabelsError(f"name template {template!r} has no {{id}} in it; write one like '{{id}}_small.mp4'")
    base, paths = find_videos(videos)
    files = () if labels is None else (labels,) if isinstance(labels, Path) else tuple(labels)
    entries = read_label_files(files, columns, splits=file_splits, read_hdf5=read_hdf5)
    rows, missing = _match(entries, _Index(base, paths), templates)
    others = _unlabelled(base, paths, rows)
    _check_match(videos, files, rows=rows, missing=missing, others=others, allow_missing=allow_missing)
    return Dataset(
        rows=tuple(rows if labelled_only else [*rows, *others]),
        missing=tuple(missing),
        unlabelled=tuple(row.id for row in others),
    )


def _check_match(
    videos: str,
    files: Sequence[Path],
    *,
    rows: Sequence[VideoRow],
    missing: Sequence[str],
    others: Sequence[VideoRow],
    allow_missing: bool,
) -> None:
    """Refuse labels without a file, unless they are allowed and some have one."""
    told, count = ", ".join(map(str, files)), len(rows) + len(missing)
    if missing and not allow_missing:
        nameless = f", and {len(others)} files have no label ({_first([row.id for row in others])})" if others else ""
        raise LabelsError(
            f"{told}: {len(missing)} of {count} videos have no file under {videos} ({_first(missing)}){nameless}; "
            "check the folder, or use --allow-missing or --name-template"
        )
    if files and not rows:
        raise LabelsError(
            f"{told}: no labelled row is left, none of {count} has a file under {videos}; "
            "check the folder, or use --name-template"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")


def read_rated_ids(
    labels: Path | Sequence[Path],
    *,
    columns: Columns = _GUESS_ALL,
    file_splits: Sequence[str] = (),
    read_hdf5: Hdf5Reader | None = None,
) -> Dataset:
    """Read the labels of a dataset that has imported features and no videos; arguments as of `read_dataset`.

    Raises:
        LabelsError: the labels can't be read.
    """
    files = (labels,) if isinstance(labels, Path) else tuple(labels)
    entries = read_label_files(files, columns, splits=file_splits, read_hdf5=read_hdf5)
    return Dataset(tuple(VideoRow(each.id, None, each.mos, each.group, each.split) for each in entries), (), ())


def _match(entries: Sequence[Label], index: _Index, templates: Sequence[str]) -> tuple[list[VideoRow], list[str]]:
    """Return a row for each label that has a file, and the ids of the others."""
    rows: list[VideoRow] = []
    missing: list[str] = []
    owners: dict[Place, Label] = {}
    for entry in entries:
        names = (template.replace("{id}", entry.id) for template in templates)
        paths = next(filter(None, map(index.find, names)), [])
        if not paths:
            missing.append(entry.id)
            continue
        if len(paths) > 1:
            raise LabelsError(
                f"{entry.file}, line {entry.line}: id {entry.id!r} fits both {paths[0]} and {paths[1]}; "
                "write more of the path into the id, or narrow the videos"
            )
        owner = owners.setdefault(paths[0], entry)
        if owner is not entry:
            where = f"{owner.file}: {owner.id!r} in line {owner.line} and {entry.id!r} in line {entry.line}"
            raise LabelsError(f"{where} are one file, {paths[0]}; keep one of them")
        rows.append(VideoRow(entry.id, paths[0], entry.mos, entry.group, entry.split))
    return rows, missing


def _unlabelled(base: Place, paths: Sequence[Place], labelled: Sequence[VideoRow]) -> list[VideoRow]:
    """Return a row for each video that no label names, under an id made of its path."""
    used, ids = {row.path for row in labelled}, {row.id for row in labelled}
    rows = []
    for path in paths:
        if path not in used:
            name = path.relative_to(str(base)).as_posix()
            rows.append(VideoRow(path.as_posix() if name in ids else name, path, None, None, None))
    return rows


def find_videos(videos: str) -> tuple[Place, list[Place]]:
    """Return the folder that ids are relative to, and the sorted paths of all videos in a folder or of a glob.

    Raises:
        LabelsError: there is none, or they can't be listed.
    """
    try:
        base, paths = _search_remote(videos) if is_url(videos) else _search(Path(videos).expanduser())
    except (ValueError, OSError, RuntimeError) as error:
        raise LabelsError(f"{videos}: the videos can't be listed ({error}); name a folder or a glob") from error
    visible = sorted((path for path in paths if not path.name.startswith(".")), key=lambda path: path.parts)
    if not visible:
        raise LabelsError(f"{videos}: no videos found; name a folder that holds some, or a glob like 'clips/*.mp4'")
    return base, visible


def _search(videos: Path) -> tuple[Place, list[Place]]:
    """Return the deepest folder that a path or glob names as it stands, and the files that fit."""
    base = next(folder for folder in (videos, *videos.parents) if folder.is_dir() or folder == folder.parent)
    if base == videos:
        return base, [path for path in _walk(base) if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos.is_file():
        return base, [videos]
    return base, [path for path in base.glob(str(videos.relative_to(base))) if not path.is_dir()]


def _search_remote(videos: str) -> tuple[Place, list[Place]]:
    """Do the same with a URL; nothing is asked of folders one by one."""
    whole = place_of(videos)
    if isinstance(whole, Path):
        return _search(whole)
    base = next(folder for folder in (whole, *whole.parents) if not glob.has_magic(str(folder)))
    if base != whole:
        return base, [path for path in base.glob(str(whole.relative_to(base))) if not path.is_dir()]
    if whole.is_file():
        return whole.parent, [whole]
    found = [path for path in whole.walk_files() if path.suffix.lower() in VIDEO_SUFFIXES]
    return base, [path for path in found if not _is_hidden(path.relative_to(base).parent)]


def _is_hidden(folder: PurePath) -> bool:
    return any(part.startswith(".") for part in folder.parts)


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

    def __init__(self, base: Place, paths: Iterable[Place]) -> None:
        self._whole: dict[str, list[Place]] = {}
        self._ends: dict[str, list[Place]] = {}
        folder = base.absolute().name
        for path in paths:
            name = path.relative_to(str(base))
            for text in dict.fromkeys([name.as_posix(), name.with_suffix("").as_posix()]):
                self._whole.setdefault(text, []).append(path)
                parts = (folder, *PurePosixPath(text).parts)
                for start in range(len(parts)):
                    self._ends.setdefault("/".join(parts[start:]), []).append(path)

    def find(self, name: str) -> list[Place]:
        """Return the files a name fits: with their whole path if any does, else with the end of it."""
        name = PurePosixPath(name).as_posix()
        return self._whole.get(name) or self._ends.get(name, [])
