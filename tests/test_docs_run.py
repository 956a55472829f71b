"""Every block of every page runs, in the order of the page, in a folder that has the files the page names.

Pretrained networks are replaced by small ones (`standins.py`), so that nothing is downloaded; what a page needs beyond
that is said above the block, and then its commands are parsed.
"""

from __future__ import annotations

import contextlib
import doctest
from collections.abc import Iterator
from pathlib import Path

import docpages
import docrun
import pytest
import standins
from docworld import copy_world, hurry, make_world
from sybil import Example

CHECKER = doctest.OutputChecker()
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    real = standins.install()
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        yield make_world(tmp_path_factory.mktemp("world"))
    for name, backend in real.items():
        standins.put(name, backend)


@pytest.fixture
def page_folder(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that world, to be changed, as this process's folder."""
    folder = copy_world(world, tmp_path)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VQA_HOME", str(tmp_path / "home"))
    return folder


class Runner:
    """Evaluates the blocks of a page; remembers what the last commands printed.

    Commands go on in the folder that those before them left; Python begins where the page does.
    """

    def __init__(self, shim: Path) -> None:
        self.shim = shim
        self.start = Path.cwd()
        self.printed = ""
        self.blocks = 0

    def bash(self, example: Example) -> str | None:
        self.blocks += 1
        return self._commands(example, [(line, "") for line in docpages.commands_of(example.parsed)])

    def console(self, example: Example) -> str | None:
        self.blocks += 1
        return self._commands(example, docpages.shown_commands(example.parsed))

    def _commands(self, example: Example, lines: list[tuple[str, str]]) -> str | None:
        if not lines:
            return "no command in it"
        if docpages.needs_more(example):
            for line, _ in lines:
                docrun.check_usage(line)
            return None
        self.printed = ""
        for line, shown in lines:
            ran = docrun.run(line, self.shim)
            wanted = docpages.status_of(example) if line == lines[-1][0] else 0
            if ran.status != wanted:
                return f"{line}\nended with status {ran.status} in {Path.cwd()}:\n{ran.out}{ran.err}"
            if shown and not CHECKER.check_output(shown, ran.out, ELLIPSIS):
                return f"{line}\nprinted:\n{ran.out}"
            self.printed += ran.out
        return None

    def python(self, example: Example) -> None:
        self.blocks += 1
        code = compile("\n" * (example.line - 1) + example.parsed, example.path, "exec")
        if not docpages.needs_more(example):
            example.namespace.setdefault("__name__", "page")
            with contextlib.chdir(self.start):
                exec(code, example.namespace)

    def text(self, example: Example) -> str | None:
        """Compare the head of a sample table with the one that was just printed."""
        if not docpages.before(example).rstrip().endswith("<!-- sample -->"):
            return None
        lines = example.parsed.splitlines()
        heads = [lines[at - 1].split() for at, line in enumerate(lines) if line.strip() and set(line.strip()) == {"─"}]
        printed = [line.split() for line in self.printed.splitlines()]
        missing = [head for head in heads if not any(docpages.is_part(head, line) for line in printed)]
        return f"no such table was printed: {missing}\n{self.printed}" if missing or not heads else None


@pytest.mark.parametrize("page", docpages.pages_with(*docpages.RUN), ids=docpages.name_of)
def test_every_block_of_a_page_runs(page: Path, page_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    runner = Runner(docrun.make_shim(tmp_path / "bin"))
    document = docpages.parse(page, **{language: getattr(runner, language) for language in (*docpages.RUN, "text")})
    for example in document.examples():
        example.evaluate()
    assert runner.blocks == sum(block.info in docpages.RUN for block in docpages.fences(page))
    assert Path.cwd().is_relative_to(tmp_path)
