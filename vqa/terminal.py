"""The terminal: text and tables on stdout, bars and messages on stderr, JSON where asked."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 1000


def _console(*, stderr: bool) -> Console:
    """Return a console that takes no text for markup; in a pipe it is wide, since nobody can widen it."""
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def say(text: str) -> None:
    """Print one result line."""
    _console(stderr=False).print(text, soft_wrap=True)


def print_json(report: Any) -> None:
    """Print a report, or a list of them, as JSON."""
    sys.stdout.write(json.dumps(_plain(report), indent=2) + "\n")


def _plain(value: Any) -> Any:
    """Turn frozen records, paths and arrays into what JSON knows; NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and value != value:
        return None
    return str(value) if isinstance(value, Path) else value


class Bars:
    """A progress bar for each long step, on stderr."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._console = _console(stderr=True)
        self._progress = Progress(*columns, console=self._console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tasks:  # bars that never were would leave an empty line above an error
            self._progress.stop()

    def update(self, step: str, done: int, total: int) -> None:
        """Draw a step's bar."""
        if step not in self._tasks:
            self._progress.start()
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)

    def note(self, message: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(" ".join(message.split())), soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> None:
    """Print a table; columns whose names stand in `right`, divided by spaces, are aligned right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        is_number = name in right.split()
        whole = is_number or name == "model"  # a number or a name to paste is of no use in two parts
        table.add_column(name, justify="right" if is_number else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    say(f"\n{title}")
    _console(stderr=False).print(table)
