"""What a page says, apart from how it looks: sections of text, tables, plots and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | None
"""None is shown as a dash."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    digits: int | None = None
    """Digits after the point of a column of numbers; None for text."""
    hint: str = ""
    """What the column says, in a few words."""


@dataclass(frozen=True)
class Table:
    """Numbers to read, sortable by each column."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """Each as long as `columns`."""


@dataclass(frozen=True)
class Plot:
    """A figure, one sentence that says how to read it, and its numbers."""

    title: str
    reading: str
    """How to read it, for somebody who is new to the field; one sentence."""
    figure: Mapping[str, Any]
    """`data` and `layout` as plotly.js takes them; colours of paper, grid and text are the page's."""
    table: Table


@dataclass(frozen=True)
class Picture:
    """One still image, and what is known of it."""

    caption: str
    jpeg: bytes | None
    """None where the video can't be read any more."""
    facts: tuple[tuple[str, str], ...]
    """Pairs of name and value."""
    blank: str = "the video could not be read"
    """Why there is no image, where there is none."""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, whose facts are shown on hover, focus or click."""

    title: str
    reading: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Facts:
    """Pairs of name and value."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Commands to repeat something, as they stand."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


Block = Paragraph | Facts | Code | Table | Plot | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own."""

    id: str
    """Of the heading, for links; letters, digits and dashes."""
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    subtitle: str
    warning: str
    """Shown beside the title on every part of the page, such as that labels are no human opinion; may be empty."""
    sections: tuple[Section, ...]
