"""Label files: one line for each video with its id, MOS, and maybe its group and split."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa.errors import LabelsError

_GUESSES = {
    "id": ("id", "video", "filename", "file", "file_name", "name", "vid", "flickr_id", "video_name", "path"),
    "mos": ("mos", "MOSFull", "mos_score", "score", "mean_opinion_score"),
    "group": ("group", "content", "source", "scene"),
    "split": ("split", "set"),
}
_NEEDED = ("id", "mos")
_SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_SPLITS |= {split: split for split in ("train", "val", "test")}
_HEADERLESS = {2: ["name", "mos"], 4: ["name", "duration", "fps", "mos"]}
"""Columns of files without a header, by their number."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a label file: None to guess, empty for a group or split that is not to be read."""

    id: str | None = None
    mos: str | None = None
    group: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Label:
    """One line of a label file."""

    line: int
    """Counted from 1, the header included."""
    id: str
    mos: float
    group: str | None
    """Source content, None where there is no such column; a blank cell makes the id its own group."""
    split: str | None
    """`train`, `val` or `test`; None where there is no such column."""


def read_labels(file: Path, columns: Columns) -> list[Label]:
    """Read a label file.

    Args:
        file: CSV in UTF-8 with a header (comma, semicolon or tab), or without one and with 2 or 4 columns: name, MOS
            or name, duration, frame rate, MOS.
        columns: Which columns hold what.

    Returns:
        At least one label, each id once, in the order of the file.

    Raises:
        LabelsError: the file can't be read, or a line in it can't be used.
    """
    lines = _read_cells(file)
    header = _headerless(lines[0][1])
    if header is None:
        header = lines.pop(0)[1]
    places = {what: _find_column(header, what, getattr(columns, what), file) for what in _GUESSES}
    labels = [_label(cells, places, len(header), f"{file}, line {line}", line) for line, cells in lines]
    if not labels:
        raise LabelsError(f"{file}: has a header and no rows; name a file with one row for each video")
    first_lines: dict[str, int] = {}
    for label in labels:
        first = first_lines.setdefault(label.id, label.line)
        if first != label.line:
            raise LabelsError(f"{file}: id {label.id!r} stands in lines {first} and {label.line}; keep one of them")
    return labels


def _read_cells(file: Path) -> list[tuple[int, list[str]]]:
    """Return line number and cells of each line that is not blank."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LabelsError(f"{file}: the labels can't be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise LabelsError(f"{file}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise LabelsError(f"{file}, line {reader.line_num}: is no CSV ({error}); save it as CSV in UTF-8") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise LabelsError(f"{file}: is empty; name a file with a header and one row for each video")
    return lines


def _headerless(cells: Sequence[str]) -> list[str] | None:
    """Return the columns of a file whose first line holds values, None where that line is a header."""
    if any(_number(cell) is None for cell in cells[1:]):
        return None
    return _HEADERLESS.get(len(cells))


def _number(text: str) -> float | None:
    """Return a finite number, None for anything else."""
    try:
        value = float(text) if "_" not in text else math.nan  # Python would read 1_5 as 15
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _find_column(header: Sequence[str], what: str, wanted: str | None, file: Path) -> int | None:
    """Return a column's place, None for a group or split that is not there or not wanted."""
    if wanted == "" and what not in _NEEDED:
        return None
    for name in _GUESSES[what] if wanted is None else (wanted,):
        places = [place for place, cell in enumerate(header) if cell.casefold() == name.casefold()]
        if len(places) > 1:
            raise LabelsError(f"{file}: column {name!r} stands twice; rename one, or name another with --{what}-column")
        if places:
            return places[0]
    if wanted is None and what not in _NEEDED:
        return None
    wish = f"column {wanted!r}" if wanted else f"column known to hold the {what if what == 'id' else 'MOS'}"
    raise LabelsError(
        f"{file}: has no {wish}, but {', '.join(map(repr, header))}; name the right one with --{what}-column"
    )


def _label(cells: Sequence[str], places: Mapping[str, int | None], width: int, where: str, line: int) -> Label:
    """Check one line of a label file."""
    if len(cells) < width or any(cells[width:]):  # a decimal comma would otherwise be read as another number
        raise LabelsError(f"{where}: has {len(cells)} fields, not {width}; quote a comma inside a field")
    values = {what: None if place is None else cells[place] for what, place in places.items()}
    name, mos = values["id"] or "", _number(values["mos"] or "")
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
        line=line,
        id=name,
        mos=mos,
        group=name if group == "" else group,
        split=None if split is None else _SPLITS[split.casefold()],
    )
