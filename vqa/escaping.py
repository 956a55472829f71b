"""Text of strangers, such as ids, labels and reasons, made safe to show: on a terminal, and in a CSV file."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
"""What a spreadsheet may take for a formula, with or without the apostrophes that keep it from doing so."""


def for_terminal(text: str) -> str:
    r"""Return text in which whatever can't be seen is shown by its code, such as `\x1b` or `\u202e`.

    Nothing in it moves the cursor, rings, turns the direction of writing, begins a line or fails to be encoded.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # blanks of other widths
        return character
    return repr(character)[1:-1]


def for_csv(cell: object) -> object:
    """Return a cell of a CSV file: text as it is shown, with an apostrophe before what a spreadsheet would run.

    Numbers stay numbers. `from_csv` takes the apostrophe away again.
    """
    if not isinstance(cell, str):
        return cell
    shown = for_terminal(cell)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def from_csv(cell: str) -> str:
    """Return what a cell of a CSV file stands for: without the apostrophe that keeps a spreadsheet from running it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return the text of a CSV file that may be opened in a spreadsheet, whoever chose the ids in it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([for_csv(cell) for cell in row] for row in rows)
    return text.getvalue()
