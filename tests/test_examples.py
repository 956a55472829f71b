from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from media import textured_frames, write_video
from workspaces import Trained, tiny_models

ROOT = Path(__file__).parents[1]


def call(example: str, *arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Run an example as a user does, from a folder of their own; gives exit status, stdout and stderr."""
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def workspace(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished workspace, to add to."""
    folder = tmp_path_factory.mktemp("examples") / "workspace"
    return Path(shutil.copytree(trained.folder, folder))


def test_every_example_is_run_here() -> None:
    tested = {"add_backbone.py", "rate_quality.py", "score_folder.py", "train_on_own_ratings.py"}
    assert {file.name for file in (ROOT / "examples").glob("*")} - {"__pycache__"} == tested


def test_a_folder_is_scored_and_its_worst_are_shown(trained: Trained, tmp_path: Path) -> None:
    for clip in trained.clips[1:4]:
        shutil.copy(clip, tmp_path)
    (tmp_path / "broken.MP4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("no video either")
    arguments = (tmp_path, "--model", trained.bundle, "--output", "scores.csv", "--why")
    status, out, err = call("score_folder.py", *arguments, cwd=tmp_path)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "3 of 4 videos scored, on a scale from 0 (worst) to 100 (best)"
    shown = [float(line.split()[0]) for line in lines if "better than" in line]
    assert len(shown) == 3
    assert shown == sorted(shown)
    assert lines[1].endswith("v3.mp4")  # the noisiest version
    assert sum("lowered most by" in line for line in lines) == 3
    assert any("broken.MP4" in line and "failed" in line for line in lines)
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_own_ratings_become_a_scorer_and_a_figure(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.folder / "clips", tmp_path / "clips")
    model = tiny_models(tmp_path)[0]
    arguments = ("clips", trained.folder / "labels.csv", "--scale", 0, 100, "--models", model, "--top-k", 1)
    status, out, err = call("train_on_own_ratings.py", *arguments, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "16 videos, 16 of them decoded now" in out
    assert f"chosen by dbi: {model}" in out
    assert "on contents that were not trained on, 20 splits" in out
    assert "SROCC " in out
    assert (tmp_path / "workspace" / "scorer.vqa").is_file()
    status, _, err = call(
        "train_on_own_ratings.py", "clips", "none.csv", "--scale", 1, 5, "--workspace", "w2", cwd=tmp_path
    )
    assert (status, err.count("\n"), "none.csv" in err) == (1, 1, True)


def test_a_backbone_is_added_ranked_and_compared(workspace: Path, tmp_path: Path) -> None:
    added = tiny_models(tmp_path)[2]
    status, out, err = call("add_backbone.py", workspace, added, "--top-k", 2, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert f"{added}: computed for 16 videos, for 0 it was there before" in out
    assert out.count("  DBI ") == 3
    assert "of 20 splits" in out
    counts = [int(word) for word in out.splitlines()[-1].replace(",", "").split() if word.isdigit()]
    assert sum(counts) == 20


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a phone's video: upright, its frames 40 ms apart but for one, full range."""
    frames = textured_frames(25, height=96, width=128)
    pts = [*range(12), *range(15, 28)]
    full = {"color_range": 2, "colorspace": 1}
    path = tmp_path_factory.mktemp("phone") / "phone.mp4"
    return write_video(path, frames, codec="libx264", pix_fmt="yuv420p", pts=pts, rotation=90, color=full, matrix=1)


def test_two_encoders_are_compared_at_equal_rates(trained: Trained, rotated: Path, tmp_path: Path) -> None:
    arguments = (rotated, "--model", trained.bundle, "--kbps", 50, 800, "--encoders", "libx264", "nosuch", "libvpx-vp9")
    status, out, err = call("rate_quality.py", *arguments, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "nosuch: left out, since the FFmpeg of this PyAV has no such encoder" in out
    with (tmp_path / "rate_quality.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["encoder"], row["asked_kbps"]) for row in rows] == [
        ("libx264", "50"),
        ("libx264", "800"),
        ("libvpx-vp9", "50"),
        ("libvpx-vp9", "800"),
    ]
    assert all(0 < float(row["score"]) < 100 for row in rows)
    assert {row["low"] + row["high"] for row in rows} == {""}  # too few videos were trained on to know it
    assert float(rows[0]["kbps"]) < float(rows[1]["kbps"])
    page = (tmp_path / "rate_quality.html").read_text()
    assert "libvpx-vp9" in page
    assert "<script src=" not in page


def test_encodes_show_the_clips_own_frames_at_their_own_times(rotated: Path, tmp_path: Path) -> None:
    import importlib.util

    import numpy as np

    from vqa.extract.video import decode_frames, read_timeline

    spec = importlib.util.spec_from_file_location("rate_quality", ROOT / "examples" / "rate_quality.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    sys.modules["rate_quality"] = example
    spec.loader.exec_module(example)
    shown = {}
    for encoder in ("", "libx264", "libx265"):
        file = example.encode(rotated, tmp_path / f"{encoder}.mp4", encoder, 4000).file if encoder else rotated
        timeline = read_timeline(file)
        frames = [rgb.astype(int) for _, rgb in decode_frames(file, timeline, np.arange(25))]
        shown[encoder] = timeline.pts_seconds.round(3).tolist(), frames
    assert shown[""][0][11:13] == [0.44, 0.6]
    for encoder in ("libx264", "libx265"):
        assert shown[encoder][0] == shown[""][0]
        assert shown[encoder][1][0].shape == (128, 96, 3)
        differences = [ours - theirs for ours, theirs in zip(shown[encoder][1], shown[""][1], strict=True)]
        assert np.abs(differences).mean() < 1
        assert abs(np.mean(differences)) < 0.2
