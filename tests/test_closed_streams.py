"""Closed stdin, stdout and stderr, as a daemon or pythonw has them: what would be said is lost, and nothing else."""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import Trained

from vqa.cli import main

POSIX = pytest.mark.skipif(os.name != "posix", reason="streams have numbers")
STRAY = """
import os, subprocess, sys
from vqa.rlimits import open_closed_streams

for place in range(3):
    os.close(place)
open_closed_streams()
with open(sys.argv[1], "w") as file:
    os.write(1, b"stray")  # as a library does that knows nothing of Python
    os.write(2, b"stray")
    subprocess.run(["echo", "stray"], check=True)
    file.write("whole")
"""


def lines_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("command", ["", "models", "cache info", "score CLIP --output OUT.csv", "cache nonsense"])
@pytest.mark.parametrize("streams", ["stdout", "stdin stdout stderr"])
def test_every_command_runs_without_streams(
    streams: str, command: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    words = command.replace("CLIP", str(trained.clips[0])).replace("OUT", str(tmp_path / "out"))
    monkeypatch.setattr(sys, "argv", ["vqa", *words.split()])
    for name in streams.split():
        monkeypatch.setattr(sys, name, None)
    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    assert (status or 0) == {"cache nonsense": 2}.get(command, 0)


@POSIX
def test_with_all_streams_closed_scores_lie_in_the_file_and_nothing_else(trained: Trained, tmp_path: Path) -> None:
    command = shlex.join(
        [sys.executable, "-m", "vqa", "score", *map(str, trained.clips[:2]), "--model", str(trained.bundle)]
    )
    done = subprocess.run(
        ["sh", "-c", f"{command} --output scores.csv -v <&- >&- 2>&-"], cwd=tmp_path, check=False, timeout=240
    )
    assert done.returncode == 0
    assert [row["video"] for row in lines_of(tmp_path / "scores.csv")] == [str(clip) for clip in trained.clips[:2]]


@POSIX
def test_what_is_printed_all_the_same_gets_into_no_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    subprocess.run([sys.executable, "-c", STRAY, str(file)], check=True, timeout=60)
    assert file.read_text() == "whole"
