"""`vqa cache info VIDEO`: of any feature the bytes, weights, preprocessing, versions, time and place."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cachefill import fill
from media import textured_frames, write_video
from workspaces import tiny_models

from vqa.cache.key import KeyMemo
from vqa.cache.store import FeatureStore
from vqa.extract.backends import find_backend, weights_sha256
from vqa.extract.model import load_network
from vqa.extract.spec import parse_spec, plan_candidate
from vqa.pipeline import describe_features, import_table
from vqa.records import CandidateRecord, fingerprint_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips with features by a network and by a measure of whole frames, and one that can't be decoded."""
    root = tmp_path_factory.mktemp("info")
    (root / "clips").mkdir()
    for number in range(3):
        write_video(root / "clips" / f"clip{number}.mp4", textured_frames(6, seed=number))
    (root / "clips" / "bad.mp4").write_bytes(b"no video")
    model = tiny_models(root)[2]
    (root / "vqa.toml").write_text(
        '[dataset]\nvideos = "clips"\n[extract]\nframes = 4\nprecision = "float32"\n'
        f'models = ["{model}", "classic:siti"]\n'
    )
    subprocess.run([sys.executable, "-m", "vqa", "extract", "-C", root], check=False, capture_output=True)
    return root


@pytest.fixture
def workspace(extracted: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed; its videos are other files with the same bytes."""
    return Path(shutil.copytree(extracted, tmp_path / "w"))


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_feature_tells_bytes_weights_preprocessing_versions_time_and_place(extracted: Path) -> None:
    before = datetime.now(UTC)
    report = describe_features(["clip1.mp4"], ["timm:*"], folder=extracted)
    (origin,) = report.origins
    spec = parse_spec(origin.model)
    candidate = plan_candidate(spec, find_backend("timm").describe(spec), "float32")
    clip = extracted / "clips" / "clip1.mp4"
    assert (origin.key, origin.paths) == (sha256(clip), (clip,))
    assert origin.weights_sha256 == weights_sha256(load_network(candidate))
    assert origin.weights_id == f"sha256:{sha256(Path(spec.weights))}"
    assert (origin.precision, origin.spec["view"], origin.spec["frames"]) == ("float32", "resize", 4)
    assert origin.input["crop"] == [160, 160]
    assert (origin.decoding, origin.decoding_version) == (json.loads(candidate.details)["decoding"], 2)
    assert origin.versions["torch"] == metadata.version("torch")
    assert 0 <= (before - datetime.fromisoformat(origin.created)).total_seconds() < 600
    store = FeatureStore(extracted / "cache")
    segment, position = store.locate(origin.fingerprint, origin.key)
    assert (origin.segment, origin.position) == (segment.path, position)
    assert (origin.rows[1] - origin.rows[0], origin.width) == store.read(origin.fingerprint, origin.key).values.shape
    assert segment.keys[position] == origin.key


@pytest.mark.parametrize("how", ["id", "stem", "path", "prefix", "key"])
def test_a_video_is_named_by_its_id_its_path_or_its_key(extracted: Path, how: str) -> None:
    clip = extracted / "clips" / "clip2.mp4"
    key = sha256(clip)
    named = {"id": "clip2.mp4", "stem": "clip2", "path": str(clip), "prefix": key[:8].upper(), "key": key}
    report = describe_features([named[how]], folder=extracted)
    assert [(origin.key, origin.model.split(":")[0]) for origin in report.origins] == [
        (key, "classic"),
        (key, "timm"),
    ]


def test_the_bytes_of_a_file_that_is_gone_are_still_known(workspace: Path) -> None:
    clip = workspace / "clips" / "clip0.mp4"
    key = KeyMemo(workspace / "cache").key(clip)
    clip.unlink()
    report = describe_features([str(clip)], folder=workspace)
    assert {origin.key for origin in report.origins} == {key}
    assert clip in report.origins[0].paths


def test_a_video_that_failed_is_told_with_its_reason(run: Run, extracted: Path) -> None:
    status, out, _ = run("cache", "info", "bad.mp4", "-C", extracted)
    assert status == 0
    assert "No features of that are in the cache" in out
    assert "the file is no video that can be read" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clip9"], "clip9: is no id of the dataset, no file, and no key in the cache; did you mean clip"),
        (["clip1.mp4", "--models", "classic:sitl"], "the cache holds no 'classic:sitl'; did you mean classic:siti?"),
        (["0123456"], "0123456: is no id of the dataset, no file, and no key in the cache"),
        (["x" * 300], "x: is no id of the dataset, no file, and no key in the cache; "),
        (["vqa.toml"], "vqa.toml: the cache has no features of it; run `vqa extract`"),
    ],
)
def test_what_is_not_there_is_one_line(
    run: Run, extracted: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(extracted)
    status, out, err = run("cache", "info", *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_digits_that_several_keys_begin_with_are_refused(run: Run, workspace: Path) -> None:
    report = describe_features(["clip0"], ["classic:siti"], folder=workspace)
    store = FeatureStore(workspace / "cache")
    stored = next(one for one in store.candidates() if one.record.name == "classic:siti")
    features = store.read(stored.record.fingerprint, report.origins[0].key)
    with store.writer(stored.record, weights_sha256=stored.weights_sha256, versions={}) as writer:
        for last in "ab":
            writer.put("c0ffee11" + last * 56, features, seconds=0)
    status, _, err = run("cache", "info", "c0ffee11", "-C", workspace)
    assert (status, err) == (
        1,
        "Error: c0ffee11: 2 keys begin so (c0ffee11aaaa, c0ffee11bbbb); write more digits\n",
    )


@pytest.mark.parametrize(
    "details",
    [
        {"spec": [1], "input": "x", "precision": 5, "decoding": [1], "weights_id": 7},
        {"spec": {"a": {"b": [1, {"c": 2}]}}, "precision": ["a"], "decoding": {"x": [5]}, "generation": True},
    ],
)
def test_details_of_another_form_are_left_out_or_told_as_text(
    run: Run, tmp_path: Path, details: dict[str, object]
) -> None:
    (tmp_path / "vqa.toml").write_text('[dataset]\nvideos = "."\n')
    (tmp_path / "a.mp4").touch()
    text = json.dumps(details, sort_keys=True, separators=(",", ":"))
    fill(tmp_path / "cache", {"c0ffee11" * 8: 1}, record=CandidateRecord("timm:x", fingerprint_of(text), text))
    status, out, err = run("cache", "info", "c0ffee11", "-C", tmp_path)
    assert (status, err, "generation" in out, "precision" in out) == (0, "", False, False)
    assert run("cache", "info", "c0ffee11", "--json", "-C", tmp_path)[0] == 0
    assert run("cache", "info", "-C", tmp_path)[0] == 0


def test_imported_features_tell_their_file(tmp_path: Path) -> None:
    ids = np.array(["a", "b", "c"])
    np.savez(tmp_path / "pool.npz", ids=ids, mos=np.arange(3.0), brisque=np.arange(6, dtype=np.float32).reshape(3, 2))
    import_table(tmp_path / "pool.npz", "pool", folder=tmp_path / "w")
    (origin,) = describe_features(["b"], folder=tmp_path / "w").origins
    assert (origin.key, origin.model, origin.weights_sha256) == ("id:b", "imported:pool", "")
    assert origin.source is not None
    assert (origin.source.file, origin.source.sha256) == ("pool.npz", sha256(tmp_path / "pool.npz"))
    assert (origin.position, origin.rows) == (1, (1, 2))


def test_the_text_says_all_that_the_json_does(run: Run, extracted: Path) -> None:
    status, out, _ = run("cache", "info", "clip1.mp4", "--models", "timm:*", "--json", "-C", extracted)
    assert status == 0
    (told,) = json.loads(out)["origins"]
    status, text, _ = run("cache", "info", "clip1.mp4", "--models", "timm:*", "-C", extracted)
    assert status == 0
    wanted = ["key", "weights_sha256", "weights_id", "created", "segment", "fingerprint", "precision"]
    assert [name for name in wanted if told[name] not in text] == []
    assert [rule for rule in told["decoding"].values() if rule not in text] == []
    assert [name for name, version in told["versions"].items() if f"{name} {version}" not in text] == []
    assert f"crop {told['input']['crop'][0]}/{told['input']['crop'][1]}" in text


def test_the_table_of_candidates_may_be_narrowed(run: Run, extracted: Path) -> None:
    def shown(*arguments: str) -> list[Any]:
        out = run("cache", "info", "-C", extracted, "--json", *arguments)[1]
        return [candidate["record"]["name"].split(":")[0] for candidate in json.loads(out)["candidates"]]

    assert shown() == ["classic", "timm"]
    assert shown("--models", "classic:*") == ["classic"]
