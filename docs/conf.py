"""How the pages are built: `sphinx-build -W --keep-going -n -b html docs build/docs`; asks no network."""

from __future__ import annotations

import itertools
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import made_reference  # noqa: E402  # lies beside this file

project = "vqa"
author = "the vqa authors"
copyright = author
release = version_of("vqa")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
default_role = "code"
smartquotes = False
exclude_patterns = ["made_reference.py"]

myst_heading_anchors = 4
myst_enable_extensions = ["substitution"]
myst_substitutions = {
    "settings": made_reference.settings_tables(),
    "public_names": made_reference.public_names(),
    "public_records": made_reference.public_records(),
    "errors": made_reference.errors(),
}

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
nitpick_ignore_regex = [(r"py:.*", r"(?!vqa\.).*"), (r"py:.*", r"vqa\.(.*\.)?_.*|vqa\.pipeline\.gathering\..*")]

html_theme = "furo"
html_title = "vqa"
html_static_path = ["_static"]
html_css_files = ["vqa.css"]
html_copy_source = False
html_show_sourcelink = False

_ELSEWHERE = {
    "](../benchmarks/RESULTS.md": "](results.md",
    "](../SECURITY.md": "](security.md",
    "](../CONTRIBUTING.md": "](contributing.md",
    "](../CHANGELOG.md": "](changelog.md",
    "](SECURITY.md": "](security.md",
    "](docs/": "](",
}
"""Links as they stand in the repository, and where the same pages lie among the built ones."""


def _lead_to_built_pages(app: Sphinx, page: str, source: list[str]) -> None:
    for link, built in _ELSEWHERE.items():
        source[0] = source[0].replace(link, built)


def _read_docstring(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Turn a docstring of ours into reStructuredText: Google's sections, and code between single backticks.

    What follows an attribute is prose, whatever colons it has; napoleon by itself takes words before one for a type.
    """
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    if what not in ("attribute", "property"):
        settings: dict[str, Any] = {"napoleon_use_ivar": True}
        lines[:] = GoogleDocstring(lines, Config(**settings), app, what, name, value, options).lines()


def _show_examples(app: Sphinx, context: object, lines: list[str]) -> None:
    """Set the lines of a command's help that are not to be wrapped as a block of code, their heading above it."""
    shown: list[str] = []
    for is_block, part in itertools.groupby(lines, key=lambda line: line.startswith("| ")):
        block = [line.removeprefix("| ") for line in part]
        if is_block:
            heading = [block.pop(0), ""] if block[0].endswith(":") else []
            block = [*heading, ".. code-block:: text", "", *(f"   {line.removeprefix('  ')}" for line in block), ""]
        shown += block
    lines[:] = shown


def _set_dashes(app: Sphinx, doctree: nodes.document) -> None:
    """Set the dash between a parameter and its meaning; all other hyphens are meant, `--models` above all."""
    for text in list(doctree.findall(nodes.Text)):
        if text.astext() == " -- ":
            text.parent.replace(text, nodes.Text(" \u2013 "))


def setup(app: Sphinx) -> None:
    """Have links out of docs/ lead to the pages built from what lies there, and docstrings read as we write them."""
    app.connect("source-read", _lead_to_built_pages)
    app.connect("include-read", lambda app, path, page, source: _lead_to_built_pages(app, page, source))
    app.connect("autodoc-process-docstring", _read_docstring)
    app.connect("doctree-read", _set_dashes)
    app.connect("sphinx-click-process-description", _show_examples)
