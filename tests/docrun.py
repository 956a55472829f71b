"""The commands of the documentation: parsed as the program would, and run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from vqa.cli import cli, main

ROOT = Path(__file__).parents[1]
SHORTER = {"--splits 100": "--splits 3"}
"""What a run does in place of what a page says, where that takes minutes."""

_SHELL, _SETTING = re.compile(r"[|<>;&$*?(){}]"), re.compile(r"[A-Z_]+=")


def words_of(line: str) -> list[list[str]]:
    """Return the words of each simple command in a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def check_usage(line: str) -> None:
    """Parse each `vqa` command in a line, as the program would, and run nothing.

    Raises:
        click.ClickException: there is no such command or option, or a value is of the wrong kind.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click.Command, "invoke", lambda self, context: None)
        for words in words_of(line):
            _, program = _part(words)
            if program and program[0].rpartition("/")[2] == "vqa":
                arguments = itertools.takewhile(lambda word: word != ">", program[1:])
                with contextlib.redirect_stdout(io.StringIO()):
                    cli.main(list(arguments), standalone_mode=False)


def _part(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Part a command into the variables that are set for it, and its words."""
    settings = list(itertools.takewhile(_SETTING.match, words))
    return dict(setting.split("=", 1) for setting in settings), words[len(settings) :]


@dataclasses.dataclass(frozen=True)
class Ran:
    """A command that was run."""

    status: int
    out: str
    err: str


def run(line: str, shim: Path) -> Ran:
    """Run a command line: `vqa` and `cd` in this process, all else in a shell."""
    check_usage(line)
    for long, short in SHORTER.items():
        line = line.replace(long, short)
    command, _, file = line.partition(" > ")
    source, pipe, sink = command.rpartition(" | ")
    if pipe and sink.startswith("vqa "):
        given = _run_in_shell(source, shim)
        return _run_here(shlex.split(sink), {}, stdin=given.out) if given.status == 0 else given
    settings, words = _part(shlex.split(command, comments=True))
    if _SHELL.search(re.sub(r"'[^']*'|#.*", "", command)) or words[0] not in ("vqa", "cd"):
        return _run_in_shell(line, shim)
    if words[0] == "cd":
        os.chdir(words[1])
        return Ran(0, "", "")
    ran = _run_here(words, settings)
    if file:
        Path(file).write_text(ran.out, encoding="utf-8")
    return ran


def _run_here(words: list[str], settings: dict[str, str], *, stdin: str = "") -> Ran:
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", words)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        for name, value in settings.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Ran(status, out.getvalue(), err.getvalue())


def _run_in_shell(line: str, shim: Path) -> Ran:
    environment = {**os.environ, "PATH": f"{shim}{os.pathsep}{os.environ['PATH']}"}
    bash = shutil.which("bash") or "/bin/bash"
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def make_shim(folder: Path) -> Path:
    """Write a program `vqa` that is this checkout's, with stand-ins for pretrained networks; return its folder."""
    program = folder / "vqa"
    paths = [str(Path(__file__).parent), str(ROOT)]
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n\nsys.path[:0] = {paths!r}\nif __name__ == '__main__':\n"
        "    if '_VQA_COMPLETE' not in os.environ:\n        import standins\n\n        standins.install()\n"
        "    from vqa.cli import main\n\n    main()\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return folder


def check_words(code: str) -> list[str]:
    """Return what is wrong with the commands and options that inline code names, such as `vqa train --cached`."""
    command: click.Command = cli
    options = _options_of(cli)
    for word in code.split()[1:]:
        if word.startswith("-") and word.partition("=")[0] not in {*options, "--help", "-h"}:
            return [f"{code}: no option {word} there"]
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
            options |= {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            }
        elif command is cli and re.fullmatch(r"[a-z]+", word):
            return [f"{code}: no command {word}"]
        elif isinstance(command, click.Group) and command.name == "models":
            command = command.commands["list"]
            options |= _options_of(command)
    return []


def all_options(command: click.Command = cli) -> set[str]:
    """Return every option of every command."""
    found = _options_of(command)
    if isinstance(command, click.Group):
        found |= {option for part in command.commands.values() for option in all_options(part)}
    return found


def _options_of(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
