"""Workspaces, caches and bundles from elsewhere: whole commands end in a result or one line, and touch nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated, mutated_text
from workspaces import make_clips, tiny_models

from vqa.cache.folder import append_line
from vqa.cache.key import KeyMemo
from vqa.cache.transfer import imported_record
from vqa.errors import BundleError
from vqa.pipeline.documents import read_document, write_document
from vqa.pipeline.trusting import check_told
from vqa.train.bundle import Bundle, load_bundle

Run = Callable[..., tuple[int, str, str]]
Snapshot = Mapping[str, str]

IDS = (
    *("../../outside", "/etc/passwd", "C:\\x\\y", "..", ".", "~/x", "a" * 1000, "con", "x/../../../y"),
    *("$(touch x)", "`touch x`", "; touch x", "%2e%2e%2fx", "file:///etc/passwd"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after `extract`, `select` and `train`."""
    from vqa import pipeline

    folder = tmp_path_factory.mktemp("made") / "w"
    folder.mkdir()
    make_clips(folder)
    models = json.dumps(list(tiny_models(folder)[:2]))
    (folder / "vqa.toml").write_text(
        f'[dataset]\nvideos = "clips"\nlabels = "labels.csv"\n[extract]\nmodels = {models}\nframes = 2\n'
        '[train]\nmethod = "ptm-vqa"\nrestarts = 1\nepochs = 2\n'
    )
    pipeline.extract_features(folder)
    pipeline.rank_models(folder, top_k=2)
    pipeline.train_regressor(folder, cached=True)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, with something around it that is not to be touched."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("as it was\n")
    folder = tmp_path / "w" / "w"
    shutil.copytree(made, folder)
    memo = KeyMemo(folder / "cache")
    for clip in (folder / "clips").iterdir():  # keys are remembered by path
        memo.key(clip)
    return folder


def snapshot(folder: Path) -> Snapshot:
    """Return what lies in a folder and below it, links as what they are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


@pytest.fixture(autouse=True)
def _nothing_outside(tmp_path: Path) -> Iterator[None]:
    """Fails a test that touches something outside the workspace."""
    yield
    if (tmp_path / "outside").exists():
        assert (tmp_path / "outside" / "canary").read_text() == "as it was\n"
        assert [path.name for path in (tmp_path / "outside").iterdir()] == ["canary"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "w"]


COMMANDS = {
    "labels.csv": ("select", "--top-k", "1"),
    "selection.json": ("train", "--cached"),
    "scorer.vqa": ("score", "clips/c0v0.mp4"),
    "cache/*/*.h5": ("cache", "info"),
    "cache/keys.jsonl": ("train", "--cached"),
    "clips/c1v1.mp4": ("extract", "--retry-failed"),
}
"""By the file that is damaged, the command that reads it."""


def damage_and_run(folder: Path, run: Run, name: str, number: int) -> None:
    """Damage a file of a workspace, and run the command that reads it."""
    file = next(folder.glob(name))
    change = mutated_text if file.suffix in (".csv", ".json", ".jsonl") else mutated
    whole = file.read_bytes()
    file.write_bytes(change(whole, f"{name}:{number}"))
    command = [folder / part if part.startswith("clips/") else part for part in COMMANDS[name]]
    status, out, err = run(*command, "-C", folder)
    assert status in (0, 1, 3), (name, number, out, err)
    assert "Traceback" not in out + err, (name, number)
    assert status != 1 or err.rstrip("\n").splitlines()[-1].startswith("Error: "), (name, number, err)
    file.write_bytes(whole)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_a_damaged_file_ends_in_a_result_or_one_line(folder: Path, run: Run, name: str) -> None:
    for number in range(3):
        damage_and_run(folder, run, name, number)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_on_many_damaged_files_end_in_a_result_or_one_line(folder: Path, run: Run, name: str) -> None:
    for number in range(3, 80):
        damage_and_run(folder, run, name, number)


def test_a_selection_whose_names_are_not_the_caches_is_one_line(folder: Path, run: Run) -> None:
    file = folder / "selection.json"
    document = read_document(file, digest_since=0)
    for row in document["rows"]:
        row["name"] += "x"
    write_document(file, document.pop("schema"), document)
    status, _, err = run("train", "--cached", "-C", folder)
    chosen = ", ".join(row["name"] for row in document["rows"] if row["selected"])
    assert (status, err) == (1, f"Error: {chosen}: called otherwise in the cache; run `vqa select` again\n")


def test_links_in_place_of_what_is_written_are_replaced_not_followed(folder: Path, run: Run) -> None:
    canary = folder.parents[1] / "outside" / "canary"
    (folder / "results").mkdir()
    results = [f"results/{name}" for name in ("metrics.csv", "predictions.csv", "evaluation.json", "splits.json")]
    names = ["selection.json", "scorer.vqa", "cache/keys.jsonl", *results]
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(canary)
    assert run("extract", "-C", folder)[0] == 0
    assert run("select", "--top-k", "2", "-C", folder)[0] == 1  # no key could be remembered
    (folder / "cache" / "keys.jsonl").unlink()
    assert run("extract", "-C", folder)[0] == 0
    assert run("select", "--top-k", "2", "-C", folder)[0] == 0
    assert run("evaluate", "--splits", "1", "--method", "ptm-vqa", "--no-baselines", "-C", folder)[0] == 0
    assert not any((folder / name).is_symlink() for name in results)
    assert canary.read_text() == "as it was\n"


@pytest.mark.parametrize("name", ["selection.json", "scorer.vqa"])
def test_a_link_in_place_of_a_result_becomes_a_file(folder: Path, run: Run, name: str) -> None:
    canary = folder.parents[1] / "outside" / "canary"
    (folder / name).unlink()
    (folder / name).symlink_to(canary)
    command = {"selection.json": ("select", "--top-k", "2"), "scorer.vqa": ("train", "--cached")}[name]
    assert run(*command, "-C", folder)[0] == 0
    assert not (folder / name).is_symlink()
    assert canary.read_text() == "as it was\n"


def test_a_line_is_not_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        append_line(tmp_path / "link.jsonl", {"path": "$(touch x)"}, sync=False)
    assert (tmp_path / "file").read_text() == ""


def test_a_candidate_that_is_a_link_is_refused_and_what_it_leads_to_stays(folder: Path, run: Run) -> None:
    name = json.loads(run("cache", "info", "--json", "-C", folder)[1])["candidates"][0]["record"]["name"]
    candidate = next(path for path in (folder / "cache").iterdir() if path.is_dir() and "-" in path.name)
    elsewhere = folder.parent / candidate.name
    candidate.rename(elsewhere)
    candidate.symlink_to(elsewhere)
    before = snapshot(elsewhere)
    for chore in (("drop", name), ("verify", "--repair"), ("compact",)):
        status, _, err = run("cache", *chore, "-C", folder)
        assert status == 1
        assert "is a link, and links in a cache are not followed; put the folder itself there" in err
    assert snapshot(elsewhere) == before


def test_ids_that_are_paths_or_commands_never_become_either(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "w" / "w"
    folder.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("as it was\n")
    rng = np.random.default_rng(0)
    ids = [*IDS, *(f"{name}{number}" for number in range(2) for name in IDS)]
    arrays = {f"feat__{name}": rng.normal(size=(len(ids), 3)) for name in ("../../x", "/etc/y", "a b")}
    np.savez(folder / "t.npz", ids=np.array(ids), mos=np.arange(float(len(ids))), group=np.array(ids), **arrays)
    commands = (
        ("cache", "import", folder / "t.npz", "--as", "x"),
        ("select", "--top-k", "1"),
        ("train", "--cached", "--method", "ptm-vqa"),
        ("cache", "info"),
        ("cache", "export", folder / "out.csv"),
    )
    for command in commands:
        status, out, err = run(*command, "-C", folder)
        assert status == 0, (command, err)
        assert "Traceback" not in out + err
    made = {path.name for path in folder.rglob("*") if path.is_dir()}
    fingerprints = {imported_record(f"imported:x/{name}", 3).fingerprint for name in ("../../x", "/etc/y", "a_b")}
    assert {name.rpartition("-")[2] for name in made if "-" in name} == fingerprints
    assert not (folder / "x").exists()


@pytest.mark.parametrize("name", ["../x", "/x", "", ".", "a\nb", "x;y", "a" * 300])
def test_a_name_for_features_that_is_a_path_is_refused(tmp_path: Path, run: Run, name: str) -> None:
    np.savez(tmp_path / "t.npz", ids=np.array(["a", "b"]), mos=[1.0, 2.0], feat__x=np.eye(2))
    status, _, err = run("cache", "import", tmp_path / "t.npz", "--as", name, "-C", tmp_path)
    assert status == 1
    assert "can't name imported features" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.npz"]


@pytest.mark.parametrize(
    "change",
    [
        {"scale": [1]},
        {"scale": [1, float("inf")]},
        {"mos_range": "ab"},
        {"videos": "many"},
        {"labels": 7},
        {"details": None},
        {"details": {"spec": {"backend": "timm", "name": "x", "evil": 1}, "precision": "float32"}},
        {"details": {"spec": {"backend": "timm", "name": "x", "frames": 10**12}, "precision": "float32"}},
        {"details": {"spec": {"backend": "timm", "name": "x", "frames": True}, "precision": "float32"}},
        {"details": {"spec": {"backend": "timm", "name": ["x"]}, "precision": "float32"}},
        {"details": {"spec": {"backend": "timm", "name": "x", "view": "squeeze"}, "precision": "float32"}},
        {"details": {"spec": {"backend": "timm", "name": "x"}, "precision": "__import__"}},
        {"details": {"spec": {"backend": "timm", "name": "x"}, "precision": "float32", "generation": {}}},
        {"details": {"spec": {"backend": "timm", "name": "x"}, "precision": "float32", "generation": True}},
        {"details": {"spec": {"backend": "timm", "name": "x"}, "precision": "float32", "generation": -1}},
        {"versions": [], "of": "model"},
        {"versions": {"torch": 2}, "of": "model"},
    ],
)
def test_a_bundle_that_does_not_say_what_scoring_needs_is_one_line(made: Path, change: dict[str, object]) -> None:
    bundle = load_bundle(made / "scorer.vqa")
    check_told(bundle)
    header = json.loads(json.dumps(dict(bundle.header)))
    (header["models"][0] if {"details", "of"} & change.keys() else header).update(change)
    with pytest.raises(BundleError, match=r"the bundle's header can't be used \(.+\); train again"):
        check_told(Bundle(header, bundle.fitted))
