"""Rows of video, MOS, group and split: the files of a dataset, matched with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa.dataset.videos import VideoIndex, find_videos
from vqa.errors import LabelsError
from vqa.files import VIDEO_SUFFIXES, look_alike
from vqa.labels import Columns, Hdf5Reader, Label, read_label_files
from vqa.urls import Place

__all__ = ["VIDEO_SUFFIXES", "Columns", "Dataset", "VideoRow", "find_videos", "read_dataset", "read_rated_ids"]

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
    folder fits is taken; else the id is refused. An absolute path names that very file. Names that look alike are
    one, whatever their Unicode form.

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
    rows, missing = _match(entries, VideoIndex(base, paths), templates)
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


def _match(entries: Sequence[Label], index: VideoIndex, templates: Sequence[str]) -> tuple[list[VideoRow], list[str]]:
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
            raise LabelsError(f"{entry.file}, line {entry.line}: id {entry.id!r} fits both {_both(paths)}")
        owner = owners.setdefault(paths[0], entry)
        if owner is not entry:
            where = f"{owner.file}: {owner.id!r} in line {owner.line} and {entry.id!r} in line {entry.line}"
            raise LabelsError(f"{where} are one file, {paths[0]}; keep one of them")
        rows.append(VideoRow(entry.id, paths[0], entry.mos, entry.group, entry.split))
    return rows, missing


def _both(paths: Sequence[Place]) -> str:
    """Name two files that an id fits, and say what to do."""
    one, other = map(str, paths[:2])
    if look_alike(one, other):
        return f"{one!a} and {other!a}, whose names look alike and differ in their Unicode form; rename one of them"
    return f"{one} and {other}; write more of the path into the id, or narrow the videos"


def _unlabelled(base: Place, paths: Sequence[Place], labelled: Sequence[VideoRow]) -> list[VideoRow]:
    """Return a row for each video that no label names, under an id made of its path."""
    used, ids = {row.path for row in labelled}, {row.id for row in labelled}
    rows = []
    for path in paths:
        if path not in used:
            name = path.relative_to(str(base)).as_posix()
            rows.append(VideoRow(path.as_posix() if name in ids else name, path, None, None, None))
    return rows
