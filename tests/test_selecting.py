"""`vqa select` as a user runs it, on a workspace whose cache was written by hand: no video, no network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vqa.cache.key import KeyMemo
from vqa.cache.store import FeatureStore
from vqa.records import CandidateRecord, VideoFeatures
from vqa.workspace import DatasetSettings, ExtractSettings, Workspace, write_workspace

MOS = np.linspace(1, 5, 48)
NOISE = {"sharp": 0.1, "twin": 0.1, "dull": 3.0, "blind": 100.0}
SECONDS = {"sharp": 0.09, "twin": 0.03, "dull": 0.02, "blind": 0.0}
"""Of each video; a candidate that took none was imported."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clips").mkdir()
    memo, keys = KeyMemo(tmp_path / "cache"), []
    lines = ["id,mos,group"]
    for number, mos in enumerate(MOS):
        path = tmp_path / "clips" / f"v{number}.mp4"
        path.write_text(str(number))
        keys.append(memo.key(path))
        lines.append(f"v{number},{mos},c{number // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    write_workspace(Workspace(tmp_path, DatasetSettings("clips", "labels.csv"), ExtractSettings(frames=1)))
    store = FeatureStore(tmp_path / "cache")
    for number, (name, noise) in enumerate(NOISE.items()):
        values = (MOS[:, None] + noise * np.random.default_rng(number // 2).normal(size=(48, 20))).astype(np.float16)
        details = json.dumps({"input": {}, "spec": {"frames": 1}})
        record = CandidateRecord(f"toy:{name}", f"{number:012x}", details)
        with store.writer(record, weights_sha256="0" * 64, versions={}) as writer:
            for key, row in zip(keys, values, strict=True):
                writer.put(key, VideoFeatures(row[None], np.zeros(1)), seconds=SECONDS[name])
    return tmp_path


def test_the_table_shows_all_criteria_and_what_follows_from_them(run, folder):
    status, out, _ = run("select", "-C", folder, "--top-k", 2)
    assert status == 0
    assert "Ranked by dbi, smaller is better; 48 videos in 6 MOS clusters (8/8/8/8/8/8)" in out
    header = next(line for line in out.splitlines() if "model" in line).split()
    assert header[:6] == ["rank", "model", "dbi", "dbi-count", "dbi-kmeans", "silhouette"]
    assert header[6:] == ["logme", "ridge", "knn", "greedy", "width", "ms/video"]
    first = next(line for line in out.splitlines() if line.lstrip().startswith("*")).split()
    assert first[1:4] == ["1", "(1-1)", "toy:sharp"]
    assert first[-2:] == ["20", "90"]
    assert "nearly the same: toy:sharp and toy:twin (CKA 1.00)" in out


def test_selection_json_holds_every_figure(run, folder):
    run("select", "-C", folder, "--top-k", 2, "--criterion", "ridge")
    document = json.loads((folder / "selection.json").read_text())
    assert (document["schema"], document["criterion"], document["larger_is_better"]) == (3, "ridge", True)
    row = document["rows"][0]
    assert row["values"]["ridge"] == max(other["values"]["ridge"] for other in document["rows"])
    assert set(row["values"]) == {"dbi", "dbi-count", "dbi-kmeans", "silhouette", "logme", "ridge", "knn", "greedy"}
    assert row["rank_interval"][0] == 1
    assert len(document["cka"]) == len(document["cka"][0]) == 4
    _, out, _ = run("select", "-C", folder, "--top-k", 2, "--criterion", "ridge", "--json")
    assert json.loads(out)["rows"] == document["rows"]


def test_the_criterion_of_the_workspace_holds_where_none_is_given(run, folder):
    file = folder / "vqa.toml"
    file.write_text(file.read_text().replace('criterion = "dbi"', 'criterion = "logme"'))
    assert "Ranked by logme, larger is better" in run("select", "-C", folder)[1]
    assert "Ranked by knn, larger is better" in run("select", "-C", folder, "--criterion", "knn")[1]


def test_a_budget_passes_over_what_does_not_fit_and_refuses_what_has_no_cost(run, folder):
    status, out, _ = run("select", "-C", folder, "--top-k", 3, "--budget-ms", 55)
    assert status == 0
    assert "2 selected: 50.0 of 55 ms a video" in out
    assert [line.split()[3] for line in out.splitlines() if line.lstrip().startswith("*")] == ["toy:twin", "toy:dull"]
    assert "not ranked: toy:blind: what it costs is not known, so it can't be chosen within a budget" in out


def test_a_cost_that_is_not_known_is_no_zero(run, folder):
    _, out, _ = run("select", "-C", folder, "--json")
    assert {row["name"]: row["cost_ms"] for row in json.loads(out)["rows"]}["toy:blind"] is None


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--budget-ms", 5], 1, "no candidate costs at most 5 ms a video; the cheapest is toy:dull with 20.0 ms"),
        (["--top-k", 9], 1, "--top-k 9: there are 4 ranked candidates; choose 1 to that many"),
        (["--criterion", "dbj"], 2, "'dbj' is not one of 'dbi', 'dbi-count'"),
        (["--budget-ms", 0], 2, "0.0 is not in the range x>0"),
        (["--budget-ms", "nan"], 1, "a budget of nan ms a video buys nothing"),
    ],
)
def test_what_can_not_be_had_is_one_line(run, folder, arguments, status, message):
    found, out, err = run("select", "-C", folder, *arguments)
    assert (found, out) == (status, "")
    assert message in err
    assert not (folder / "selection.json").exists()


def test_one_content_leaves_held_out_criteria_open_and_says_why(run, folder):
    file = folder / "labels.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *(f"{line.rsplit(',', 1)[0]},same" for line in lines[1:])]))
    status, out, _ = run("select", "-C", folder)
    assert status == 0
    assert "no ridge: all videos show one content, so none can be held out" in out
    status, _, err = run("select", "-C", folder, "--criterion", "ridge")
    assert (status, "choose a criterion without folds, such as dbi" in err) == (1, True)
