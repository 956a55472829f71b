"""Decoding rules: each kind of input has its own, and what older ones made is told apart and brought up to date."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from vqa.errors import BundleError
from vqa.extract import rules, spec
from vqa.extract.rules import DECODING_RULES, NATIVE, DecodingRules
from vqa.extract.spec import VIEWS, Candidate, InputSpec, ModelSpec, NativeInput
from vqa.pipeline import Scorer, drop_features, import_table, look_around
from vqa.workspace import open_workspace

if TYPE_CHECKING:
    from workspaces import Trained

Run = Callable[..., tuple[int, str, str]]
Change = Callable[[str, DecodingRules], None]

INPUT = InputSpec(resize=(256,), crop=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLIPS = dataclasses.replace(INPUT, clip_frames=16, clip_fps=15.0)
KINDS = {
    "resize": Candidate(ModelSpec("timm", "x"), INPUT, "none", "float32"),
    "crop": Candidate(ModelSpec("timm", "x", view="crop"), INPUT, "none", "float32"),
    "fragments": Candidate(ModelSpec("timm", "x", view="fragments"), INPUT, "none", "float32"),
    NATIVE: Candidate(ModelSpec("classic", "x"), NativeInput(), "none", "float32"),
}


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Give one kind of input other rules, as a later version of vqa would."""

    def change(kind: str, new: DecodingRules) -> None:
        changed = MappingProxyType({**spec.DECODING_RULES, kind: new})
        for module in (rules, spec):
            monkeypatch.setattr(module, "DECODING_RULES", changed)

    return change


@pytest.fixture
def newer(change: Change) -> DecodingRules:
    """A later version of vqa, whose rules of resized views are others; returns these."""
    old = DECODING_RULES["resize"]
    new = DecodingRules(old.version + 1, {**old.texts, "start": "from the second clean frame"})
    change("resize", new)
    return new


@pytest.fixture
def workspace(trained: Trained, tmp_path: Path) -> Path:
    """A trained workspace that may be changed."""
    return Path(shutil.copytree(trained.folder, tmp_path / "w"))


def names(folder: Path) -> list[str]:
    return list(open_workspace(folder).extract.models)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_input_that_changes_moves_no_other(change: Change, kind: str) -> None:
    assert set(KINDS) == set(DECODING_RULES) == {*VIEWS, NATIVE}
    before = {name: candidate.fingerprint for name, candidate in KINDS.items()}
    change(kind, dataclasses.replace(DECODING_RULES[kind], version=99))
    assert {name for name, candidate in KINDS.items() if candidate.fingerprint != before[name]} == {kind}
    assert json.loads(KINDS[kind].details)["version"] == 99
    change(kind, dataclasses.replace(DECODING_RULES[kind], texts={"start": "another"}))
    assert {name for name, candidate in KINDS.items() if candidate.fingerprint != before[name]} == {kind}


def test_each_records_the_rules_that_apply_to_it_alone() -> None:
    dense = dataclasses.replace(KINDS["resize"], spec=ModelSpec("x", "y", clips=4), input=CLIPS)
    spread = dataclasses.replace(dense, spec=ModelSpec("x", "y"))
    runs = dataclasses.replace(KINDS[NATIVE], input=NativeInput(run=3))
    told = {
        name: json.loads(candidate.details)["decoding"]
        for name, candidate in {**KINDS, "dense": dense, "spread": spread, "runs": runs}.items()
    }
    assert told["spread"] == told["resize"]
    assert len({told[name]["sampling"] for name in ("resize", "dense", "runs")}) == 3
    assert [name for name, texts in told.items() if "grid" in texts.get("view", "")] == ["fragments"]
    assert [name for name, texts in told.items() if "view" not in texts] == [NATIVE, "runs"]


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [("resize", "48655b3a0099"), ("crop", "50c354db7471"), ("fragments", "ea65c21bf290"), (NATIVE, "788d869c755e")],
)
def test_a_rule_that_changes_changes_its_version_too(name: str, fingerprint: str) -> None:
    # Who changes a text or what the code does raises the version of that kind, and writes the new figure here.
    assert (DECODING_RULES[name].version, KINDS[name].fingerprint) == (2, fingerprint)


def test_a_cache_of_older_rules_names_the_command_that_computes_them_anew(
    newer: DecodingRules, run: Run, workspace: Path
) -> None:
    told = f"decoding rules {newer.version - 1}, and this version of vqa has {newer.version}"
    extract = "vqa extract " + " ".join(f"--models {name}" for name in sorted(names(workspace)))
    for arguments in (["select", "--top-k", 1], ["evaluate"], ["report"], ["cache", "export", workspace / "x.npz"]):
        status, out, err = run(*arguments, "-C", workspace)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert f"its features of 2 model(s) are of {told}; run `{extract}`" in err
    status, _, err = run("train", "--cached", "-C", workspace)
    assert (status, err.count("\n")) == (1, 1)
    assert all(name in err for name in names(workspace))
    assert f"selected on features of {told}; run `vqa extract --models " in err
    assert err.endswith("`, and `vqa select` again\n")
    (step,) = look_around(workspace).steps
    assert (step.command, step.why) == (extract, f"cached features are of {told}")


def test_a_bundle_of_older_rules_is_refused_before_anything_is_decoded(
    newer: DecodingRules, run: Run, trained: Trained, workspace: Path
) -> None:
    told = (
        f"the bundle was trained on features of decoding rules {newer.version - 1}, and this version of vqa has "
        f"{newer.version}; bring it up to date with `vqa extract`, `vqa select` and `vqa train`"
    )
    with pytest.raises(BundleError, match=told):
        Scorer.load(trained.bundle)
    for arguments in (["score", trained.clips[0]], ["evaluate", "--model", trained.bundle], ["export", "x.onnx"]):
        status, out, err = run(*arguments, "-C", workspace)
        assert (status, out, err) == (1, "", f"Error: {told}\n")


def test_the_cache_shows_what_is_old_and_drops_it(newer: DecodingRules, run: Run, workspace: Path) -> None:
    run("extract", "-C", workspace, "--models", names(workspace)[0])
    status, out, _ = run("cache", "info", "-C", workspace, "--json")
    report = json.loads(out)
    old = [entry["record"]["fingerprint"] for entry in report["candidates"] if entry["videos"] == 16][:3]
    assert (status, len(report["candidates"]), len(report["outdated"])) == (0, 3, 2)
    assert set(report["outdated"]) < set(old)
    out = run("cache", "info", "-C", workspace)[1]
    assert f"rules old: features of decoding rules {newer.version - 1}, and this" in out
    assert "`vqa cache drop --old-rules` removes the old ones" in out
    out = run("cache", "info", "c0v0", "-C", workspace)[1]
    assert all(f"How the files became frames: decoding rules {version}" in out for version in (2, newer.version))
    dropped = drop_features((), folder=workspace, old_rules=True)
    assert {stored.record.fingerprint for stored in dropped.candidates} == set(report["outdated"])
    out = run("cache", "info", "-C", workspace)[1]
    assert ("rules" in out, names(workspace)[0].split("/")[0] in out) == (False, True)
    assert "nothing to remove" in run("cache", "drop", "--old-rules", "-C", workspace)[1]


def test_dropping_old_rules_of_one_model_leaves_the_others(newer: DecodingRules, run: Run, workspace: Path) -> None:
    one, other = names(workspace)
    assert run("cache", "drop", "--old-rules", one, "-C", workspace)[0] == 0
    left = json.loads(run("cache", "info", "--json", "-C", workspace)[1])["candidates"]
    assert [entry["record"]["name"] for entry in left] == [other]
    assert run("cache", "drop", "-C", workspace)[0] == 2


def test_extract_select_and_train_bring_a_workspace_up_to_date(
    newer: DecodingRules, run: Run, trained: Trained, workspace: Path
) -> None:
    status, out, _ = run("extract", "-C", workspace)
    assert (status, "16 videos decoded" in out) == (0, True)
    assert "2 model(s) in the cache have features of older decoding rules (" in out
    status, _, err = run("train", "--cached", "-C", workspace)
    assert (status, err.endswith("; run `vqa select` again\n")) == (1, True)
    assert [step.command for step in look_around(workspace).steps] == ["vqa select"]
    for arguments in (["select", "--top-k", 2], ["train", "--cached"], ["score", trained.clips[0]]):
        assert run(*arguments, "-C", workspace)[0] == 0
    drop_features((), folder=workspace, old_rules=True)
    shutil.copy(trained.folder / "selection.json", workspace)  # made on features that are gone
    status, _, err = run("train", "--cached", "-C", workspace)
    assert (status, err.endswith("selected on other features than the cache has; run `vqa select` again\n")) == (
        1,
        True,
    )


def test_a_model_with_older_features_alone_is_left_out_by_name(newer: DecodingRules, run: Run, workspace: Path) -> None:
    one, other = names(workspace)
    run("extract", "-C", workspace, "--models", one)
    status, out, _ = run("select", "--top-k", 1, "--json", "-C", workspace)
    report = json.loads(out)
    assert (status, [row["name"] for row in report["rows"]]) == (0, [one])
    assert report["left_out"] == {
        other: f"its features are of decoding rules {newer.version - 1}, and this version of vqa has {newer.version}; "
        f"run `vqa extract --models {other}`"
    }


def test_imported_features_are_of_no_decoding_rules(newer: DecodingRules, run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,mos,f0\na,1,2\nb,2,3\nc,3,5\nd,4,1\n")
    import_table(tmp_path / "t.csv", "pool", folder=tmp_path / "w")
    assert json.loads(run("cache", "info", "--json", "-C", tmp_path / "w")[1])["outdated"] == {}
    assert drop_features((), folder=tmp_path / "w", old_rules=True).candidates == ()


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"version": "1", "spec": {"view": "resize"}, "input": {"crop": [1, 1]}},
        {"version": True, "spec": {"view": "resize"}, "input": {"crop": [1, 1]}},
        {"version": 1, "spec": "resize", "input": {"crop": [1, 1]}},
        {"version": 1, "spec": {"view": ["resize"]}, "input": {"crop": [1, 1]}},
        {"version": 1, "spec": {"view": "squeeze"}, "input": {"crop": [1, 1]}},
    ],
)
def test_details_of_another_form_are_of_no_older_rules(details: dict[str, object]) -> None:
    assert rules.tell_other_rules(details) == ""


def test_what_version_1_stored_is_of_older_rules() -> None:
    for candidate in KINDS.values():
        first = json.loads(candidate.details) | {"version": 1}
        assert rules.tell_other_rules(first) == "decoding rules 1, and this version of vqa has 2"
