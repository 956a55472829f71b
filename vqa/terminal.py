"""The terminal: text and tables on stdout, progress and messages on stderr, JSON where asked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType, TracebackType
from typing import Any, Self

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text

from vqa.escaping import for_terminal
from vqa.loudness import Loudness, loudness

_log = logging.getLogger(__name__)

_PIPE_WIDTH = 1000
_LOG_SECONDS = 30.0
"""In a pipe nobody sees a bar move: a long step says this often in a line how far it is."""
_NAMES, _LEAST_FOLDED = frozenset({"model", "method"}), 8
_BAR_WIDTH, _WIDE_ENOUGH = 20, 100
"""Columns of the bar, and those a terminal needs for one beside the words."""


def _console(*, stderr: bool) -> Console:
    """Return a console that takes no text for markup; in a pipe it is wide, since nobody can widen it."""
    seen = (sys.stderr if stderr else sys.stdout).isatty()
    # Whatever FORCE_COLOR and its like say: no escape code ever gets into a pipe or a file.
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False, force_terminal=None if seen else False)
    if not seen:
        console.width = _PIPE_WIDTH
    return console


def say(text: str) -> None:
    """Print one result line; what can't be seen in it is shown by its code."""
    _console(stderr=False).print(for_terminal(text), soft_wrap=True)


def print_json(report: Any) -> None:
    """Print a report, or a list of them, as JSON."""
    sys.stdout.write(json.dumps(_plain(report), indent=2) + "\n")


def _plain(value: Any) -> Any:
    """Turn frozen records, paths and arrays into what JSON knows; NaN and infinity become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


class _TimeLeft(ProgressColumn):
    """Time left at the step's mean pace; rich's own column takes the last seconds', and models run in bursts."""

    def render(self, task: Task) -> Text:
        """Draw it; nothing before there is a pace, or when all is done."""
        done = task.completed - task.fields["begun"]
        if task.finished or done <= 0 or not task.elapsed or task.remaining is None:
            return Text("")
        return Text(f"{timedelta(seconds=round(task.elapsed / done * task.remaining))} left")


class Bars:
    """The step that runs now as one line on stderr: its name, a bar, how far it is, and the time left.

    In a pipe, or where TERM is dumb, it is a line of text now and then; where quiet is asked for, nothing. Where stderr
    can't be written to any more, a terminal that is gone or a log on a full disk, the run goes on without.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = _console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            *([BarColumn(_BAR_WIDTH)] if self._console.width >= _WIDE_ENOUGH else []),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True)),
            _TimeLeft(table_column=Column(no_wrap=True)),
        )
        self._progress = Progress(*columns, console=self._console, get_time=clock)
        self._tasks: dict[str, TaskID] = {}
        self._clock, self._said = clock, clock()
        self._step, self._began = "", clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._log_step("")
        if self._tasks:  # bars that never were would leave an empty line above an error
            with contextlib.suppress(OSError):
                self._progress.stop()

    def update(self, step: str, done: int, total: int, detail: str = "") -> None:
        """Draw a step's bar in place of the step before, or say how far it is."""
        if step != self._step:
            self._log_step(step)
        if loudness() is Loudness.QUIET:
            return
        with contextlib.suppress(OSError):
            self._draw(step, done, total, for_terminal(detail) or f"{done}/{total}")

    def _log_step(self, step: str) -> None:
        """Tell that the step before ended, and when, and that another one begins."""
        now = self._clock()
        if self._step:
            _log.info("%s: ended after %.2f s", self._step, now - self._began)
        if step:
            _log.info("%s", step)
        self._step, self._began = step, now

    def _draw(self, step: str, done: int, total: int, told: str) -> None:
        step = for_terminal(step)
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            self._log(f"{step}: {told}")
            return
        for name, task in self._tasks.items():
            self._progress.update(task, visible=name == step)
        if step not in self._tasks:
            self._progress.start()
            self._tasks[step] = self._progress.add_task(step, total=total, completed=done, detail=told, begun=done)
        self._progress.update(self._tasks[step], completed=done, total=total, detail=told)

    def _log(self, line: str) -> None:
        now = self._clock()
        if now - self._said >= _LOG_SECONDS:
            self._said = now
            self._console.print(line, soft_wrap=True)

    def note(self, message: str) -> None:
        """Print a line above the bar."""
        if loudness() is Loudness.QUIET:
            return
        with contextlib.suppress(OSError):
            self._console.print(Text(for_terminal(" ".join(message.split()))), soft_wrap=True)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: str | Sequence[str] = "",
    spare: Sequence[str] = (),
    usual: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Print a table.

    Args:
        title: The line above it.
        columns: Their names.
        rows: Cells, one for each column.
        right: Names of columns that are aligned right, divided by spaces where none of them has one itself.
        spare: Columns that a narrow terminal can do without, the first one first.
        usual: Cells, by the name of their column, of which a whole column says nothing and is left out.
    """
    console, cells = _console(stderr=False), [tuple(row) for row in rows]
    kept = [
        name
        for place, name in enumerate(columns)
        if name not in usual or any(row[place] != usual[name] for row in cells)
    ]
    left_out, numbers = [], right.split() if isinstance(right, str) else right
    table = _table(kept, columns, cells, numbers)
    for name in spare:
        if _least_width(table, console) <= console.width:
            break
        kept.remove(name)
        left_out.append(name)
        table = _table(kept, columns, cells, numbers)
    console.width = max(console.width, _folded_width(table))  # rich would leave columns out without a word
    say("")
    say(title)
    if console.is_terminal:
        console.print(table)
    else:
        with console.capture() as drawn:
            console.print(table)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))
    if left_out:
        say(f"Left out in a narrow terminal: {', '.join(left_out)}; `--json` has all")


def _least_width(table: Table, console: Console) -> int:
    """Return the columns of a terminal in which no word, and no cell that is kept whole, is broken."""
    return console.measure(table, options=console.options.update(width=_PIPE_WIDTH)).minimum


def _folded_width(table: Table) -> int:
    """Return the columns of a terminal below which cells get lost: each has two spaces beside it, and one before."""
    return sum((column.min_width or 0) + 3 for column in table.columns)


def _table(kept: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> Table:
    """Draw a table of some of the columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in kept:
        is_number = name in numbers
        whole = is_number or name in _NAMES  # a number or a name to paste is of no use in two parts
        longest = max(cell_len(for_terminal(text)) for text in (name, *(row[columns.index(name)] for row in rows)))
        table.add_column(
            for_terminal(name),
            justify="right" if is_number else "left",
            no_wrap=whole,
            overflow="fold",
            min_width=longest if whole else min(longest, _LEAST_FOLDED),
        )
    for row in rows:
        told = dict(zip(columns, row, strict=True))
        table.add_row(*(Text(for_terminal(told[name])) for name in kept))
    return table
