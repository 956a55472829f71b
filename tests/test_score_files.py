from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faults import assert_nothing_runs_on
from workspaces import Trained

from vqa.errors import VqaError
from vqa.pipeline import Scorer, score_into
from vqa.pipeline.score_files import COLUMNS
from vqa.pipeline.scores import VideoScore

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def scorer(trained: Trained) -> Scorer:
    return Scorer.load(trained.bundle)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def clips(trained: Trained, tmp_path: Path) -> list[Path]:
    """Four good clips and a broken one, which may be changed."""
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "b.mp4").write_bytes(b"broken")
    return [Path(shutil.copy(path, folder)) for path in trained.clips[:4]] + [folder / "b.mp4"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_a_file_holds_every_row_in_the_order_asked_for(
    scorer: Scorer, clips: list[Path], tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"scores.{suffix}"
    report = score_into(scorer, clips[::-1], file)
    expected = {row.video: row for row in report}
    text = file.read_text()
    if suffix == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert tuple(rows[0]) == COLUMNS
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        document = json.loads(text)
        rows = document["scores"]
        assert document["bundle"]["sha256"] == scorer.info.sha256
        assert [model["fingerprint"] for model in document["bundle"]["models"]] == [
            model.fingerprint for model in scorer.info.models
        ]
        assert {"vqa", "torch", "av"} <= document["versions"].keys()
        assert document["bundle"]["models"][0]["details"]["spec"]["frames"] == 4
    assert [row["video"] for row in rows] == [str(path) for path in clips[::-1]]
    for row in rows[1:]:
        assert float(row["score"]) == expected[row["video"]].score
        assert float(row["percentile"]) == expected[row["video"]].percentile
        assert (float(row["scale_worst"]), float(row["scale_best"]), row["reason"]) == (0, 100, "")
    assert not rows[0]["score"]
    assert rows[0]["reason"] == expected[str(clips[4])].reason != ""


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_what_stands_in_the_file_is_not_scored_again(
    scorer: Scorer, clips: list[Path], tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"scores.{suffix}"
    first = score_into(scorer, clips[:2] + clips[4:], file)
    asked: list[str] = []
    score_many = Scorer.score_many
    monkeypatch.setattr(
        Scorer, "score_many", lambda self, videos, **rest: asked.extend(videos) or score_many(self, videos, **rest)
    )
    second = score_into(scorer, clips, file)
    assert asked == [str(path) for path in clips[2:4]]
    assert (second.resumed, len(second)) == (3, 5)
    assert second[0] == (replace(first[0], reading=None) if suffix == "csv" else first[0])
    whole = file.read_text()
    score_into(scorer, clips, file)
    assert asked == [str(path) for path in clips[2:4]]
    assert file.read_text() == whole


def test_a_video_that_changed_is_scored_again(scorer: Scorer, clips: list[Path], trained: Trained) -> None:
    file = clips[0].parent / "scores.csv"
    first = score_into(scorer, clips, file)
    shutil.copy(trained.clips[7], clips[0])
    shutil.copy(trained.clips[6], clips[4])
    second = score_into(scorer, clips, file)
    assert second.resumed == 3
    assert second[0].score == pytest.approx(scorer.score(trained.clips[7]).score)
    assert second[0].score != first[0].score
    assert (first.complete, second.complete) == (False, True)
    assert len(read(file)) == 5


def test_failed_videos_are_tried_again_when_told_to(scorer: Scorer, clips: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    assert score_into(scorer, clips, file).resumed == 0
    assert score_into(scorer, clips, file).resumed == 5
    assert score_into(scorer, clips, file, retry_failed=True).resumed == 4


def test_rows_of_other_videos_stay(scorer: Scorer, clips: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    score_into(scorer, clips[:2], file)
    report = score_into(scorer, clips[2:4], file)
    assert [row.video for row in report] == [str(path) for path in clips[2:4]]
    assert [row["video"] for row in read(file)] == [str(path) for path in clips[:4]]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_row_that_was_cut_off_is_scored_again(scorer: Scorer, clips: list[Path], tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"scores.{suffix}"
    score_into(scorer, clips, file)
    whole = file.read_text()
    for cut in (1, 20, len(whole.splitlines()[-1])):
        file.write_text(whole[:-cut])
        assert score_into(scorer, clips, file).resumed == 4
        assert len(file.read_text().splitlines()) == len(whole.splitlines())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.csv", "id,mos\na,1\n"),
        ("s.csv", "hello\n"),
        ("s.jsonl", '{"video": "a"}\n'),
        ("s.jsonl", "[1]\n"),
        ("s.json", "{}"),
        ("s.json", '{"scores": [{"video": 3}]}'),
        ("s.json", "not json"),
    ],
)
def test_a_file_of_something_else_stays_as_it_is(
    scorer: Scorer, clips: list[Path], tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(VqaError, match="holds something else than scores"):
        score_into(scorer, clips, tmp_path / name)
    assert (tmp_path / name).read_text() == text


def test_scores_of_another_bundle_are_not_mixed_in(scorer: Scorer, clips: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    score_into(scorer, clips[:1], file)
    text = file.read_text().replace(scorer.info.sha256, "0" * 64)
    file.write_text(text)
    with pytest.raises(VqaError, match=r"scores of another bundle \(SHA-256 000000000000"):
        score_into(scorer, clips[:1], file)
    assert file.read_text() == text


def test_names_that_can_t_be_seen_or_would_run_are_found_again(
    scorer: Scorer, trained: Trained, tmp_path: Path
) -> None:
    names = ["=1+1.mp4", "a\nb.mp4", '"q",.mp4', "\x1b[31m.mp4"]
    paths = [Path(shutil.copy(trained.clips[0], tmp_path / name)) for name in names]
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for suffix in ("csv", "jsonl", "json"):
            first = score_into(scorer, names, Path(f"s.{suffix}"))
            again = score_into(scorer, names, Path(f"s.{suffix}"))
            assert (first.complete, again.resumed) == (True, len(paths))
            assert [row.video for row in again] == names
        assert read(Path("s.csv"))[0]["video"] == "'=1+1.mp4"
    finally:
        os.chdir(here)


def test_rows_are_in_the_file_while_the_run_goes_on(scorer: Scorer, clips: list[Path], tmp_path: Path) -> None:
    seen: list[int] = []

    def look(row: VideoScore) -> None:
        seen.append(len((tmp_path / "s.csv").read_text().splitlines()))

    score_into(scorer, clips, tmp_path / "s.csv", on_score=look)
    assert seen == [2, 3, 4, 5, 6]


def test_a_format_must_be_known(scorer: Scorer, clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(VqaError, match=r"end it in .csv, .json or .jsonl, or give --format"):
        score_into(scorer, clips, tmp_path / "scores.txt")
    score_into(scorer, clips[:1], tmp_path / "scores.txt", output_format="jsonl")
    assert json.loads((tmp_path / "scores.txt").read_text())["video"] == str(clips[0])


@pytest.mark.parametrize(("clips", "broken"), [(60, 3), pytest.param(200, 10, marks=pytest.mark.slow)])
def test_many_clips_with_broken_ones_killed_in_the_middle(
    trained: Trained, tmp_path: Path, clips: int, broken: int
) -> None:
    folder, file = tmp_path / "many", tmp_path / "scores.csv"
    folder.mkdir()
    for number in range(clips):
        if number % (clips // broken) == 7:
            whole = trained.clips[number % 16].read_bytes()
            (folder / f"{number:03}.mp4").write_bytes(whole[: 500 + number])
        else:
            shutil.copy(trained.clips[number % 16], folder / f"{number:03}.mp4")
    command = [sys.executable, "-m", "vqa", "score", str(folder), "--model", str(trained.bundle), "--output", str(file)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while running.poll() is None and (not file.exists() or len(file.read_text().splitlines()) < clips // 4):
        time.sleep(0.01)
    assert running.poll() is None, "it ended before it could be killed"
    running.kill()
    running.wait()
    assert_nothing_runs_on(running.pid)
    kept = len(file.read_text().splitlines()) - 1
    assert clips // 4 - 1 <= kept < clips
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"{clips - broken} scored, {broken} failed" in done.stdout
    resumed = int(done.stdout.split(" of them stood in the file before")[0].split()[-1])
    assert kept - 1 <= resumed <= kept
    rows = read(file)
    assert [Path(row["video"]).name for row in rows] == [f"{number:03}.mp4" for number in range(clips)]
    assert [bool(row["score"]) for row in rows].count(True) == clips - broken
    assert [number for number, row in enumerate(rows) if row["reason"]] == list(range(7, clips, clips // broken))
    assert len({row["score"] for row in rows if row["score"]}) == 16
