"""`vqa export`: a scorer as ONNX, and features as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from vqa.cli import main
from vqa.errors import BundleError
from vqa.pipeline import export_head
from vqa.train.bundle import load_bundle, save_bundle

Run = Callable[..., tuple[int, str, str]]

N = 30
PAGE = Path(__file__).parents[1] / "docs" / "export.md"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of imported features with a trained scorer."""
    folder = tmp_path_factory.mktemp("export")
    rng, mos = np.random.default_rng(0), np.linspace(1, 5, N)
    sets = {f"feat__{name}": (mos[:, None] + rng.normal(size=(N, 20))).astype(np.float32) for name in ("a", "b")}
    sets["feat__b"][4, 3] = np.nan
    np.savez(folder / "t.npz", ids=np.array([f"v{row:02}" for row in range(N)]), mos=mos, **sets)
    with pytest.MonkeyPatch.context() as patch:
        for words in (
            ("cache", "import", folder / "t.npz", "--as", "p", "-C", folder / "w"),
            ("select", "--top-k", 2, "-C", folder / "w"),
            ("train", "--cached", "-C", folder / "w"),
        ):
            patch.setattr("sys.argv", ["vqa", *map(str, words)])
            main()
    return folder / "w"


def test_an_exported_scorer_scores_an_exported_table_as_the_bundle_does(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    status, out, _ = run("export", tmp_path / "s.onnx", "-C", workspace)
    assert status == 0
    assert "imported:p/a" in out
    assert "(N, 20)" in out
    assert f"Trained on {N} videos with labels from 1 to 5." in out
    assert run("export", tmp_path / "f.NPZ", "-C", workspace)[0] == 0
    table = np.load(tmp_path / "f.NPZ")
    blocks = {name: table[f"feat__{name.removeprefix('imported:')}"] for name in ("imported:p/a", "imported:p/b")}
    session = onnxruntime.InferenceSession(tmp_path / "s.onnx", providers=["CPUExecutionProvider"])
    said = load_bundle(workspace / "scorer.vqa").predict(blocks)
    for found, wanted in zip(session.run(None, blocks), (said.scores, said.low, said.high), strict=True):
        assert found == pytest.approx(wanted, rel=1e-12)


def test_json_is_the_contract_that_stands_in_the_model(run: Run, workspace: Path, tmp_path: Path) -> None:
    printed = json.loads(run("export", tmp_path / "s.onnx", "-C", workspace, "--json")[1])
    (entry,) = onnx.load(tmp_path / "s.onnx").metadata_props
    contract = json.loads(entry.value)
    assert contract.pop("schema") == 1
    assert {key: value for key, value in printed.items() if key not in ("file", "bundle")} == contract
    assert [(row["width"], row["averaged_over"]) for row in contract["inputs"]] == [(20, "imported as averages")] * 2
    assert (contract["scale"], contract["mos_range"], contract["coverage"]) == ([1, 5], [1, 5], 0.9)
    assert len(contract["bundle_sha256"]) == 64


def test_the_block_in_the_docs_runs(
    run: Run, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("export", "scorer.onnx", "-C", workspace)[0] == 0
    assert run("export", "features.npz", "-C", workspace)[0] == 0
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    assert re.match(r"v00 \d\.\d+ on the scale \[1.0, 5.0\]\nv01 ", capsys.readouterr().out)


@pytest.mark.parametrize("suffix", ["npz", "csv", "mat"])
def test_a_table_is_what_cache_export_writes(run: Run, workspace: Path, tmp_path: Path, suffix: str) -> None:
    ours, theirs = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    status, out, _ = run("export", ours, "--models", "*/a", "-C", workspace)
    assert run("cache", "export", theirs, "--models", "*/a", "-C", workspace)[1] == out.replace(str(ours), str(theirs))
    assert status == 0
    time = rb"Created on: .{24}"  # in MATLAB's header
    assert re.sub(time, b"", ours.read_bytes()) == re.sub(time, b"", theirs.read_bytes())


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("x.txt",), 1, "x.txt: is of no kind that can be written; name a file that ends in .onnx, .npz, .csv, .mat"),
        (("onnx",), 1, "name a file that ends in .onnx, .npz, .csv, .mat"),
        (("x.onnx", "--models", "a"), 2, "--models is for tables, and a scorer has its own"),
        (("x.npz", "--model", "a"), 2, "--model is for .onnx, and a table has the cache's features"),
        (("x.npz", "--models", "nope"), 1, "the cache holds no 'nope'; known are: imported:p/a, imported:p/b"),
        (("x.onnx", "--model", "none.vqa"), 1, "none.vqa: there is no bundle here; run `vqa train` first"),
    ],
)
def test_what_can_not_be_exported_is_one_line_and_leaves_no_file(
    run: Run,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run("export", *words, "-C", workspace)
    assert (found, out, message in err.splitlines()[-1]) == (status, "", True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "clip_frames", "told"),
    [
        ({"frames": 8, "clips": 0}, 0, "8 frames"),
        ({"frames": 8, "clips": 0}, 32, "1 clip of 32 frames"),
        ({"frames": 8, "clips": 4}, 32, "4 clips of 32 frames"),
    ],
)
def test_frames_and_clips_are_told_apart(
    workspace: Path, tmp_path: Path, spec: dict[str, int], clip_frames: int, told: str
) -> None:
    bundle = load_bundle(workspace / "scorer.vqa")
    first, second = bundle.header["models"]
    details = {"spec": {"backend": "timm", "name": "a", **spec}, "precision": "float32"}
    model = {"name": "timm:a", "fingerprint": "f", "weights_sha256": "w"}
    model["details"] = {**details, "input": {"clip_frames": clip_frames}}
    save_bundle(tmp_path / "s.vqa", bundle.fitted, {**bundle.header, "models": [model, second]}, bundle.extras)
    report = export_head(tmp_path / "s.onnx", tmp_path / "s.vqa")
    assert [row.averaged_over for row in report.inputs] == [told, "imported as averages"]
    assert first["name"] == "imported:p/a"


def test_a_bundle_that_does_not_say_what_it_takes_leaves_the_older_file(workspace: Path, tmp_path: Path) -> None:
    bundle = load_bundle(workspace / "scorer.vqa")
    save_bundle(tmp_path / "s.vqa", bundle.fitted, {**bundle.header, "scale": None}, bundle.extras)
    (tmp_path / "s.onnx").write_text("older")
    with pytest.raises(BundleError, match="the bundle's header can't be used"):
        export_head(tmp_path / "s.onnx", tmp_path / "s.vqa")
    assert (tmp_path / "s.onnx").read_text() == "older"
