"""Tables of features as text: CSV with a header, or a plain list of ids."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.cache.arrayfiles import MAX_BYTES, NamedArrays
from vqa.cache.key import MAX_KEY_BYTES
from vqa.cache.tablenames import SET_PREFIX, TableNames, is_id_name
from vqa.errors import TableError
from vqa.escaping import from_csv

CSV_SUFFIXES = (".csv", ".tsv")

PLAIN_SET = "columns"
"""Name of the set made of all columns that are not called SET/NUMBER."""

_RATING = re.compile(r"(d?mos|std|sos|scores?|ratings?|votes?|\w*subjects?)", re.IGNORECASE)
"""Beginnings of column names that speak of ratings: such columns are no features unless they are asked for."""
_SHOWN = 20
_MISSING = frozenset(["", "na", "n/a", "nan", "null", "none"])


@dataclass(frozen=True, eq=False)
class _Lines:
    header: Sequence[str]
    rows: Sequence[tuple[int, list[str]]]
    """Line number in the file, counted from 1, and cells."""


def read_csv(file: Path, names: TableNames) -> NamedArrays:
    """Read a CSV file with a header: comma, semicolon or tab.

    Columns called SET/0, SET/1, ... are one feature set; all other columns of numbers together are another, but for
    those whose name speaks of ratings: they would tell what is to be predicted. An empty cell is a missing one.

    Args:
        file: In UTF-8.
        names: Which columns hold ids, MOS, groups and splits; `matrices` names sets or single columns.

    Returns:
        The four columns under their own names, as text but for the MOS; each set under its name after `SET_PREFIX`.

    Raises:
        TableError: the file can't be read, or a cell is no number where its column has numbers.
    """
    lines = _read_lines(file)
    special = {what: names.find(what, lines.header, file) for what in ("id", "mos", "group", "split")}
    places = {name: lines.header.index(name) for name in special.values() if name is not None}
    arrays: dict[str, NDArray[Any]] = {name: _text_column(lines, place, file) for name, place in places.items()}
    if special["mos"] is not None:
        arrays[special["mos"]] = _mos_column(lines, places[special["mos"]], file)
    others = [place for place, name in enumerate(lines.header) if name not in places]
    columns, unusable = _number_columns(lines, others, file)
    sets = _sets(lines.header, list(columns))
    names.require_matches((*sets, *(lines.header[place] for place in columns)), file)
    sets, unasked = _asked(sets, lines.header, names)
    for name, chosen in sets.items():
        arrays[SET_PREFIX + name] = np.stack([columns[place] for place in chosen], axis=1)
    return NamedArrays(arrays, {**unusable, **dict.fromkeys(unasked, "not taken")})


def read_id_list(file: Path) -> list[str] | None:
    """Return the ids of a file with one on each line, a heading left out; None if its lines have several cells.

    Raises:
        TableError: the file can't be read.
    """
    lines = _read_cells(file)
    if any(len(cells) > 1 for _, cells in lines):
        return None
    for number, cells in lines:
        _check_length(cells[0], number, file)
    ids = [cells[0] for _, cells in lines]
    return ids[1:] if is_id_name(ids[0]) else ids


def _read_lines(file: Path) -> _Lines:
    lines = _read_cells(file)
    header = lines[0][1]
    if len(set(header)) < len(header):
        twice = Counter(header).most_common(1)[0][0]
        raise TableError(f"{file}: column {twice!r} stands twice; rename one")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise TableError(
                f"{file}, line {number}: has {len(cells)} fields, not {len(header)}; quote a comma inside a field"
            )
    if len(lines) == 1:
        raise TableError(f"{file}: has a header and no rows; name a table with one row for each video")
    return _Lines(header, lines[1:])


def _read_cells(file: Path) -> list[tuple[int, list[str]]]:
    """Return line number and cells of each line that is not blank, at least one."""
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise TableError(f"{file}: is a pipe or a device; name a file")
        if file.stat().st_size > MAX_BYTES:
            raise TableError(f"{file}: is larger than {MAX_BYTES} bytes; import it in parts")
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TableError(f"{file}: can't be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{file}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        lines = [(reader.line_num, [from_csv(cell.strip()) for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise TableError(f"{file}, line {reader.line_num}: is no CSV ({error}); save it as CSV in UTF-8") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise TableError(f"{file}: is empty; name a table with a header and one row for each video")
    return lines


def _text_column(lines: _Lines, place: int, file: Path) -> NDArray[Any]:
    for number, cells in lines.rows:
        _check_length(cells[place], number, file)
    return np.array([cells[place] for _, cells in lines.rows], dtype=str)


def _check_length(text: str, number: int, file: Path) -> None:
    """Refuse a text that a whole column would be padded to."""
    if len(text) > MAX_KEY_BYTES:
        raise TableError(
            f"{file}, line {number}: {text[:_SHOWN]!r}... has {len(text)} characters, more than {MAX_KEY_BYTES}; "
            "shorten it"
        )


def _mos_column(lines: _Lines, place: int, file: Path) -> NDArray[np.float64]:
    values = [_number(cells[place]) for _, cells in lines.rows]
    for value, (number, cells) in zip(values, lines.rows, strict=True):
        if value is None:
            raise TableError(f"{file}, line {number}: the MOS is {cells[place]!r}, no number; correct it")
    return np.array(values, dtype=np.float64)


def _number(text: str) -> float | None:
    """Return a number, NaN for a missing one, None for anything else."""
    try:
        return float(text) if "_" not in text else None  # Python would read 1_5 as 15
    except ValueError:
        return math.nan if text.casefold() in _MISSING else None


def _number_columns(
    lines: _Lines, places: Sequence[int], file: Path
) -> tuple[dict[int, NDArray[np.float64]], dict[str, str]]:
    """Return the columns of numbers by their place, and of the others names and what they are.

    Raises:
        TableError: a column has numbers in some lines and text in others.
    """
    columns: dict[int, NDArray[np.float64]] = {}
    unusable: dict[str, str] = {}
    for place in places:
        values = [_number(cells[place]) for _, cells in lines.rows]
        wrong = [row for row, value in enumerate(values) if value is None]
        if not wrong:
            columns[place] = np.array(values, dtype=np.float64)
        elif any(value is not None and not math.isnan(value) for value in values):
            number, cells = lines.rows[wrong[0]]
            raise TableError(
                f"{file}, line {number}: {lines.header[place]!r} is {cells[place]!r}, no number; "
                "correct it, or leave the cell empty where the value is missing"
            )
        else:
            unusable[lines.header[place]] = "of text"
    return columns, unusable


def _sets(header: Sequence[str], places: Sequence[int]) -> dict[str, list[int]]:
    """Return the places of each set's columns, those of a numbered set in the order of their numbers."""
    numbered: defaultdict[str, dict[int, int]] = defaultdict(dict)
    plain = []
    for place in places:
        name, slash, number = header[place].rpartition("/")
        if slash and name and number.isdecimal():
            numbered[name][int(number)] = place
        else:
            plain.append(place)
    sets = {name: [columns[number] for number in sorted(columns)] for name, columns in numbered.items()}
    return {**sets, **({PLAIN_SET: plain} if plain else {})}


def _asked(
    sets: Mapping[str, list[int]], header: Sequence[str], names: TableNames
) -> tuple[dict[str, list[int]], list[str]]:
    """Return the sets with those single columns that are to be taken, and the names of the other columns."""
    plain = sets.get(PLAIN_SET, [])
    if not names.matrices or names.wants(PLAIN_SET):
        kept = [place for place in plain if not _RATING.match(header[place])]
    else:
        kept = [place for place in plain if names.wants(header[place])]
    others = {name: places for name, places in sets.items() if name != PLAIN_SET}
    left = [header[place] for place in plain if place not in kept]
    return {**others, **({PLAIN_SET: kept} if kept else {})}, left
