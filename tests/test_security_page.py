"""SECURITY.md names tests; each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def named() -> list[tuple[str, str]]:
    return re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_security_page_names_exists() -> None:
    missing = [(file, test) for file, test in named() if test not in functions_of(ROOT / "tests" / file)]
    assert missing == []
    assert len(named()) > 20


def test_every_row_of_what_is_not_trusted_names_a_test() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = page.split("## What is not")[1].split("\n\n")[1].splitlines()[2:]
    assert len(rows) == 9
    assert [row for row in rows if "::test_" not in row] == []


def test_every_page_that_it_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)", (ROOT / "SECURITY.md").read_text(encoding="utf-8")):
        assert (ROOT / link).is_file(), link
