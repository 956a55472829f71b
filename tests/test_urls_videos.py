"""Videos at URLs give the features, scores and pictures of the same files in a folder."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from s3server import Bucket
from workspaces import Trained

from vqa.cache.store import FeatureStore
from vqa.dataset import read_dataset
from vqa.pipeline import Scorer, extract_features, init_workspace
from vqa.remote import RemotePath
from vqa.urls import place_of
from vqa.workspace import DatasetSettings, ExtractSettings, open_workspace

Run = Callable[..., tuple[int, str, str]]
Copies = Callable[[], list[str]]


def upload(clips: list[Path], bucket: Bucket) -> None:
    for clip in clips:
        bucket.put(f"clips/{clip.name}", clip.read_bytes())


def remote_workspace(folder: Path, trained: Trained, bucket: Bucket, *, videos: str = "clips") -> Path:
    """A workspace whose videos and cache are in a bucket, else as the trained one."""
    folder.mkdir(exist_ok=True)
    shutil.copy(trained.folder / "labels.csv", folder)
    extract = ExtractSettings(models=open_workspace(trained.folder).extract.models, frames=4)
    settings = DatasetSettings(
        videos=f"{bucket.url}/{videos}", labels=str(folder / "labels.csv"), scale=(0.0, 100.0), allow_missing=True
    )
    init_workspace(folder, settings, extract)
    file = folder / "vqa.toml"
    text = file.read_text().replace("bins = 6", "bins = 4").replace("splits = 20", "splits = 2")
    file.write_text(text.replace('cache = "cache"', f'cache = "{bucket.url}/cache"'))
    return folder


def features(store: FeatureStore) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """All that a cache holds, to the last bit."""
    found = {}
    for stored in store.candidates():
        fingerprint = stored.record.fingerprint
        for key in store.keys(fingerprint):
            video = store.read(fingerprint, key)
            found[fingerprint, key] = (video.values.tobytes(), video.pts_seconds.tobytes())
    return found


@pytest.fixture(scope="module")
def done(trained: Trained, s3: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bucket]:
    """A workspace at URLs that is extracted."""
    bucket = s3.bucket()  # type: ignore[attr-defined]
    upload(trained.clips, bucket)
    folder = remote_workspace(tmp_path_factory.mktemp("remote"), trained, bucket)
    report = extract_features(folder)
    assert (report.complete, report.decoded) == (True, 16)
    return folder, bucket


def test_features_are_those_of_local_files_to_the_last_bit(trained: Trained, done: tuple[Path, Bucket]) -> None:
    folder, _ = done
    here = features(FeatureStore(trained.folder / "cache"))
    assert features(FeatureStore(open_workspace(folder).cache_dir)) == here
    assert len(here) == 2 * 16


def test_a_second_run_reads_no_video_and_decodes_nothing(
    done: tuple[Path, Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RemotePath, "fetch", None)
    report = extract_features(done[0])
    assert (report.complete, report.decoded) == (True, 0)


def test_select_train_evaluate_and_report_work_on_the_cache_alone(
    trained: Trained, done: tuple[Path, Bucket], run: Run, copies: Copies
) -> None:
    folder, _ = done
    assert run("select", "-C", folder, "--top-k", 2)[0] == 0
    assert run("train", "-C", folder, "--cached")[0] == 0
    assert run("evaluate", "-C", folder, "--json")[0] == 0
    status, _, err = run("report", "-C", folder)
    assert status == 0, err
    page = (folder / "results" / "report.html").read_text()
    assert page.count("data:image/jpeg") >= 4
    clip = "c1v2.mp4"
    told = run("score", f"s3://{done[1].name}/clips/{clip}", "-C", folder, "--json")[1]
    here = run("score", trained.folder / "clips" / clip, "-C", trained.folder, "--json")[1]
    (remote,), (local,) = json.loads(told)["scores"], json.loads(here)["scores"]
    assert (remote["cached"], remote["score"]) == (2, local["score"])
    assert copies() == []


def test_scores_of_remote_files_are_those_of_local_ones(
    trained: Trained, done: tuple[Path, Bucket], run: Run, tmp_path: Path, copies: Copies
) -> None:
    _, bucket = done
    model, output = trained.bundle, tmp_path / "scores.csv"
    status, _, err = run("score", f"{bucket.url}/clips/c0v*.mp4", "--model", model, "--output", output)
    assert status == 0, err
    with output.open(newline="") as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    local = json.loads(run("score", *trained.clips[:4], "--model", model, "--json")[1])["scores"]
    assert [rows[f"{bucket.url}/clips/{Path(row['video']).name}"]["score"] for row in local] == [
        repr(row["score"]) for row in local
    ]
    again = run("score", f"{bucket.url}/clips/c0v*.mp4", "--model", model, "--output", output)
    assert again[0] == 0
    assert copies() == []


def test_a_timeline_and_the_reasons_of_a_remote_file_are_those_of_the_local_one(
    trained: Trained, done: tuple[Path, Bucket], copies: Copies
) -> None:
    url, clip = f"{done[1].url}/clips/c0v0.mp4", trained.clips[0]
    scorer = Scorer.load(trained.bundle)
    remote, local = (scorer.timeline(video, window_seconds=0.2, step_seconds=0.1) for video in (url, clip))
    assert remote.scores.tolist() == local.scores.tolist()
    assert (remote.video, len(local.scores), remote.complete) == (url, 3, True)
    assert replace(scorer.explain(url), video="") == replace(scorer.explain(clip), video="")
    assert copies() == []


def test_a_cache_at_a_url_is_added_to_by_score(trained: Trained, bucket: Bucket, run: Run) -> None:
    cache = f"{bucket.url}/scored"
    upload(trained.clips[:2], bucket)
    options = ("--model", trained.bundle, "--cache", cache, "--json")
    first = json.loads(run("score", f"{bucket.url}/clips", *options)[1])["scores"]
    second = json.loads(run("score", f"{bucket.url}/clips", *options)[1])["scores"]
    assert [row["cached"] for row in first + second] == [0, 0, 2, 2]
    assert [row["score"] for row in first] == [row["score"] for row in second]
    assert len(bucket.names("scored/keys/")) == 1


def test_the_chores_work_at_a_url(done: tuple[Path, Bucket], run: Run, tmp_path: Path) -> None:
    folder, bucket = done
    root = f"{bucket.url}/cache"
    status, out, _ = run("cache", "info", "-C", folder, "--json")
    assert (status, json.loads(out)["root"]) == (0, root)
    status, out, _ = run("cache", "info", f"{bucket.url}/clips/c0v0.mp4", "-C", folder, "--json")
    (first, _) = json.loads(out)["origins"]
    assert (first["paths"], first["segment"].startswith(root)) == ([f"{bucket.url}/clips/c0v0.mp4"], True)
    assert run("cache", "export", tmp_path / "table.npz", "-C", folder)[0] == 0
    assert run("cache", "import", tmp_path / "table.npz", "--as", "again", "-C", folder)[0] == 0
    assert run("cache", "compact", "-C", folder)[0] == 0
    assert run("cache", "verify", "-C", folder)[0] == 0
    assert run("cache", "drop", "imported:again*", "-C", folder)[0] == 0
    assert len(FeatureStore(place_of(root)).candidates()) == 2


@pytest.mark.parametrize("place", ["", "/", "/b", "/*.mp4", "/*/*.mp4", "/**/*.mp4", "/b/c0v1.mp4", "/[bx]/*1.mp4"])
def test_ids_are_those_of_the_same_files_in_a_folder(bucket: Bucket, tmp_path: Path, place: str) -> None:
    for name in ("c0v0.mp4", "b/c0v1.mp4", "b/.hidden.mp4", ".git/c0v2.mp4", "b/notes.txt", "b c#1%20.webm"):
        bucket.put(f"clips/{name}", b"no video")
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / name).write_bytes(b"no video")
    remote, local = (read_dataset(f"{base}/clips{place}", None) for base in (bucket.url, tmp_path))
    assert [row.id for row in remote.rows] == [row.id for row in local.rows]
    assert [str(row.path) for row in remote.rows] == [
        str(row.path).replace(str(tmp_path), bucket.url) for row in local.rows
    ]
