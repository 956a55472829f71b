"""What pages of the documentation show: no block that nobody checks, and no command or option that does not exist."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import docpages
import docrun
import pytest

TWO_LINES = [
    'python3 -m venv .venv && .venv/bin/pip install -q ".[demo]" && .venv/bin/vqa demo\n',
    'python3 -m venv .venv-test && . .venv-test/bin/activate && pip install -q -e ".[dev]" && ruff check . && '
    "ruff format --check . && mypy && lint-imports && pytest -n 2\n",
]
"""The first two blocks of README.md, which are indented; the second is what continuous integration runs."""


@pytest.mark.parametrize("page", docpages.PAGES, ids=docpages.name_of)
def test_every_fenced_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    assert [block.info for block in docpages.fences(page) if block.info not in docpages.LANGUAGES] == []


@pytest.mark.parametrize("page", docpages.PAGES, ids=docpages.name_of)
def test_no_block_is_indented_but_the_two_lines_that_begin_the_readme(page: Path) -> None:
    blocks = [token.content for token in docpages.tokens(page) if token.type == "code_block"]
    assert blocks == (TWO_LINES if page.name == "README.md" else [])


@pytest.mark.parametrize("page", docpages.PAGES, ids=docpages.name_of)
def test_no_text_that_nobody_runs_holds_a_command(page: Path) -> None:
    lines = [line for block in docpages.fences(page) if block.info == "text" for line in block.content.splitlines()]
    assert [line for line in lines if line.lstrip(" $").startswith(("vqa ", "pip "))] == []


@pytest.mark.parametrize("page", docpages.PAGES, ids=docpages.name_of)
def test_commands_and_options_named_in_sentences_exist(page: Path) -> None:
    code = [token.content for token in docpages.tokens(page) if token.type == "code_inline"]
    wrong = [fault for words in code if words.startswith("vqa ") for fault in docrun.check_words(words)]
    options = docrun.all_options()
    named = [words.split()[0].partition("=")[0] for words in code if words.startswith("--")]
    assert wrong + [option for option in named if option not in options] == []


def test_blocks_of_settings_and_of_json_can_be_read() -> None:
    readers = {"toml": tomllib.loads, "json": json.loads}
    for page in docpages.pages_with(*readers):
        for block in docpages.fences(page):
            readers.get(block.info, str)(block.content)


@pytest.mark.parametrize("page", docpages.PAGES, ids=docpages.name_of)
def test_every_mark_stands_directly_above_a_block_that_it_is_for(page: Path) -> None:
    lines = [*page.read_text(encoding="utf-8").splitlines(), ""]
    marks = [(line, lines[at + 1]) for at, line in enumerate(lines) if line.startswith("<!--")]
    allowed = {
        "needs": ("```bash", "```console", "```python"),
        "exit status": ("```bash", "```console"),
        "sample": ("```text",),
    }
    assert [mark for mark in marks if mark[1] not in allowed.get(mark[0][5:-4].partition(":")[0], ())] == []


def test_the_first_command_of_the_readme_is_one() -> None:
    docrun.check_usage(TWO_LINES[0])
