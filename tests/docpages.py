"""The pages of the documentation, their blocks, and what is done with each.

    ```bash       every line is a command, and is run
    ```console    `$ ` begins a command, other lines are what it prints; `...` stands for anything
    ```python     run, all blocks of a page in one namespace
    ```toml       parsed, and so is ```json
    ```text       shown: samples of output, layouts, formulas; no commands

Comments directly above a block change that:

    <!-- needs: model hub -->     it can't run everywhere: commands are parsed, Python is compiled
    <!-- exit status: 3 -->       what its last command ends with, 0 if nothing is said
    <!-- sample -->               above ```text: a table of the command before, with other figures
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[1]
PAGES = (*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *sorted(ROOT.glob("docs/**/*.md")))
RUN = ("bash", "console", "python")
LANGUAGES = (*RUN, "toml", "json", "text")
_NEEDS, _STATUS = re.compile(r"<!-- needs: [\w ,-]+ -->\n*\Z"), re.compile(r"<!-- exit status: (\d+) -->\n*\Z")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def tokens(page: Path) -> Iterator[Token]:
    """Yield the elements of a page, those inside paragraphs and tables as well."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def fences(page: Path) -> list[Token]:
    """Return the fenced blocks of a page that are no directives of Sphinx."""
    return [token for token in tokens(page) if token.type == "fence" and not token.info.startswith("{")]


def pages_with(*languages: str) -> list[Path]:
    """Return the pages that have blocks of these languages."""
    return [page for page in PAGES if any(block.info in languages for block in fences(page))]


def is_part(some: Sequence[str], words: Iterable[str]) -> bool:
    """Tell whether some words stand among others, in their order: a narrow terminal leaves columns out."""
    remaining = iter(words)
    return all(word in remaining for word in some)


def parse(page: Path, **evaluators: object) -> Document:
    """Return a page with the blocks of these languages."""
    parsers = [CodeBlockParser(language, evaluator) for language, evaluator in evaluators.items()]  # type: ignore[arg-type]
    return Document.parse(str(page), *parsers)


def before(example: Example) -> str:
    return example.document.text[: example.start].rstrip(" ")


def needs_more(example: Example) -> bool:
    """Tell whether a block is marked as one that can't run everywhere."""
    return _NEEDS.search(before(example)) is not None


def status_of(example: Example) -> int:
    found = _STATUS.search(before(example))
    return int(found[1]) if found else 0


def commands_of(source: str) -> list[str]:
    """Return the commands of a ```bash block, continued lines joined."""
    return [line for line in source.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def shown_commands(source: str) -> list[tuple[str, str]]:
    """Return the commands of a ```console block, each with the output that is shown."""
    parts = re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]
