"""The documentation builds to HTML without a warning, and its pages hang together."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import docpages
import pytest

import vqa
from vqa.cli import cli
from vqa.workspace import DatasetSettings, Workspace, write_workspace

ROOT = docpages.ROOT
MADE_BY_SPHINX = {"genindex", "search", "py-modindex"}


class Html(HTMLParser):
    """The anchors of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a":
            self.links.add(found.get("href") or "")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages; a warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", "-d", folder / "trees"]
    done = subprocess.run(
        [*map(str, command), str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[str, Html]:
    return {page.stem: Html(page.read_text(encoding="utf-8")) for page in built.glob("*.html")}


def inner_links(page: Html) -> Iterator[tuple[str, str]]:
    """Yield target and anchor of each link that stays among the pages."""
    for link in page.links:
        parts = urlsplit(link)
        if not parts.scheme and link != "#":
            yield unquote(parts.path), unquote(parts.fragment)


def commands(command: click.Command = cli, path: str = "vqa") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            yield from commands(part, f"{path} {name}")


def test_every_page_can_be_reached_from_the_index(pages: dict[str, Html]) -> None:
    reached, waiting = set(), ["index"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        found = {target.removesuffix(".html") for target, _ in inner_links(pages[page]) if target.endswith(".html")}
        waiting.extend(found & set(pages) - reached - MADE_BY_SPHINX)
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} == reached
    assert {"tutorial", "commands", "python", "settings", "numbers"} <= reached


def test_no_link_of_a_page_is_dead(built: Path, pages: dict[str, Html]) -> None:
    dead = []
    for name, page in pages.items():
        for target, anchor in inner_links(page):
            file = built / target if target else built / f"{name}.html"
            there = file.is_file() and (not anchor or file.suffix != ".html" or anchor in pages[file.stem].ids)
            dead += [] if there else [f"{name}: {target}#{anchor}"]
    assert dead == []


def test_no_link_is_dead_where_pages_are_read_in_the_repository(pages: dict[str, Html]) -> None:
    dead = []
    for page in docpages.PAGES:
        for link in [str(token.attrs["href"]) for token in docpages.tokens(page) if token.type == "link_open"]:
            target, _, anchor = link.partition("#")
            file = (page.parent / target).resolve() if target else page
            ids = pages[file.stem].ids if file.parent == ROOT / "docs" and file.stem in pages else {anchor}
            there = "://" in link or (file.exists() and (not anchor or anchor in ids))
            dead += [] if there else [f"{docpages.name_of(page)}: {link}"]
    assert dead == []


def test_the_reference_has_every_public_name(pages: dict[str, Html]) -> None:
    assert [name for name in vqa.__all__ if f"vqa.{name}" not in pages["python"].ids] == []
    assert len(vqa.__all__) > 10


def test_the_reference_has_every_command_and_every_option(built: Path, pages: dict[str, Html]) -> None:
    missing, shown = [], {name.lower() for name in pages["commands"].ids}
    for path, command in commands():
        anchor = path.replace(" ", "-")
        options = [part.opts[-1] for part in command.params if isinstance(part, click.Option) and not part.hidden]
        wanted = [f"cmdoption-{anchor}-{option.lstrip('-')}" for option in options if option != "--help"]
        missing += [name for name in (anchor, *wanted) if name.lower() not in shown]
    assert missing == []


def test_the_reference_has_every_setting(built: Path, tmp_path: Path) -> None:
    file = write_workspace(Workspace(tmp_path, DatasetSettings("clips")))
    keys = re.findall(r"^(?:# )?(\w+) = ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown = re.findall(r'<span class="pre">(\w+)</span>', (built / "settings.html").read_text(encoding="utf-8"))
    assert len(keys) > 40
    assert set(keys) - set(shown) == set()
