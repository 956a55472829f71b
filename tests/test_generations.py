"""Numbers that change under a candidate: noticed before anything is decoded, explained, and kept apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drifting import install
from workspaces import make_clips

from vqa.cache.segment import open_segment
from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.extract import backends
from vqa.extract.machine import Device
from vqa.extract.spec import Candidate, InputSpec, ModelSpec, parse_spec, plan_candidate
from vqa.pipeline import candidates, crossing, extraction, features
from vqa.pipeline.examining import Examiner
from vqa.records import CandidateRecord, VideoFeatures
from vqa.workspace import open_workspace

Run = Callable[..., tuple[int, str, str]]
MODELS = ("drift:one", "drift:two", "drift:still")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    make_clips(folder)
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages that has the first version of the drifting backend."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install(tmp_path / "site", "1")
    yield tmp_path / "site"
    backends._plugins.cache_clear()


@pytest.fixture
def workspace(run: Run, tmp_path: Path, material: Path, site: Path) -> Path:
    """A workspace extracted by version 1, to which a video was added since."""
    folder = tmp_path / "w"
    shutil.copytree(material, tmp_path / "m")
    named = [part for model in MODELS for part in ("--models", model)]
    run("init", folder, "--videos", tmp_path / "m" / "clips", "--labels", tmp_path / "m" / "labels.csv", *named)
    file = folder / "vqa.toml"
    file.write_text(
        file.read_text().replace("bins = 6", "bins = 4").replace('precision = "auto"', 'precision = "float32"')
    )
    assert run("extract", "-C", folder)[0] == 0
    with shutil.copy(tmp_path / "m" / "clips" / "c0v0.mp4", tmp_path / "m" / "clips" / "new.mp4").open("ab") as clip:
        clip.write(b"\0" * 8)
    with (tmp_path / "m" / "labels.csv").open("a") as labels:
        labels.write("new,50,c9\n")
    return folder


def segments(folder: Path) -> set[Path]:
    return set(folder.glob("cache/*/*.h5"))


def extract(run: Run, folder: Path, *arguments: object) -> list[tuple[Any, ...]]:
    status, out, err = run("extract", "-C", folder, "--json", *arguments)
    assert status == 0, err
    return [(row["name"], row["generation"], row["stored"], row["cached"]) for row in json.loads(out)["candidates"]]


def test_an_upgrade_that_changes_numbers_stops_the_run_and_explains_itself(
    run: Run, workspace: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = segments(workspace)
    install(site, "2", one=0.01, two=0.02)
    monkeypatch.setattr(extraction, "run_jobs", None)  # nothing is decoded
    status, out, err = run("extract", "-C", workspace)
    assert (status, out) == (1, "")
    assert err.startswith("Error: drift:two (and 1 more): its numbers changed, features of the probe clip differ from ")
    assert "by 0.02 of their length, where rounding explains 2e-04" in err
    assert "versions changed since: vqa-drift 1 -> 2; install those of before again, or start a new generation" in err
    assert "`vqa extract --new-generation`" in err
    assert err.count("\n") == 1
    assert segments(workspace) == before


def test_where_no_version_changed_another_machine_is_supposed(run: Run, workspace: Path, site: Path) -> None:
    install(site, "1", one=0.01)
    status, _, err = run("extract", "-C", workspace)
    assert (status, "Error: drift:one: its numbers" in err) == (1, True)
    assert "no version changed, so it is another machine or device: go back to that, or start a new generation" in err


def test_a_new_generation_is_started_of_those_that_changed_and_no_others(run: Run, workspace: Path, site: Path) -> None:
    before = segments(workspace)
    install(site, "2", one=0.01)
    told = extract(run, workspace, "--new-generation")
    assert told == [("drift:one", 1, 17, 0), ("drift:two", 0, 1, 16), ("drift:still", 0, 1, 16)]
    assert before < segments(workspace)
    held = {(stored.record.name, stored.record.generation, stored.videos) for stored in store(workspace).candidates()}
    assert held == {("drift:one", 0, 16), ("drift:one", 1, 17), ("drift:two", 0, 17), ("drift:still", 0, 17)}
    assert extract(run, workspace) == [("drift:one", 1, 0, 17), ("drift:two", 0, 0, 17), ("drift:still", 0, 0, 17)]
    install(site, "1")  # going back goes back from the new generation, not to the old one
    assert run("extract", "-C", workspace, "--new-generation", "--models", "drift:one")[0] == 0
    assert {stored.record.generation for stored in store(workspace).candidates()} == {0, 1, 2}


def test_a_new_generation_is_started_even_where_no_video_is_new(run: Run, workspace: Path, site: Path) -> None:
    extract(run, workspace)
    install(site, "2", two=0.01)
    assert extract(run, workspace) == [("drift:one", 0, 0, 17), ("drift:two", 0, 0, 17), ("drift:still", 0, 0, 17)]
    told = extract(run, workspace, "--new-generation")
    assert told == [("drift:one", 0, 0, 17), ("drift:two", 1, 17, 0), ("drift:still", 0, 0, 17)]


def test_selection_training_and_scoring_follow_the_new_generation(run: Run, workspace: Path, site: Path) -> None:
    clip = workspace.parent / "m" / "clips" / "c0v0.mp4"
    extract(run, workspace)
    for arguments in (["select", "--top-k", 3], ["train", "--cached"]):
        assert run(arguments[0], "-C", workspace, *arguments[1:])[0] == 0
    bundle = ["--model", workspace / "scorer.vqa"]  # without the workspace, whose cache has the features of before
    assert run("score", clip, *bundle)[0] == 0
    install(site, "2", one=0.01)
    assert run("score", clip, "-C", workspace)[0] == 0
    status, out, err = run("score", clip, *bundle)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert (
        "drift:one: its numbers changed, features of the probe clip differ from those the bundle was trained on" in err
    )
    assert "vqa-drift 1 -> 2" in err
    extract(run, workspace, "--new-generation")
    status, _, err = run("train", "-C", workspace, "--cached")
    assert (status, err) == (1, "Error: drift:one: selected before its new generation; run `vqa select` again\n")
    old = {row["name"]: row["fingerprint"] for row in json.loads((workspace / "selection.json").read_text())["rows"]}
    assert run("select", "-C", workspace, "--top-k", 3)[0] == 0
    new = {row["name"]: row["fingerprint"] for row in json.loads((workspace / "selection.json").read_text())["rows"]}
    assert {name for name in old if old[name] != new[name]} == {"drift:one"}
    assert run("train", "-C", workspace, "--cached")[0] == 0
    assert run("score", clip, *bundle)[0] == 0


def test_rounding_goes_on_and_the_first_probe_stays(run: Run, workspace: Path, site: Path) -> None:
    before = {stored.record.name: stored.probe for stored in store(workspace).candidates()}
    install(site, "2", one=0.00001)
    assert extract(run, workspace)[0] == ("drift:one", 0, 1, 16)
    files = [segment for segment in segments(workspace) if segment.parent.name.startswith("drift_one")]
    assert len(files) == 2
    assert {probe_of(file) for file in files} == {before["drift:one"]}


def test_no_probe_is_run_where_nothing_is_to_do(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract(run, workspace)
    monkeypatch.setattr(candidates, "probe_features", None)
    assert run("extract", "-C", workspace)[0] == 0


def test_other_weights_are_told_as_such_and_may_start_a_generation(run: Run, workspace: Path, site: Path) -> None:
    install(site, "1", weights=1)
    status, _, err = run("extract", "-C", workspace, "--models", "drift:one")
    assert (status, "drift:one: the weights changed (SHA-256 " in err, err.count("\n")) == (1, True, 1)
    assert "or start a new generation: `vqa extract --new-generation`" in err
    assert extract(run, workspace, "--models", "drift:one", "--new-generation") == [("drift:one", 1, 17, 0)]


def test_a_candidate_whose_probe_is_not_finite_is_not_run_and_others_are(run: Run, workspace: Path, site: Path) -> None:
    install(site, "2", one=float("1e39"))
    status, out, _ = run("extract", "-C", workspace, "--json")
    report = json.loads(out)
    assert status == 3
    assert [row["name"] for row in report["candidates"]] == ["drift:two", "drift:still"]
    assert "its features of vqa's probe clip are not finite" in report["unavailable"]["drift:one"]


def test_the_tables_show_generations_where_there_are_any(run: Run, workspace: Path, site: Path) -> None:
    named = [["models", "drift:*"], ["cache", "info"]]
    before = [run(*arguments, "-C", workspace)[1] for arguments in named]
    install(site, "2", one=0.01)
    after = [run("extract", "-C", workspace, "--new-generation")[1]]
    after += [run(*arguments, "-C", workspace)[1] for arguments in named]
    assert ["generation" in text for text in before] == [False, False]
    assert ["generation" in text for text in after] == [True, True, True]


def candidate(generation: int) -> Candidate:
    size = InputSpec(resize=(32,), crop=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Candidate(ModelSpec("fake", "x"), size, "none", "float32", generation=generation)


def test_the_first_generation_is_left_out_of_the_fingerprint() -> None:
    assert "generation" not in candidate(0).details
    assert json.loads(candidate(1).details)["generation"] == 1
    assert candidate(1).fingerprint != candidate(0).fingerprint
    assert [candidate(number).record.generation for number in (0, 2)] == [0, 2]
    assert CandidateRecord("a", "b", '{"generation":"c"}').generation == 0


def test_the_highest_generation_counts_even_when_it_is_not_complete(workspace: Path) -> None:
    for generation, videos in ((0, 3), (1, 1), (2, 2)):
        record = candidate(generation).record
        with store(workspace).writer(record, weights_sha256="a", versions={}) as writer:
            for video in range(videos):
                writer.put(f"{video}", VideoFeatures(np.ones((1, 4), np.float16), np.zeros(1)), seconds=0)
    current = features.current_candidates(store(workspace), open_workspace(workspace))
    assert [(one.record.generation, one.videos) for one in current if one.record.name == "fake:x"] == [(2, 2)]


def test_the_doctor_looks_at_the_generation_that_an_extraction_goes_on_with(tmp_path: Path, site: Path) -> None:
    spec = parse_spec("drift:one")
    first = plan_candidate(spec, backends.find_backend("drift").describe(spec), "float32")
    held = FeatureStore(tmp_path / "cache")
    for one, videos in ((first, 3), (replace(first, precision="bfloat16", generation=1), 2)):
        with held.writer(one.record, weights_sha256="a", versions={}) as writer:
            for video in range(videos):
                writer.put(f"{video}", VideoFeatures(np.ones((1, 4), np.float16), np.zeros(1)), seconds=0)
    state = Examiner("auto", Device("cpu", "none", None, False, "no AMX"), FeatureStore(held.root)).examine(spec)
    assert (state.precision, state.reason) == ("bfloat16", "as in the cache (2 videos)")


def test_two_caches_share_a_model_only_where_its_numbers_agree(workspace: Path, tmp_path: Path) -> None:
    def held(name: str, *probe: float) -> StoredCandidate:
        at = FeatureStore(tmp_path / name)
        with at.writer(candidate(0).record, weights_sha256="a", versions={}, probe=probe) as writer:
            writer.put("1", VideoFeatures(np.ones((1, 2), np.float16), np.zeros(1)), seconds=0)
        return FeatureStore(at.root).candidates()[0]

    here = held("a", 3.0, 4.0)
    assert crossing._are_alike(here, held("b", 3.0, 4.0001))
    assert not crossing._are_alike(here, held("c", 3.0, 4.01))
    assert crossing._are_alike(here, held("d"))


def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder / "cache")


def probe_of(file: Path) -> tuple[float, ...]:
    return open_segment(file).provenance.probe
