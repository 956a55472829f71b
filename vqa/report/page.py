"""From the records of `content` to one HTML file: all of it inside, nothing fetched, strangers' text as text."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator
from importlib.resources import files

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from vqa.escaping import for_terminal
from vqa.report.content import Block, Cell, Code, Facts, Gallery, Page, Paragraph, Plot, Section, Table
from vqa.report.figure_json import figure_json

LONGEST_TEXT = 160
"""Characters of a cell or a caption; what is longer is cut in its middle, the whole is its title."""

FIRST_SCRIPT = 'document.documentElement.classList.add("scripted")'
"""Run before anything is shown, so that what only readers without scripts need does not flash up."""


def render_page(page: Page) -> str:
    """Return a page as one HTML document that needs no other file and no network.

    Every text is escaped; characters that can't be seen are shown by their codes. The policy in the document forbids
    every request, and every script but its own.

    Raises:
        ValueError: two sections have one id, or the rows of a table are not as long as its columns.
    """
    _refuse_what_misleads(page)
    scripts = [*([get_plotlyjs()] if _has_plot(page) else []), _resource("page.js")]
    ids = itertools.count(1)
    return (
        _environment()
        .from_string(_resource("page.html"))
        .render(
            page=page,
            policy=_policy([FIRST_SCRIPT, *scripts]),
            first_script=Markup(FIRST_SCRIPT),  # noqa: S704
            css=Markup(_resource("page.css")),  # noqa: S704 - files of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of packages
            next_id=lambda: next(ids),
        )
    )


def _resource(name: str) -> str:
    return (files("vqa.report") / name).read_text(encoding="utf-8")


def _policy(scripts: Iterable[str]) -> str:
    """Return a Content-Security-Policy that allows these inline scripts alone; plotly needs inline styles and blobs."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _refuse_what_misleads(page: Page) -> None:
    ids = [section.id for section in page.sections]
    if len(set(ids)) < len(ids):
        raise ValueError(f"sections share an id: {', '.join(ids)}")
    for table in _tables(page):
        if any(len(row) != len(table.columns) for row in table.rows):
            raise ValueError(f"table {table.caption!r} has rows that are not {len(table.columns)} cells long")


def _tables(page: Page) -> Iterator[Table]:
    for block in _blocks(page):
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Plot):
            yield block.table


def _blocks(page: Page) -> Iterator[Block]:
    return itertools.chain.from_iterable(section.blocks for section in page.sections)


def _has_plot(page: Page) -> bool:
    return any(isinstance(block, Plot) for block in _blocks(page))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests |= {
        kind.__name__.lower(): lambda block, kind=kind: isinstance(block, kind)
        for kind in (Paragraph, Facts, Code, Table, Plot, Gallery)
    }
    environment.filters |= {
        "runs": _runs,
        "cell": _cell,
        "sort_key": _sort_key,
        "cut": _cut,
        "figure_json": lambda figure: Markup(figure_json(figure)),  # noqa: S704 - escaped there
        "data_uri": _data_uri,
    }
    return environment


def _shown(value: object) -> object:
    """Show by its code what can't be seen, but keep lines; the escaping comes after."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(for_terminal, value.split("\n")))
    return value


def _runs(section: Section) -> list[tuple[bool, list[Block]]]:
    """Return a section's blocks, plots that follow each other as one run: (whether they are plots, blocks)."""
    runs = itertools.groupby(section.blocks, key=lambda block: isinstance(block, Plot))
    return [(plots, list(blocks)) for plots, blocks in runs]


def _cell(cell: Cell, digits: int | None) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, str) or digits is None:
        return str(cell)
    return f"{cell:z.{digits}f}"


def _sort_key(cell: Cell, digits: int | None) -> str:
    """Return what a number sorts by where that is more than what is shown of it, else nothing."""
    if digits is None or cell is None or isinstance(cell, str) or not math.isfinite(cell):
        return ""
    return "" if float(_cell(cell, digits)) == cell else f"{cell:.9g}"


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:100]}…{text[-40:]}"


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
