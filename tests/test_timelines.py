from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media import textured_frames, write_video
from workspaces import Trained

from vqa.errors import VideoError, VqaError
from vqa.pipeline import Scorer
from vqa.pipeline.timelines import MOST_WINDOWS, ScoreTimeline, plan_windows

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def scorer(trained: Trained) -> Scorer:
    return Scorer.load(trained.bundle)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds, 25 frames each, of four textures."""
    frames = [frame for seed in range(4) for frame in textured_frames(25, seed=seed)]
    return write_video(tmp_path_factory.mktemp("long") / "long.mkv", frames)


def spans(seconds: float, window: float, step: float) -> list[tuple[float, float]]:
    return [(one.begin_seconds, one.end_seconds) for one in plan_windows(seconds, window=window, step=step)]


def test_windows_cover_the_video_to_its_end() -> None:
    assert spans(9, 4, 2) == [(0, 4), (2, 6), (4, 8), (5, 9)]
    assert spans(8, 4, 2) == [(0, 4), (2, 6), (4, 8)]
    assert spans(8, 4, 4) == [(0, 4), (4, 8)]
    assert spans(3, 4, 2) == [(0, 3)]
    assert spans(10, 2, 5) == [(0, 2), (5, 7), (8, 10)]
    assert len(spans(0.3 * 7, 0.3, 0.3)) == 7  # rounding makes no window of its own


@pytest.mark.parametrize(("window", "step"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1), (float("inf"), 1)])
def test_windows_without_a_length_are_refused(window: float, step: float) -> None:
    with pytest.raises(VqaError, match="use lengths above 0"):
        plan_windows(10, window=window, step=step)


def test_more_windows_than_can_be_used_are_refused() -> None:
    with pytest.raises(VqaError, match="use a longer step"):
        plan_windows(MOST_WINDOWS, window=0.5, step=0.5)


def test_a_window_scores_as_a_video_cut_out_there(scorer: Scorer, long: Path, tmp_path: Path) -> None:
    timeline = scorer.timeline(long, window_seconds=1, step_seconds=1)
    assert timeline.begin_seconds.tolist() == [0, 1, 2, 3]
    assert timeline.seconds == pytest.approx(4)
    for second in range(4):
        cut = write_video(tmp_path / "cut.mkv", textured_frames(25, seed=second))
        alone = scorer.score(cut)
        assert timeline.scores[second] == pytest.approx(alone.score, abs=0.1)
    assert len(set(timeline.scores.tolist())) == 4


def test_decoded_frames_have_the_timeline_of_their_file(scorer: Scorer, long: Path) -> None:
    rgb = np.stack([frame for seed in range(4) for frame in textured_frames(25, seed=seed)])
    from_frames = scorer.timeline(rgb, np.arange(100) / 25, window_seconds=1, step_seconds=0.5)
    from_file = scorer.timeline(long, window_seconds=1, step_seconds=0.5)
    np.testing.assert_allclose(from_frames.scores, from_file.scores, atol=0.1)
    assert len(from_file.scores) == 7


def test_many_windows_go_through_several_decodes(scorer: Scorer, long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scorer.timeline(long, window_seconds=0.4, step_seconds=0.2)
    monkeypatch.setattr("vqa.pipeline.timelines._MOST_AT_ONCE", 3)
    parts = scorer.timeline(long, window_seconds=0.4, step_seconds=0.2)
    assert len(whole.scores) == 19
    np.testing.assert_allclose(parts.scores, whole.scores, atol=0.1)
    assert parts.complete


def test_windows_that_can_t_be_decoded_are_told_and_the_others_scored(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [frame for seed in range(4) for frame in textured_frames(25, seed=seed)]
    broken = write_video(tmp_path / "broken.mp4", frames, codec="libx264", pix_fmt="yuv420p", options={"g": "25"})
    content = bytearray(broken.read_bytes())
    middle = len(content) * 5 // 8
    content[middle : middle + 4000] = bytes(4000)
    broken.write_bytes(content)
    monkeypatch.setattr("vqa.pipeline.timelines._MOST_AT_ONCE", 1)
    timeline = scorer.timeline(broken, window_seconds=1, step_seconds=1)
    assert np.isfinite(timeline.scores[:2]).all()
    assert np.isnan(timeline.scores).any()
    assert not timeline.complete
    assert [bool(reason) for reason in timeline.reasons] == np.isnan(timeline.scores).tolist()
    assert len(set(timeline.reasons)) == 2
    assert np.isfinite(timeline.mean)


def test_worst_moments_do_not_overlap() -> None:
    begins = np.arange(6.0)
    timeline = ScoreTimeline(
        video="v",
        window_seconds=2,
        step_seconds=1,
        seconds=7,
        begin_seconds=begins,
        end_seconds=begins + 2,
        scores=np.array([5.0, 1.0, 2.0, 4.0, np.nan, 3.0]),
        low=np.full(6, np.nan),
        high=np.full(6, np.nan),
        scale=(0, 5),
        reasons=("", "", "", "", "cut off", ""),
    )
    assert [(one.begin_seconds, one.score) for one in timeline.worst()] == [(1.0, 1.0), (5.0, 3.0), (3.0, 4.0)]
    assert [one.begin_seconds for one in timeline.worst(1)] == [1.0]
    html = timeline._repr_html_()
    assert html.count("<polyline") == 2
    assert "1.0 to 3.0 s" in html


def test_a_file_that_is_no_video_has_no_timeline(scorer: Scorer, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    for path, reason in ((tmp_path / "x.mp4", "x.mp4: "), (tmp_path / "none.mp4", "can't be opened")):
        with pytest.raises(VideoError, match=reason):
            scorer.timeline(path)


def test_the_command_writes_rows_and_a_plot(trained: Trained, long: Path, tmp_path: Path, run: Run) -> None:
    names = [long, tmp_path / "none.mp4"]
    options = ["--model", trained.bundle, "--timeline", "--window", 1, "--step", 1]
    plot, file = tmp_path / "plot.html", tmp_path / "rows.csv"
    status, out, _ = run("score", *names, *options, "--output", file, "--plot", plot)
    assert status == 3
    assert "worst of 4 windows of 1 s, on the scale 0 (worst) to 100 (best)" in out
    assert "failed: " in out
    assert f"Written: {plot}" in out
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert "No such file" in rows.pop()["reason"]
    assert [float(row["begin_seconds"]) for row in rows] == [0, 1, 2, 3]
    page = plot.read_text()
    assert "Each point is the score of one window" in page
    assert str(long) in page
    status, out, _ = run("score", long, *options, "--json")
    (told,) = json.loads(out)["timelines"]
    assert (status, told["seconds"], len(told["windows"])) == (0, pytest.approx(4), 4)
    assert [window["score"] for window in told["windows"]] == [float(row["score"]) for row in rows]
    status, out, _ = run("score", long, *options, "--format", "jsonl")
    assert [json.loads(line)["score"] for line in out.splitlines()] == [float(row["score"]) for row in rows]
