"""Label files: one line for each video with its id, MOS, and maybe its group and split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqa.errors import LabelsError
from vqa.files import composed, look_alike
from vqa.label_tables import LabelTable, find_number, read_csv_table
from vqa.matlab import Hdf5Reader, is_matlab, read_matlab_columns

__all__ = ["Columns", "Hdf5Reader", "Label", "read_label_files", "read_labels"]

_GUESSES = {
    "id": (
        *("id", "video", "filename", "file", "file_name", "name", "vid", "flickr_id", "video_name", "path"),
        *("video_names", "video_list"),
    ),
    "mos": ("mos", "MOSFull", "mos_score", "score", "mean_opinion_score", "scores"),
    "group": ("group", "content", "source", "scene"),
    "split": ("split", "set"),
}
_NEEDED = ("id", "mos")
_SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_SPLITS |= {split: split for split in ("train", "val", "test")}
_STRENGTH = {None: 0, "train": 1, "val": 2, "test": 3}
"""Of two files that name the same video, the one with the stronger split decides."""
_SAME_MOS = 1e-6
"""Scores that differ by less are one score, rounded twice."""


@dataclass(frozen=True)
class Columns:
    """How a label file is read: its columns, and what is taken of them.

    A column's name is None to guess, empty for a group or split that is not to be read; of several names the first
    that is there counts. A field of a MATLAB struct may be named without the structs it lies in.
    """

    id: str | tuple[str, ...] | None = None
    mos: str | tuple[str, ...] | None = None
    group: str | None = None
    split: str | None = None
    id_pattern: str | None = None
    """Regular expression with one group, which is the id, that fits each whole cell of the id column."""
    group_pattern: str | None = None
    """Regular expression with one group, which is the source content, that fits each whole id; in place of a column."""


@dataclass(frozen=True)
class Label:
    """One line of a label file."""

    file: Path
    line: int
    """Counted from 1, the header included."""
    id: str
    mos: float
    group: str | None
    """Source content, None where there is no such column; a blank cell makes the id its own group."""
    split: str | None
    """`train`, `val` or `test`; None where there is no such column."""


def read_label_files(
    files: Sequence[Path], columns: Columns, *, splits: Sequence[str] = (), read_hdf5: Hdf5Reader | None = None
) -> list[Label]:
    """Read several label files as one.

    A video may stand in several of them with one MOS. It then has the strongest split that any of them gives it: test
    before validation before training, so that a video that is in some list a test video is never trained on.

    Args:
        files: As `read_labels` takes them.
        columns: How they are read.
        splits: Split of each file's videos, or empty for what the file's own column says; none for all of them so.
        read_hdf5: As for `read_labels`.

    Returns:
        Each id once, in the order of the files.

    Raises:
        LabelsError: a file can't be read, or two of them give a video different scores.
    """
    if splits and len(splits) != len(files):
        raise LabelsError(f"{len(splits)} splits are given for {len(files)} label files; give one for each file")
    labels: dict[str, Label] = {}
    for file, split in zip(files, splits or [""] * len(files), strict=True):
        for label in read_labels(file, columns, read_hdf5=read_hdf5):
            told = replace(label, split=split) if split else label
            name = composed(label.id)
            labels[name] = _stronger(labels[name], told) if name in labels else told
    return list(labels.values())


def _stronger(first: Label, second: Label) -> Label:
    """Return the one of two labels of a video that decides."""
    if abs(first.mos - second.mos) > _SAME_MOS * max(1.0, abs(first.mos)):
        raise LabelsError(
            f"{second.file}, line {second.line}: the MOS of {second.id!r} is {second.mos:g}, but {first.mos:g} in "
            f"{first.file}, line {first.line}; keep one of them"
        )
    return second if _STRENGTH[second.split] > _STRENGTH[first.split] else first


def read_labels(file: Path, columns: Columns, *, read_hdf5: Hdf5Reader | None = None) -> list[Label]:
    """Read a label file.

    Args:
        file: CSV in UTF-8 with a header (comma, semicolon or tab), or without one and with 2 or 4 columns: name, MOS
            or name, duration, frame rate, MOS; or a MATLAB file whose variables or struct fields are the columns.
        columns: Which columns hold what.
        read_hdf5: Reads files of MATLAB 7.3; they are refused without it.

    Returns:
        At least one label, each id once, in the order of the file.

    Raises:
        LabelsError: the file can't be read, or a line in it can't be used.
    """
    table = _matlab_table(file, columns, read_hdf5) if is_matlab(file) else read_csv_table(file)
    places = {what: _find_column(table.header, what, getattr(columns, what), file) for what in _GUESSES}
    width = len(table.header)
    labels = [
        _fit_patterns(_label(cells, places, width, file, line, table.unit), columns, f"{file}, {table.unit} {line}")
        for line, cells in table.lines
    ]
    if not labels:
        raise LabelsError(f"{file}: has a header and no rows; name a file with one row for each video")
    firsts: dict[str, Label] = {}
    for label in labels:
        first = firsts.setdefault(composed(label.id), label)
        if first is not label:
            forms = ", in two Unicode forms that look alike" if look_alike(first.id, label.id) else ""
            raise LabelsError(
                f"{file}: id {label.id!r} stands in {table.unit}s {first.line} and {label.line}{forms}; "
                "keep one of them"
            )
    return labels


def _matlab_table(file: Path, columns: Columns, read_hdf5: Hdf5Reader | None) -> LabelTable:
    """Return the wanted columns of a MATLAB file, which also holds others of any length."""
    found = read_matlab_columns(file, read_hdf5)
    header = list(found)
    wanted = {what: _find_column(header, what, getattr(columns, what), file) for what in _GUESSES}
    names = [header[place] for place in wanted.values() if place is not None]
    lengths = {name: len(found[name]) for name in names}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} in {name!r}" for name, length in lengths.items())
        raise LabelsError(f"{file}: its columns differ in length ({told}); name others with --id-column, --mos-column")
    rows = zip(*(found[name] for name in names), strict=True)
    return LabelTable(names, [(number, list(cells)) for number, cells in enumerate(rows, start=1)], "row")


def _find_column(header: Sequence[str], what: str, wanted: str | tuple[str, ...] | None, file: Path) -> int | None:
    """Return a column's place, None for a group or split that is not there or not wanted."""
    if wanted == "" and what not in _NEEDED:
        return None
    names = (wanted,) if isinstance(wanted, str) else wanted
    for name in _GUESSES[what] if names is None else names:
        places = _places(header, name)
        if len(places) > 1:
            raise LabelsError(f"{file}: column {name!r} stands twice; rename one, or name another with --{what}-column")
        if places:
            return places[0]
    if wanted is None and what not in _NEEDED:
        return None
    wish = f"column {' or '.join(map(repr, names))}" if names else f"column known to hold the {_meaning(what)}"
    raise LabelsError(
        f"{file}: has no {wish}, but {', '.join(map(repr, header))}; name the right one with --{what}-column"
    )


def _places(header: Sequence[str], name: str) -> list[int]:
    """Return where a name stands: as a whole, else as the last part of a dotted one."""
    cells, name = [cell.casefold() for cell in header], name.casefold()
    whole = [place for place, cell in enumerate(cells) if cell == name]
    return whole or [place for place, cell in enumerate(cells) if cell.endswith(f".{name}")]


def _meaning(what: str) -> str:
    return "MOS" if what == "mos" else what


def _label(
    cells: Sequence[str], places: Mapping[str, int | None], width: int, file: Path, line: int, unit: str
) -> Label:
    """Check one line of a label file."""
    where = f"{file}, {unit} {line}"
    if len(cells) < width or any(cells[width:]):  # a decimal comma would otherwise be read as another number
        raise LabelsError(f"{where}: has {len(cells)} fields, not {width}; quote a comma inside a field")
    values = {what: None if place is None else cells[place] for what, place in places.items()}
    name, mos = values["id"] or "", find_number(values["mos"] or "")
    if not name:
        raise LabelsError(f"{where}: has no id; fill it in or remove the line")
    if mos is None:
        raise LabelsError(f"{where}: the MOS of {name!r} is {values['mos']!r}, no number; correct or remove the line")
    group, split = values["group"], values["split"]
    if split is not None and split.casefold() not in _SPLITS:
        raise LabelsError(
            f"{where}: the split of {name!r} is {split!r}, not train, val or test; correct it, or use --split-column ''"
        )
    return Label(
        file=file,
        line=line,
        id=name,
        mos=mos,
        group=name if group == "" else group and composed(group),
        split=None if split is None else _SPLITS[split.casefold()],
    )


def _fit_patterns(label: Label, columns: Columns, where: str) -> Label:
    """Take the id out of its cell, and the group out of the id, as the patterns say."""
    if columns.id_pattern is not None:
        name = _fit(columns.id_pattern, label.id, f"{where}: {label.id!r} does not fit id_pattern")
        label = replace(label, id=name, group=name if label.group == label.id else label.group)
    if columns.group_pattern is not None:
        group = _fit(columns.group_pattern, label.id, f"{where}: {label.id!r} does not fit group_pattern")
        label = replace(label, group=group)
    return label


def _fit(pattern: str, text: str, problem: str) -> str:
    """Return the part of a text that a pattern's group takes."""
    match = re.fullmatch(pattern, text)
    if match is None or not match[1]:
        raise LabelsError(f"{problem} {pattern!r}; check that this is the right file, or correct the pattern")
    return match[1]
