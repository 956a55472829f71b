"""`vqa init`: what is written, what is reported, and that the order of the labels decides nothing."""

import json

import numpy as np
import pytest

from vqa.errors import LabelsError
from vqa.pipeline import init_workspace
from vqa.pipeline.opening import open_dataset
from vqa.train.splits import content_splits
from vqa.workspace import DatasetSettings, open_workspace


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Return a function that makes empty video files in the folder `clips`, below the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / "clips" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return make


def write(folder, text, name="labels.csv"):
    (folder / name).write_text(text)
    return name


def test_a_known_dataset_is_written_as_ordinary_keys(tmp_path, clips):
    clips("A001.mp4", "A012NEW.mp4")
    labels = write(tmp_path, "File,MOS\nA001.mp4,80.2\nA012.mp4,57.3\n")
    report = init_workspace(tmp_path / "w", DatasetSettings("clips", labels), preset="LIVE-VQC")
    assert (report.title, report.labelled, report.mos_range) == ("LIVE-VQC", 2, (57.3, 80.2))
    assert report.notes == ("2 videos have a label here, 585 in the published lists of LIVE-VQC",)
    workspace = open_workspace(tmp_path / "w")
    assert workspace.dataset.scale == (0.0, 100.0)
    assert workspace.dataset.name_template == ("{id}", "{id}NEW")
    assert [(row.id, row.path.name) for row in open_dataset(workspace).rows] == [
        ("A001", "A001.mp4"),
        ("A012", "A012NEW.mp4"),
    ]


def test_labels_and_videos_without_each_other_are_counted_and_named(tmp_path, clips, run):
    clips("a.mp4", *(f"x{number}.mp4" for number in range(25)))
    labels = write(tmp_path, "id,mos\na,1\nb,2\nc,3\n")
    arguments = ["--videos", "clips", "--labels", labels]
    status, _, err = run("init", "w", *arguments)
    assert status == 1
    assert "2 of 3 videos have no file under" in err
    assert "('b', 'c'), and 25 files have no label ('x0.mp4', 'x1.mp4', 'x10.mp4', ...); check the folder" in err
    status, out, _ = run("init", "w", *arguments, "--allow-missing")
    assert status == 0
    assert "2 labels have no video and are left out: b, c\n" in out
    assert "25 videos have no label; they are extracted, never trained on: x0.mp4, x1.mp4," in out
    status, out, _ = run("init", "w2", *arguments, "--allow-missing", "--labelled-only", "--json")
    report = json.loads(out)
    assert (status, report["missing"], len(report["unlabelled"]), report["labelled"]) == (0, ["b", "c"], 25, 1)


def test_several_label_files_and_their_splits_are_reported(tmp_path, clips, run):
    clips("a.mp4", "b.mp4", "c.mp4")
    write(tmp_path, "id,mos,split\na,1,train\nb,2,train\n", "one.csv")
    write(tmp_path, "id,mos,split\nb,2,test\nc,3,test\n", "two.csv")
    status, out, _ = run("init", "w", "--videos", "clips", "--labels", "one.csv", "--labels", "two.csv")
    assert (status, "3 labelled videos, 1 train, 2 test, labels from 1 to 3" in out) == (0, True)
    assert len(open_workspace(tmp_path / "w").dataset.label_files) == 2


def test_lists_of_unknown_videos_are_never_taken_for_an_official_split(tmp_path, clips, run):
    clips("x/1.mp4", "x/2.mp4")
    labels = write(tmp_path, "name,mos\nx/1,1\nx/2,2\n")
    arguments = ["--dataset", "lsvq", "--videos", "clips", "--labels", labels]
    status, _, err = run("init", "w", *arguments)
    assert (status, "2 videos are no published list of LSVQ, so their split is not known" in err) == (1, True)
    assert not (tmp_path / "w").exists()
    assert run("init", "w", *arguments, "--split-column", "")[0] == 0
    assert {row.split for row in open_dataset(open_workspace(tmp_path / "w")).rows} == {None}
    labels = write(tmp_path, "name,mos,split\nx/1,1,train\nx/2,2,test\n")
    status, out, _ = run("init", "w2", *arguments)
    assert (status, "LSVQ, 2 labelled videos, 1 train, 1 test" in out) == (0, True)


def test_a_known_dataset_without_labels_says_which_it_wants(tmp_path, clips):
    clips("a.mp4")
    with pytest.raises(
        LabelsError, match=r"LSVQ: no labels are named; name LSVQ_labels_train_test.csv and .* --labels"
    ):
        init_workspace(tmp_path / "w", DatasetSettings("clips"), preset="lsvq")


@pytest.mark.parametrize(("order", "noted"), [(1, True), (-1, True), (0, False)])
def test_labels_sorted_by_mos_are_noted(tmp_path, clips, order, noted):
    names = [f"v{number:02}" for number in range(12)]
    clips(*(f"{name}.mp4" for name in names))
    mos = [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][:: order or 1]
    if not order:
        mos[0], mos[5] = mos[5], mos[0]
    labels = write(tmp_path, "id,mos\n" + "".join(f"{name},{score}\n" for name, score in zip(names, mos, strict=True)))
    notes = init_workspace(tmp_path / "w", DatasetSettings("clips", labels)).notes
    assert bool(notes) is noted
    assert all("the labels are sorted by MOS" in note for note in notes)


def test_labels_outside_the_scale_are_noted_and_kept(tmp_path, clips):
    clips("a.mp4", "b.mp4")
    labels = write(tmp_path, "id,mos\na,-6.5\nb,3\n")
    report = init_workspace(tmp_path / "w", DatasetSettings("clips", labels, scale=(1.0, 5.0)))
    assert report.notes == ("1 labels lie outside the scale from 1 to 5; check the labels or --scale",)
    assert report.mos_range == (-6.5, 3)


def test_random_splits_of_sorted_labels_lean_to_neither_end():
    mos = np.linspace(5, 1, 300)
    splits = content_splits(None, 300, count=100)
    gaps = [mos[split.test].mean() - mos[split.train].mean() for split in splits]
    spread = mos.std() * np.sqrt(1 / 60 + 1 / 240)
    assert abs(np.mean(gaps)) < 3 * spread / 10
    assert 0.8 < np.std(gaps) / spread < 1.2
