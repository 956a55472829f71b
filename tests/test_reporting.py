from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pages import BREAKOUT
from reports import N, blocks_of, imported, page_of, section_of, text_of
from workspaces import make_clips

import vqa
from vqa.errors import CacheMissError
from vqa.files import sha256_of
from vqa.pipeline import build_report, run_workspace
from vqa.pipeline.documents import read_document, write_document
from vqa.report.content import Facts, Gallery, Plot, Table

NOTE = "made up; not human opinion"


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The whole job on 16 clips and one that is broken."""
    folder = tmp_path_factory.mktemp("job")
    labels = make_clips(folder)
    (folder / "clips" / "broken.mp4").write_bytes(b"no video")
    with labels.open("a") as file:
        file.write("broken,50,c4\n")
    settings = vqa.DatasetSettings(videos=str(folder / "clips"), labels=str(labels), scale=(0, 100), note=NOTE)
    vqa.init_workspace(folder / "w", settings)
    return run_workspace(folder / "w", ("classic:siti", "classic:nss"), top_k=2, splits=5)


def rows_of(file: Path):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def page(job):
    page, missing = page_of(job.page.file.parents[1], thumbnails=True)
    assert missing == ()
    return page


def test_a_broken_video_makes_the_whole_job_incomplete_and_stands_with_its_reason(job, page):
    assert not job.complete
    (table,) = blocks_of(page, "overview", Table)
    ((reason, stage, videos, models, such_as),) = table.rows
    assert (stage, videos, models, such_as) == ("decode", 1, "all", "broken")
    assert reason == job.extraction.failures[0].reason
    assert "Videos that failed: 1." in text_of(page, "overview")


def test_candidates_and_maps_have_the_figures_of_the_selection(job, page):
    selection = json.loads((job.page.file.parents[1] / "selection.json").read_text())
    (table,) = blocks_of(page, "models", Table)
    names = [column.name for column in table.columns]
    told = {row[0]: dict(zip(names, row, strict=True)) for row in table.rows}
    for row in selection["rows"]:
        assert told[row["name"]]["dbi"] == row["dbi"]
        assert told[row["name"]]["ridge"] == row["values"]["ridge"]
        assert told[row["name"]]["ms a video"] == row["cost_ms"]
    maps = blocks_of(page, "features", Plot)
    assert [each.title for each in maps] == [f"{row['name']}: DBI {row['dbi']:.2f}" for row in selection["rows"]]
    assert [len(each.table.rows) for each in maps] == [16, 16]
    (similar,) = blocks_of(page, "redundancy", Plot)
    assert similar.table.rows[0][2] == pytest.approx(selection["cka"][0][1])


def test_a_dot_is_the_mean_of_a_videos_test_predictions(job, page):
    rows = rows_of(job.page.file.with_name("predictions.csv"))
    (plot,) = blocks_of(page, "predictions", Plot)
    for video, mos, predicted, error, _, _, tests in plot.table.rows:
        own = [float(row["predicted"]) for row in rows if row["id"] == video]
        assert predicted == pytest.approx(np.mean(own), abs=0.01)
        assert error == pytest.approx(predicted - mos, abs=0.011)
        assert tests == len(own)


def test_medians_and_paired_tests_are_those_of_the_evaluation(job, page):
    written = json.loads(job.page.file.with_name("evaluation.json").read_text())["methods"]
    medians, paired = blocks_of(page, "splits", Table)
    assert {row[0]: row[1] for row in medians.rows} == {n: m["median"]["srocc"] for n, m in written.items()}
    assert {row[0]: row[2] for row in medians.rows} == {n: m["std"]["srocc"] for n, m in written.items()}
    assert {row[0]: row[-1] for row in paired.rows} == {
        name: method["paired"]["p_value"] for name, method in written.items() if method["paired"]
    }


def test_the_largest_errors_have_pictures_and_come_first(page):
    (gallery,) = blocks_of(page, "errors", Gallery)
    sizes = [abs(float(dict(picture.facts)["error"])) for picture in gallery.pictures]
    assert sizes == sorted(sizes, reverse=True)
    assert all(picture.jpeg.startswith(b"\xff\xd8") for picture in gallery.pictures)


def test_hashes_and_commands_repeat_the_job(job, page):
    facts = dict(pair for block in blocks_of(page, "repeat", Facts) for pair in block.rows)
    assert facts["scorer.vqa, the trained scorer"] == sha256_of(job.training.bundle)
    assert facts["splits evaluated on"] == job.evaluation.splits_sha256
    commands = section_of(page, "repeat")[1].text.splitlines()
    assert commands[-4:] == [
        "vqa select --top-k 2 --criterion dbi",
        "vqa train --cached --method blend",
        "vqa evaluate --splits 5 --top-k all --criterion dbi --method blend",
        "vqa report",
    ]


def test_labels_that_are_no_opinion_are_named_beside_the_title(page):
    assert page.warning == f"The labels are {NOTE}."


def test_the_same_workspace_gives_the_same_bytes(job, tmp_path):
    folder = job.page.file.parents[1]
    files = [build_report(folder, tmp_path / name, thumbnails=False).file for name in ("a.html", "b.html")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_results_older_than_the_labels_are_said_to_be(job, page):
    assert "changed since" not in text_of(page, "predictions")
    folder = job.page.file.parents[1]
    labels = folder.parent / "labels.csv"
    before = labels.read_text()
    labels.write_text(before.replace("c0v0,80.0", "c0v0,81.5"))
    try:
        assert "Labels or features changed since" in text_of(page_of(folder)[0], "predictions")
    finally:
        labels.write_text(before)


def test_what_is_not_there_yet_is_said_with_its_command(tmp_path, run):
    folder = imported(tmp_path / "w")
    page, missing = page_of(folder)
    assert "run `vqa select`" in text_of(page, "models")
    assert "run `vqa evaluate`" in text_of(page, "splits")
    assert "run `vqa train --cached`" in text_of(page, "repeat")
    assert len(missing) == 2
    assert blocks_of(page, "overview", Plot)
    status, out, _ = run("report", "-C", folder)
    assert status == 0
    assert out.splitlines()[-1].startswith(f"{folder / 'results' / 'report.html'}: ")
    assert "not shown: no models are selected yet; run `vqa select`" in out


def test_without_a_cache_there_is_no_page(tmp_path):
    labels = make_clips(tmp_path)
    vqa.init_workspace(tmp_path / "w", vqa.DatasetSettings(videos=str(tmp_path / "clips"), labels=str(labels)))
    with pytest.raises(CacheMissError, match="run `vqa extract --models all`"):
        build_report(tmp_path / "w")
    assert not (tmp_path / "w" / "results").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "section", "command"),
    [
        ("selection.json", '"dbi": ', '"dbi": "x", "y": ', "models", "vqa select"),
        ("selection.json", '"cka": [', '"cka": [[1], ', "redundancy", "vqa select"),
        ("results/evaluation.json", '"ridge"', '"other"', "splits", "vqa evaluate"),
        ("results/evaluation.json", '"low":[', '"low":[1,', "predictions", "vqa evaluate"),
    ],
)
def test_a_damaged_file_costs_its_sections_alone(job, tmp_path, name, old, new, section, command):
    file = job.page.file.parents[1] / name
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    try:
        page, missing = page_of(job.page.file.parents[1])
    finally:
        file.write_text(before)
    assert f"run `{command}` again" in text_of(page, section)
    assert missing
    assert blocks_of(page, "overview", Plot)


def test_videos_that_are_gone_are_said_to_be(job):
    clips = job.page.file.parents[2] / "clips"
    clips.rename(clips.with_name("moved"))
    try:
        page, _ = page_of(job.page.file.parents[1], thumbnails=True)
    finally:
        clips.with_name("moved").rename(clips)
    assert "no videos found" in text_of(page, "overview")
    assert len(blocks_of(page, "errors", Table)[0].rows) == len(blocks_of(page, "predictions", Plot)[0].table.rows)
    assert "There are no pictures" in text_of(page, "errors")


@pytest.mark.parametrize(("file", "message"), [("x.vqa", "ends in .html"), (".", "is a folder")])
def test_nothing_but_a_page_is_replaced(job, run, tmp_path, file, message):
    status, _, error = run("report", tmp_path / file, "-C", job.page.file.parents[1])
    assert status == 1
    assert message in error


class Tags(HTMLParser):
    """Counts tags, and keeps attributes and what scripts hold."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.kinds: list[str | None] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.kinds.append(dict(attrs).get("type"))
            self.scripts.append("")

    def handle_data(self, data):
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


def test_what_a_stranger_wrote_stays_text_on_the_page(tmp_path):
    ids = [f"v{row}" for row in range(N - 3)] + [BREAKOUT, "x" * 1000, "</script><b>"]
    folder = imported(tmp_path / "w", ids)
    report = run_workspace(folder, top_k=2, splits=5)
    assert report.complete
    settings, evaluation = folder / "vqa.toml", folder / "results" / "evaluation.json"
    settings.write_text(settings.read_text().replace('note = ""', f"note = {json.dumps(BREAKOUT)}"))
    record = read_document(evaluation, digest_since=0)
    record["tested"]["ids"] = ["a\u202e\x1bb" if video == "v1" else video for video in record["tested"]["ids"]]
    write_document(evaluation, record.pop("schema"), record)
    build_report(folder)
    tags, text = Tags(), report.page.file.read_text()
    tags.feed(text)
    figures = [script for script, kind in zip(tags.scripts, tags.kinds, strict=True) if kind == "application/json"]
    assert tags.kinds.count(None) == 3  # plotly's, and the page's own two
    assert len(figures) == 7
    assert not any("<" in figure or json.loads(figure).keys() != {"data", "layout"} for figure in figures)
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "img" not in tags.tags
    assert BREAKOUT not in text
    assert not {"\u202e", "\x1b"} & set(text)
