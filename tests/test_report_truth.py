"""The page of results does not say what is no longer so."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reports import blocks_of, imported, page_of, text_of
from safetensors.torch import load_file, save_file
from workspaces import Trained, make_clips, tiny_models

import vqa
from vqa.clusters import mos_clusters
from vqa.pipeline.progress import SILENT
from vqa.pipeline.report_findings import Findings
from vqa.pipeline.reporting import make_page
from vqa.report.content import Code, Plot
from vqa.workspace import open_workspace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """A workspace of imported features, selected, trained and evaluated."""
    folder = imported(tmp_path / "w")
    vqa.rank_models(folder, top_k=1)
    vqa.train_regressor(folder, cached=True)
    vqa.evaluate_workspace(folder, splits=3, top_k=1, baselines=False)
    return folder


def change_labels(folder: Path) -> None:
    file = next(folder.glob("*.csv"))
    rows = list(csv.DictReader(file.open(newline="")))
    scores = [row["mos"] for row in rows]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "mos": score} for row, score in zip(rows, scores[1:] + scores[:1], strict=True))


def test_labels_that_changed_since_the_selection_are_told_beside_what_stands_on_it(
    rated: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = page_of(rated)
    every = "\n".join(text_of(page, section.id) for section in page.sections)
    assert "Labels changed since" not in every
    change_labels(rated)
    page, _ = page_of(rated)
    told = [section.id for section in page.sections if "Labels changed since" in text_of(page, section.id)]
    assert len(told) == 2
    monkeypatch.chdir(rated)
    assert "vqa select   labels changed since models were ranked" in run()[1]
    assert run("select", "--top-k", 1)[0] == 0
    page, _ = page_of(rated)
    assert not [section.id for section in page.sections if "Labels changed since" in text_of(page, section.id)]


def test_files_of_two_evaluations_are_not_mixed(rated: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before, page = (rated / "results" / "evaluation.json").read_text(), page_of(rated)
    vqa.evaluate_workspace(rated, splits=4, top_k=1, baselines=False)
    assert text_of(page_of(rated)[0], "splits") != text_of(page[0], "splits")
    (rated / "results" / "evaluation.json").write_text(before)  # the tables beside it are of the other evaluation
    assert text_of(page_of(rated)[0], "splits") == text_of(page[0], "splits")
    (rated / "results" / "evaluation.json").write_text("{}")
    monkeypatch.chdir(rated)
    assert "vqa evaluate" in run()[1]


def test_borders_in_the_ratings_are_those_of_the_rows_compared(tmp_path: Path) -> None:
    labels = make_clips(tmp_path)
    rows = list(csv.reader(labels.open(newline="")))
    with labels.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*rows[0], "split"])
        writer.writerows([*row, "test" if row[0].endswith("v3") else "train"] for row in rows[1:])
    vqa.init_workspace(tmp_path / "w", tmp_path / "clips", labels=labels)
    vqa.extract_features(tmp_path / "w", ["classic:siti"])
    page, _ = page_of(tmp_path / "w")
    drawn = [shape["x0"] for shape in blocks_of(page, "overview", Plot)[0].figure["layout"]["shapes"]]
    trained = np.array([float(row[1]) for row in rows[1:] if not row[0].endswith("v3")])
    assert drawn == pytest.approx(list(mos_clusters(trained, bins=6, rule="width").borders)[1:-1], abs=0.01)


def test_a_model_that_could_not_run_stands_on_the_page_and_is_told_before_a_later_step_fails(
    tmp_path: Path, run: Run
) -> None:
    labels = make_clips(tmp_path)
    spec = tiny_models(tmp_path)[0]
    file = Path(spec[spec.index("/") :])
    broken = {name: value * float("nan") for name, value in load_file(file).items()}
    save_file(broken, file.with_name("broken.safetensors"))
    lost = spec.replace(file.name, "broken.safetensors")
    vqa.init_workspace(tmp_path / "w", tmp_path / "clips", labels=labels)
    models = ["--models", "classic:siti", "--models", lost]
    status, _, err = run("run", "-C", tmp_path / "w", *models, "--splits", 2)
    assert status == 1
    assert f"not run: {lost}: " in err
    assert "top_k = 4 in vqa.toml: there are 1 ranked candidates" in err
    status, _, _ = run("run", "-C", tmp_path / "w", *models, "--splits", 2, "--top-k", 1)
    assert status == 3
    assert lost in (tmp_path / "w" / "results" / "report.html").read_text()


def test_the_commands_to_repeat_have_the_precision_that_was_used(trained: Trained) -> None:
    page, _ = make_page(Findings(open_workspace(trained.folder), thumbnails=False, progress=SILENT))
    commands = "\n".join(block.text for block in blocks_of(page, "repeat", Code))
    held = ("float32", "bfloat16")
    assert any(f"vqa extract --precision {precision}" in commands for precision in held)


def test_a_folder_is_no_place_for_an_export(trained: Trained, tmp_path: Path, run: Run) -> None:
    (tmp_path / "d.onnx").mkdir()
    status, _, err = run("export", tmp_path / "d.onnx", "--model", trained.bundle)
    assert (status, "d.onnx: is a folder" in err) == (1, True)
