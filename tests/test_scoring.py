from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundles import without_digest
from media import textured_frames, write_video
from workspaces import Trained

import vqa.extract.model
from vqa.cache.store import FeatureStore
from vqa.errors import VideoError
from vqa.extract.video import decode_frames, read_timeline
from vqa.pipeline import Scorer, evaluate_bundle, extract_features, init_workspace, load_scorer
from vqa.settings import ExtractSettings
from vqa.workspace import DatasetSettings, open_workspace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def other(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second workspace: 6 clips that the scorer was not trained on, extracted with the same models."""

    folder = tmp_path_factory.mktemp("other")
    (folder / "clips").mkdir()
    rows = [("id", "mos")]
    for seed in range(6):
        write_video(folder / "clips" / f"n{seed}.mp4", textured_frames(12, seed=seed))
        rows.append((f"n{seed}", str(10 * seed)))
    shutil.copy(trained.clips[3], folder / "clips" / "seen.mp4")
    rows.append(("seen", "50"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    extract = open_workspace(trained.folder).extract
    init_workspace(folder, DatasetSettings(videos=str(folder / "clips"), labels=str(folder / "labels.csv")), extract)
    extract_features(folder)
    return folder


def refuse_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("vqa.pipeline.backbones.load_network", refuse)


def test_a_score_from_the_cache_is_bit_for_bit_what_evaluate_predicts(
    trained: Trained, other: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    status, out, _ = run("evaluate", "-C", trained.folder, "--model", trained.bundle, "--on", other, "--json")
    report = json.loads(out)
    assert (status, report["test_videos"], report["in_both"]) == (0, 6, 1)
    with Path(report["files"][0]).open(newline="") as file:
        predicted = {row["id"]: float(row["blend"]) for row in csv.DictReader(file)}
    assert len(predicted) == 6
    refuse_networks(monkeypatch)
    clips = sorted((other / "clips").glob("n*.mp4"))
    for paths in ([clips[2]], clips, clips[::-1]):
        status, out, _ = run("score", *paths, "--model", trained.bundle, "-C", other, "--json")
        rows = json.loads(out)["scores"]
        assert status == 0
        assert {Path(row["video"]).stem: row["score"] for row in rows} == {p.stem: predicted[p.stem] for p in paths}
        assert [row["cached"] for row in rows] == [2] * len(paths)


def test_a_bundle_is_not_tested_on_what_it_was_trained_on(trained: Trained, run: Run) -> None:
    status, _, err = run("evaluate", "-C", trained.folder, "--model", trained.bundle)
    assert status == 1
    assert "the 16 videos to test on were all trained on; test on another workspace with --on" in err


def test_a_bundle_s_own_cache_must_have_its_features(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.folder / "clips", tmp_path / "clips")
    shutil.copy(trained.folder / "labels.csv", tmp_path)
    shutil.copy(trained.folder / "vqa.toml", tmp_path)
    with pytest.raises(Exception, match=r"has no features of 2 of the bundle's 2 models .* run `vqa extract"):
        evaluate_bundle(tmp_path, trained.bundle)


def test_a_bundle_without_a_digest_is_used_with_one_note_by_whatever_loads_it(
    trained: Trained, other: Path, tmp_path: Path, run: Run
) -> None:
    bundle = tmp_path / "old.vqa"
    shutil.copy(trained.bundle, bundle)
    without_digest(bundle)
    note = f"{bundle}: of an older version, without a digest by which damage is noticed"
    commands = (
        ("score", *trained.clips[:2], "--model", bundle),
        ("score", trained.clips[0], "--model", bundle, "--json"),
        ("evaluate", "--model", bundle, "--on", other),
        ("export", tmp_path / "head.onnx", "--model", bundle),
    )
    for command in commands:
        status, out, err = run(*command, "-C", trained.folder)
        assert (status, " ".join(err.split()).count(note)) == (0, 1), (command, err)
        assert note not in out or "--json" in command
        assert note not in run(*command, "-q", "-C", trained.folder)[2]
    scorers = Scorer.load(bundle), Scorer.load(trained.bundle)
    assert scorers[0].info.note.startswith(note)
    assert scorers[1].info.note == ""
    clip = trained.clips[1]
    assert scorers[0].score(clip).score == scorers[1].score(clip).score


def test_a_flipped_bit_of_a_bundle_is_one_line_for_whatever_loads_it(
    trained: Trained, other: Path, tmp_path: Path, run: Run
) -> None:
    bundle = tmp_path / "flipped.vqa"
    content = bytearray(trained.bundle.read_bytes())
    content[-3] ^= 1  # the last tensor's
    bundle.write_bytes(content)
    commands = (
        ("score", trained.clips[0], "--model", bundle),
        ("evaluate", "--model", bundle, "--on", other),
        ("export", tmp_path / "head.onnx", "--model", bundle),
    )
    for command in commands:
        status, _, err = run(*command, "-C", trained.folder)
        reason = "ValueError: its bytes are not those that were written"
        line = f"Error: {bundle}: is no bundle, or a damaged one ({reason}); run `vqa train` again\n"
        assert (status, err) == (1, line)


def test_options_of_training_do_nothing_for_a_bundle(trained: Trained, run: Run) -> None:
    for given in (["--splits", 3], ["--method", "blend"], ["--top-k", 2], ["--no-baselines"]):
        status, _, err = run("evaluate", "-C", trained.folder, "--model", trained.bundle, *given)
        assert (status, f"--model is trained already; leave out {given[0]}" in err) == (2, True)


@pytest.mark.parametrize("settings", [ExtractSettings(batch=1, workers=1), ExtractSettings(batch=7), ExtractSettings()])
def test_a_score_from_the_file_stays_within_a_thousandth_of_the_scale(
    trained: Trained, settings: ExtractSettings
) -> None:
    cached = {row.video: row.score for row in load_scorer(folder=trained.folder).score_many(trained.clips)}
    scorer = Scorer.load(trained.bundle, settings=settings)
    for company in (trained.clips, trained.clips[5:6], trained.clips[::-3]):
        report = scorer.score_many(company)
        assert [row.cached for row in report] == [0] * len(company)
        for row in report:
            assert row.score == pytest.approx(cached[row.video], abs=0.001 * 100)


def test_decoded_frames_score_as_their_file_does(trained: Trained, tmp_path: Path) -> None:
    path = write_video(tmp_path / "shown.mkv", textured_frames(24, seed=3))
    timeline = read_timeline(path)
    rgb = np.stack([frame for _, frame in decode_frames(path, timeline, np.arange(24))])
    scorer = Scorer.load(trained.bundle)
    from_file, from_frames = scorer.score(path), scorer.score(rgb, timeline.pts_seconds + 3.5)
    assert from_frames.score == from_file.score
    assert (from_frames.low, from_frames.high) == (from_file.low, from_file.high)
    assert from_frames.video == "decoded frames"
    together = scorer.score_many([(rgb, timeline.pts_seconds), path, (rgb[::-1].copy(), timeline.pts_seconds)])
    assert [row.score for row in together][:2] == [from_file.score] * 2
    assert all(row.score is not None for row in together)


def test_what_is_no_video_is_an_error_alone_and_a_row_in_company(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    scorer = Scorer.load(trained.bundle)
    with pytest.raises(VideoError, match=r"broken.mp4: "):
        scorer.score(tmp_path / "broken.mp4")
    with pytest.raises(VideoError, match="give pts_seconds"):
        scorer.score(np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(VideoError, match="leave them out"):
        scorer.score(trained.clips[0], [0.0, 1.0])
    frames = (np.zeros((4, 8, 8), np.uint8), [0.0, 1.0, 2.0, 3.0])
    report = scorer.score_many([tmp_path / "broken.mp4", tmp_path / "none.mp4", trained.clips[0], frames])
    assert [row.score is None for row in report] == [True, True, False, True]
    assert [bool(row.reason) for row in report] == [True, True, False, True]
    assert not report.complete


def test_the_percentile_counts_the_training_scores_below(trained: Trained) -> None:
    from vqa.pipeline.scores import percentile
    from vqa.pipeline.trusting import TRAINING_MOS
    from vqa.train.bundle import load_bundle

    bundle = load_bundle(trained.bundle)
    known = bundle.extras[TRAINING_MOS]
    assert known.tolist() == sorted(80 - 20 * level + content / 10 for level in range(4) for content in range(4))
    assert percentile(bundle, 19.0) == 0
    assert percentile(bundle, 20.0) == pytest.approx(100 / 32)
    assert percentile(bundle, 50.0) == 50
    assert percentile(bundle, 100.0) == 100


def test_a_named_cache_is_used_and_added_to(
    trained: Trained, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, cache = trained.clips[:3], tmp_path / "cache"
    before = Scorer.load(trained.bundle).score_many(clips)
    status, out, _ = run("score", *clips, "--model", trained.bundle, "--cache", cache, "--json")
    first = json.loads(out)["scores"]
    assert (status, [row["cached"] for row in first]) == (0, [0, 0, 0])
    stored = FeatureStore(cache).candidates()
    assert [one.videos for one in stored] == [3, 3]
    assert all(one.probe for one in stored)
    refuse_networks(monkeypatch)
    status, out, _ = run("score", *clips, "--model", trained.bundle, "--cache", cache, "--json")
    again = json.loads(out)["scores"]
    assert [row["cached"] for row in again] == [2, 2, 2]
    assert [row["score"] for row in again] == [row["score"] for row in first] == [row.score for row in before]


def test_only_the_backbones_that_a_video_lacks_are_loaded(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, cache = trained.clips[0], tmp_path / "cache"
    whole = Scorer.load(trained.bundle, cache=cache).score(clip)
    dropped = FeatureStore(cache).candidates()[0]
    shutil.rmtree(dropped.folder)
    loaded: list[str] = []
    load = vqa.extract.model.load_network
    monkeypatch.setattr("vqa.pipeline.backbones.load_network", lambda one: loaded.append(str(one)) or load(one))
    row = Scorer.load(trained.bundle, cache=cache).score(clip)
    assert loaded == [dropped.record.name]
    assert (row.score, row.cached) == (whole.score, 1)


def test_a_workspace_s_cache_is_read_and_never_added_to(trained: Trained, tmp_path: Path, run: Run) -> None:
    new = write_video(tmp_path / "new.mp4", textured_frames(12))
    before = sorted(path.name for path in (trained.folder / "cache").rglob("*"))
    status, out, _ = run("score", new, trained.clips[0], "-C", trained.folder, "--json")
    assert (status, [row["cached"] for row in json.loads(out)["scores"]]) == (0, [0, 2])
    assert sorted(path.name for path in (trained.folder / "cache").rglob("*")) == before


def test_results_show_themselves_in_a_notebook(trained: Trained, tmp_path: Path) -> None:
    path = write_video(tmp_path / "<b>&.mkv", textured_frames(12))
    report = Scorer.load(trained.bundle).score_many([path, tmp_path / "none.mp4"])
    html = report._repr_html_()
    assert "&lt;b&gt;&amp;.mkv" in html
    assert "0 (worst) to 100 (best)" in html
    assert "No such file" in html
    assert html.count("<tr>") == 3
    assert report[0]._repr_html_().count("<tr>") == 2
