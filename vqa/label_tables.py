"""What label files hold before anyone asks what it means: a header, and lines of cells; CSV text or MATLAB structs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa.errors import LabelsError
from vqa.escaping import from_csv

MOST_BYTES = 256 << 20
"""Of a file of labels."""
_HEADERLESS = {2: ["name", "mos"], 4: ["name", "duration", "fps", "mos"]}
"""Columns of files without a header, by their number."""


@dataclass(frozen=True)
class LabelTable:
    """The cells of a label file."""

    header: list[str]
    lines: list[tuple[int, list[str]]]
    """Number, counted from 1, and cells of each line."""
    unit: str
    """What the numbers count: `line` or `row`."""


def find_number(text: str) -> float | None:
    """Return a finite number, None for anything else."""
    try:
        value = float(text) if "_" not in text else math.nan  # Python would read 1_5 as 15
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_csv_table(file: Path) -> LabelTable:
    """Read CSV in UTF-8, with a header or in one of the forms that have none.

    Raises:
        LabelsError: the file can't be read, is no such text, or is empty.
    """
    lines = _read_cells(file)
    header = _headerless(lines[0][1])
    if header is None:
        header = lines.pop(0)[1]
    return LabelTable(header, lines, "line")


def _read_cells(file: Path) -> list[tuple[int, list[str]]]:
    """Return line number and cells of each line that is not blank."""
    try:
        _check_readable(file)
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LabelsError(f"{file}: the labels can't be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise LabelsError(f"{file}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        lines = [(reader.line_num, [from_csv(cell.strip()) for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise LabelsError(f"{file}, line {reader.line_num}: is no CSV ({error}); save it as CSV in UTF-8") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise LabelsError(f"{file}: is empty; name a file with a header and one row for each video")
    return lines


def _check_readable(file: Path) -> None:
    """Refuse what is read for ever, or is too large for labels."""
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise LabelsError(f"{file}: is a pipe or a device; name a file of labels")
    if file.is_file() and file.stat().st_size > MOST_BYTES:
        raise LabelsError(
            f"{file}: is larger than {MOST_BYTES >> 20} MB, too much for labels; keep ids and scores alone"
        )


def _headerless(cells: Sequence[str]) -> list[str] | None:
    """Return the columns of a file whose first line holds values, None where that line is a header."""
    if any(find_number(cell) is None for cell in cells[1:]):
        return None
    return _HEADERLESS.get(len(cells))
