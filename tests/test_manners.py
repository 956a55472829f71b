"""How a command behaves on a terminal and in a pipe, and how much it tells."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import pytest

from vqa.cli import cli
from vqa.loudness import Loudness, loudness, settle_loudness
from vqa.terminal import Bars

Run = Callable[..., tuple[int, str, str]]

CODE = """
import logging
from vqa.cli.manners import tell_all
from vqa.terminal import Bars, print_table, say
with Bars() as bars:
    bars.update("reading", 1, 4)
    bars.note("a note")
    tell_all()
    logging.disable()
    bars.update("reading", 4, 4)
print_table("title", ("name", "value"), [("a", "1")])
say("done")
"""


@pytest.fixture(autouse=True)
def _as_usual() -> Iterator[None]:
    yield
    settle_loudness(Loudness.USUAL)


def commands(command: click.Command = cli, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Find every command and group."""
    yield names
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, (*names, name))


@pytest.mark.parametrize("names", list(commands()), ids=lambda names: " ".join(names) or "vqa")
def test_every_help_has_an_example_of_its_own_and_names_both_manners(run: Run, names: tuple[str, ...]) -> None:
    status, out, _ = run(*names, "--help")
    assert status == 0
    examples = re.split(r"Examples?:|Start with:", out)[1]
    assert re.search(rf"^ +vqa {' '.join(names)}", examples, re.MULTILINE), out
    is_inner_group = names in (("cache",), ("models",))
    assert ("--quiet" in out, "--verbose" in out) == (not is_inner_group, not is_inner_group)


def on_terminal(more: Mapping[str, str]) -> str:
    """Run the code above on a terminal of 120 columns; return all that it writes."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals")
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "120", **more}
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so that the other end is closed
                break
            if not part:
                break
            written += part
    os.close(ours)
    return written.decode()


@pytest.mark.parametrize(
    ("more", "colours", "codes"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, False, False),
    ],
    ids=["usual", "no colour", "dumb"],
)
def test_a_terminal_gets_what_it_can_show(more: dict[str, str], colours: bool, codes: bool) -> None:
    written = on_terminal(more)
    assert ("a note" in written, "done" in written) == (True, True)
    assert re.search(r"[\r\n](\x1b\[2K)?\[ +\d\.\d\d s\] vqa\r\n", written), written  # a line of its own
    assert (re.search(r"\x1b\[[0-9;]*(3|4|9)\d[;m]", written) is not None) == colours
    assert ("\x1b" in written) == codes
    assert ("4/4" in written) == codes  # a dumb one gets a line every half minute


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_no_escape_code_gets_into_a_pipe_whoever_asks_for_colours(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={**os.environ, name: "1"}
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.startswith("a note\n[")


def test_quiet_leaves_results_and_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    settle_loudness(Loudness.QUIET)
    clock = iter(range(0, 1000, 100))
    with Bars(clock=lambda: float(next(clock))) as bars:
        bars.update("reading", 1, 4)
        bars.update("reading", 2, 4)
        bars.note("a note")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("where", ["before", "after"])
def test_quiet_stands_before_or_after_the_command(run: Run, tmp_path: Path, where: str) -> None:
    words = ("-q", "cache", "info") if where == "before" else ("cache", "info", "--quiet")
    status, out, err = run(*words, "-C", tmp_path)
    assert (status, out, loudness()) == (1, "", Loudness.QUIET)
    assert err.startswith(f"Error: {tmp_path} has no vqa.toml; make one with")
    assert run("models", "list", "-q", "bundled")[1].count("bundled:") == 7  # a name after it is no value of it
    assert run("cache", "info", "-C", tmp_path)[0] == 1
    assert loudness() is Loudness.USUAL


@pytest.mark.parametrize("words", [("-v", "cache", "info"), ("cache", "info", "-v")], ids=["before", "after"])
def test_verbose_tells_versions_times_and_where_an_error_came_from(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    status, out, err = run(*words, "-C", tmp_path)
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert re.fullmatch(rf"\[ +\d\.\d\d s\] vqa {' '.join(words)} -C {re.escape(str(tmp_path))}", lines[0])
    assert re.search(r"\] vqa \d\S+, torch \d\S+, .*numpy \d", err)
    assert "\nError: " in err
    assert "open_workspace" in err
    assert lines[-1].endswith("ends with status 1")
    assert "Traceback" not in run("cache", "info", "-C", tmp_path)[2]


def test_verbose_tells_what_a_run_does_and_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,mos,a\n" + "".join(f"v{row},{row},{row % 7}\n" for row in range(30)))
    run("cache", "import", tmp_path / "t.csv", "--as", "p", "-C", tmp_path / "w")
    err = run("select", "--top-k", 1, "-C", tmp_path / "w", "-v")[2]
    assert f"settings are those of {tmp_path / 'w' / 'vqa.toml'}" in err
    assert re.search(r"imported:p \([0-9a-f]{12}, 30 videos\): used", err)
    assert "comparing 1 candidates on 30 videos, by dbi" in err


def test_each_step_is_told_with_its_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(100))
    with caplog.at_level(logging.INFO, "vqa"), Bars(clock=lambda: float(next(clock))) as bars:
        bars.update("reading", 1, 2)
        bars.update("reading", 2, 2)
        bars.update("training", 1, 1)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["reading"] * 2 + ["training"] * 2
    assert re.fullmatch(r"reading: ended after \d\.00 s", caplog.records[1].getMessage())


def test_quiet_and_verbose_exclude_each_other(run: Run) -> None:
    status, _, err = run("-q", "cache", "info", "-v")
    assert (status, err.splitlines()[-1]) == (2, "Error: --quiet and --verbose exclude each other; give one of them")
