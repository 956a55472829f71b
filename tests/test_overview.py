"""`vqa` alone: what is in this folder, and what to do next."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faketoys import IDS, put_features, toy_workspace, write_labels

from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.records import Failure

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def workspace(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of 30 videos in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    toy_workspace(run)
    return tmp_path


@pytest.fixture
def steps(run: Run) -> Callable[[], list[str]]:
    """Run `vqa` alone; gives the lines of its steps."""

    def look() -> list[str]:
        status, out, err = run()
        assert (status, err, out.count("\n") <= 7) == (0, "", True)
        assert out.endswith("All commands: vqa --help\n")
        return [" ".join(line.split()) for line in out.splitlines() if line.startswith("  ")]

    return look


def test_a_folder_without_a_workspace_is_told_how_to_begin_and_what_lies_below(
    run: Run, steps: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run()[1].startswith("This folder is no workspace: it has no vqa.toml\nNext:\n  vqa demo ")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "vqa.toml").touch()
    assert [line.split(" LABELS")[0] for line in steps()] == [
        "cd mine a workspace",
        "vqa demo the whole job on free clips, in minutes",
        "vqa init DIR --videos VIDEOS --labels",
    ]


def test_each_step_of_the_job_leads_to_the_next(run: Run, steps: Callable[[], list[str]], workspace: Path) -> None:
    assert steps() == ["vqa extract --models all no features are cached yet"]
    put_features("timm:toy", IDS[:25])
    assert steps() == ["vqa extract --models all 5 videos lack features of 1 models"]
    put_features("timm:toy")
    assert steps() == ["vqa select ranks the 1 models and chooses the best"]
    assert run("select", "--top-k", 1)[0] == 0
    assert steps() == ["vqa train --cached fits a scorer to their cached features"]
    assert run("train", "--cached")[0] == 0
    assert run()[1].startswith(
        "30 videos, 30 with a label; features of 1 models are cached, 0 videos failed\n"
        "1 models are selected, the scorer is trained on 30 videos\n"
    )
    assert [step.split()[1] for step in steps()] == ["evaluate", "score", "report"]
    assert run("evaluate", "--splits", 1, "--top-k", 1, "--no-baselines")[0] == 0
    assert [step.split()[1] for step in steps()] == ["score", "report"]


def test_what_is_stale_is_done_anew(run: Run, steps: Callable[[], list[str]], workspace: Path) -> None:
    put_features("timm:toy")
    run("select", "--top-k", 1)
    run("train", "--cached")
    put_features("timm:other")
    assert steps() == ["vqa select 1 cached models were never ranked"]
    run("select", "--top-k", 2)
    assert steps() == ["vqa train --cached the scorer is of another selection"]
    run("train", "--cached")
    write_labels(IDS[:-2])
    assert steps() == ["vqa select ranked on 30 videos, and there are 28"]
    run("select", "--top-k", 2)
    assert steps() == ["vqa train --cached trained on 30 videos, and there are 28"]
    run("cache", "drop", "timm:other")
    assert steps() == ["vqa select a selected model is no longer in the cache, or has newer features"]


def test_files_that_can_not_be_used_are_made_anew(run: Run, steps: Callable[[], list[str]], workspace: Path) -> None:
    put_features("timm:toy")
    Path("selection.json").write_text("[]")
    assert steps() == ["vqa select selection.json can't be used; choose anew"]
    run("select", "--top-k", 1)
    Path("scorer.vqa").write_text("no bundle")
    assert steps() == ["vqa train --cached scorer.vqa can't be used; train anew"]


def test_failed_videos_are_counted_and_not_waited_for(
    run: Run, steps: Callable[[], list[str]], workspace: Path
) -> None:
    put_features("timm:toy", IDS[1:])
    key = KeyMemo(Path("cache")).key(Path("clips/v00.mp4"))
    Ledger(Path("cache")).add(Failure("v00", key, "*", "*", "decode", "broken", "2026-01-01T00:00:00+00:00"))
    assert steps() == ["vqa select ranks the 1 models and chooses the best"]
    assert "1 videos failed" in run()[1]


def test_without_labels_there_is_nothing_to_select_on(
    run: Run, steps: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    Path("clips/v00.mp4").write_text("video")
    run("init", ".", "--videos", "clips")
    put_features("timm:toy", IDS[:1])
    assert steps() == ["edit vqa.toml no video to train on has a label; name a file of labels as `labels`"]


def test_imported_features_lead_to_an_export(
    run: Run, steps: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = "id,mos,a\n" + "".join(f"v{row},{row},{row % 7}\n" for row in range(30))
    (tmp_path / "t.csv").write_text(table)
    run("cache", "import", "t.csv", "--as", "p", "-C", ".")
    run("select", "--top-k", 1)
    run("train", "--cached")
    assert steps()[-2] == "vqa export scorer.onnx the scorer for other programs; its features are imported"
    run("cache", "drop", "imported:p")
    assert steps() == ["vqa cache import FILE --as NAME no features are cached yet, and there are no videos"]


@pytest.mark.parametrize("text", ["x = [", "[extract]\nframe = 3", "\udcff"], ids=["syntax", "key", "bytes"])
def test_a_damaged_workspace_is_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vqa.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    status, out, err = run()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("Error: vqa.toml: ")


def test_a_look_around_loads_no_model_library(workspace: Path) -> None:
    put_features("timm:toy")
    code = (
        "import sys\n"
        "from vqa.cli import main\n"
        "sys.argv = ['vqa']\n"
        "main()\n"
        "print(sorted({'torch', 'av', 'timm', 'open_clip', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("30 videos")
    assert done.stdout.splitlines()[-1] == "[]"
