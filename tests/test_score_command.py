from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import Trained

from vqa.errors import VqaError
from vqa.pipeline import expand_videos

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tree(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips in two folders, and a text file beside them."""
    (tmp_path / "v" / "deep").mkdir(parents=True)
    for name in ("v/a.mp4", "v/deep/b.mp4", "v/c[1].mp4"):
        shutil.copy(trained.clips[0], tmp_path / name)
    (tmp_path / "v" / "notes.txt").write_text("no video")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_videos_are_files_folders_globs_and_lists(tree: Path) -> None:
    every = [Path("v/a.mp4"), Path("v/c[1].mp4"), Path("v/deep/b.mp4")]
    assert expand_videos(["v"]) == every
    assert expand_videos(["v/*.mp4"]) == every[:2]
    assert expand_videos(["v/**/*.mp4"]) == every
    assert expand_videos(["v/c[1].mp4"]) == [every[1]]
    assert expand_videos(["none.mp4", "v/notes.txt"]) == [Path("none.mp4"), Path("v/notes.txt")]
    assert expand_videos(["-", "v/a.mp4"], ["v/deep\n", "\n", "v/a.mp4\r\n"]) == [every[2], every[0]]
    assert expand_videos(["v", "v/a.mp4", str(tree / "v" / "a.mp4"), "v/../v"]) == every
    assert expand_videos(["v/[gone].mp4", "v/*.avi"]) == [Path("v/[gone].mp4"), Path("v/*.avi")]
    assert expand_videos(["-"], ["v/*.mp4\n"]) == [Path("v/*.mp4")]


def test_a_folder_without_videos_is_an_error(tree: Path) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(VqaError, match="no videos found"):
        expand_videos(["empty", "v"])
    with pytest.raises(VqaError, match="the list is empty"):
        expand_videos(["-"], [])
    with pytest.raises(VqaError, match="a video's name is empty"):
        expand_videos([""])


def test_each_format_says_the_same(trained: Trained, tree: Path, run: Run) -> None:
    base = ["score", "v/a.mp4", "none.mp4", "--model", trained.bundle]
    status, table, _ = run(*base)
    assert status == 3
    for part in ("Scores on the scale 0 (worst) to 100 (best)", "percentile", "1 scored, 1 failed", "No such file"):
        assert part in table
    status, text, _ = run(*base, "--format", "csv")
    rows = {row["video"]: row for row in csv.DictReader(io.StringIO(text))}
    assert status == 3
    status, lines, _ = run(*base, "--format", "jsonl")
    for row in map(json.loads, lines.splitlines()):
        other = rows[row["video"]]
        assert (row["score"], row["reason"]) == (float(other["score"]) if other["score"] else None, other["reason"])
    status, document, _ = run(*base, "--format", "json")
    told = json.loads(document)
    assert [row["video"] for row in told["scores"]] == ["v/a.mp4", "none.mp4"]
    assert f"{told['scores'][0]['score']:.2f}" in table
    assert told["bundle"]["models"][0]["weights_sha256"]
    assert json.loads(run(*base, "--json")[1])["bundle"] == told["bundle"]


def test_a_list_comes_from_stdin(trained: Trained, tree: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("v/a.mp4\nv/deep/b.mp4\n"))
    status, out, _ = run("score", "-", "--model", trained.bundle, "--format", "jsonl")
    assert status == 0
    assert {json.loads(line)["video"] for line in out.splitlines()} == {"v/a.mp4", "v/deep/b.mp4"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--window", "2"], "--window does something only with --timeline; add it"),
        (["--step", "2"], "--step does something only with --timeline; add it"),
        (["--plot", "x.html"], "--plot does something only with --timeline; add it"),
        (["--retry-failed"], "--retry-failed does something only with --output; add it"),
        (["--timeline", "--why"], "ask one at a time"),
        (["--why", "--format", "csv"], "use json"),
        (["--timeline", "--retry-failed", "--output", "x.csv"], "leave it out"),
        (["--timeline", "--cache", "c"], "--cache holds whole videos and does nothing for --timeline; leave it out"),
        (["--format", "xml"], "'xml' is not one of"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tree: Path, run: Run, given: list[str], reason: str) -> None:
    status, _, err = run("score", "v/a.mp4", *given)
    assert (status, reason in err) == (2, True)


def test_a_workspace_s_own_bundle_is_the_default(trained: Trained, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.folder)
    status, out, _ = run("score", "clips/c0v0.mp4", "--json")
    assert (status, json.loads(out)["scores"][0]["cached"]) == (0, 2)


def test_without_a_bundle_the_error_says_what_to_run(tree: Path, run: Run) -> None:
    status, _, err = run("score", "v/a.mp4")
    assert (status, "scorer.vqa: there is no bundle here; run `vqa train` first" in err) == (1, True)
