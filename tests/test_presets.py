"""The known datasets: every dialect of their labels gives the same ids and scores, and official splits stay."""

import csv
import re
from pathlib import Path

import pytest

from vqa import presets
from vqa.cache.matlab import read_matlab_hdf5
from vqa.cli.starting import init
from vqa.dataset import read_dataset
from vqa.errors import LabelsError
from vqa.labels import read_labels
from vqa.pipeline.opening import label_columns
from vqa.presets import PublishedList, fill_settings, find_preset, find_splits, ids_sha256, known_presets
from vqa.settings import DatasetSettings


def settings_of(name, **given):
    return fill_settings(DatasetSettings("clips", **given), find_preset(name))


def labels_of(name, file):
    return read_labels(file, label_columns(settings_of(name)), read_hdf5=read_matlab_hdf5)


def scores(name, file):
    return {label.id: label.mos for label in labels_of(name, file)}


def write(folder, text, name="labels.csv"):
    (folder / name).write_text(text)
    return folder / name


# --- names ---


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("konvid1k", "konvid1k"),
        ("KoNViD-1k", "konvid1k"),
        ("KoNViD_1k", "konvid1k"),
        ("live-vqc", "livevqc"),
        ("YouTube-UGC", "ytugc"),
        ("yt_ugc", "ytugc"),
        ("LSVQ", "lsvq"),
        ("lsvq-1080p", "lsvq_1080p"),
        ("BVI-HFR", "bvihfr"),
    ],
)
def test_a_dataset_is_found_however_its_name_is_written(word, name):
    assert find_preset(word).name == name


def test_an_unknown_dataset_is_refused_with_what_may_be_meant():
    with pytest.raises(
        LabelsError, match=r"^unknown dataset 'konvid2k'; did you mean konvid1k\? Known are: konvid1k, "
    ):
        find_preset("konvid2k")
    with pytest.raises(LabelsError, match=r"^unknown dataset 'zzz'; Known are: .*; any other goes without --dataset$"):
        find_preset("zzz")


def test_no_name_stands_for_two_datasets():
    words = [word for preset in known_presets() for word in {preset.name, *preset.aliases}]
    plain = ["".join(filter(str.isalnum, word)) for word in words]
    assert len(plain) == len(set(plain))


def test_the_command_line_names_every_dataset():
    text = next(option.help for option in init.params if option.name == "preset")
    assert re.findall(r"[a-z]+[a-z0-9_]*\d*", text.split(":")[1].split(".")[0].replace(" or ", ", ")) == [
        preset.name for preset in known_presets()
    ]


# --- settings ---


def test_what_the_user_gives_goes_before_what_is_known():
    known = settings_of("ytugc")
    assert (known.scale, known.mos_column) == ((1.0, 5.0), ("MOSFull", "MOS full", "mos", "scores"))
    assert known.note == "mean opinion scores of YouTube-UGC (Wang et al., MMSP 2019; Yim et al., ICIP 2020)"
    own = settings_of("ytugc", mos_column="MOSChunk00", scale=(0.0, 10.0), name_template="{id}_x")
    assert (own.mos_column, own.scale, own.name_template) == ("MOSChunk00", (0.0, 10.0), "{id}_x")
    assert own.id_column == known.id_column


def test_a_group_column_of_the_user_takes_the_place_of_the_known_groups():
    assert settings_of("bvihfr").group_pattern == "(.+)-[^-]+"
    for column in ("scene", ""):
        own = settings_of("bvihfr", group_column=column)
        assert (own.group_column, own.group_pattern) == (column, None)


# --- dialects, in miniature ---


@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        ("konvid1k", "flickr_id,mos,width\n3339962845,4.64,960\n007,1.22,960\n", ["3339962845", "007"]),
        (
            "konvid1k",
            "KoNViD_1k_videos/3339962845.mp4, 8.0, 25.0, 4.64\nv/007.mp4, 8, 25, 1.22\n",
            ["3339962845", "007"],
        ),
        (
            "konvid1k",
            "flickr_id,x,file_name,MOS\n3339962845,0,3339962845_original_centercrop_960x540_8s.mp4,4.64\n7,0,7.mp4,1.22\n",
            ["3339962845", "7"],
        ),
        ("livevqc", "File,MOS,width\nA001.mp4,4.64,1920\nA012NEW.mp4,1.22,1920\n", ["A001", "A012"]),
        ("ytugc", "vid,category,MOSFull,MOSChunk00\nVR_720P-1e5a,VR,4.64,3\nHDR_1080P-00a1,HDR,1.22,3\n", []),
        ("ytugc", "id,mos,MOSChunk00\nVR_720P-1e5a_crf_10_ss_00_t_20.0.mp4,4.64,3\nHDR_1080P-00a1.mkv,1.22,3\n", []),
        ("lsvq", "name,height,width,mos,frame_number\r\nyfcc-batch1/725,720,1280,4.64,210\r\na/b.3,1,1,1.22,4\r\n", []),
        ("lsvq", "yfcc-batch1/725.mp4, -1, -1, 4.64\na/b.3.mp4, -1, -1, 1.22\n", ["yfcc-batch1/725", "a/b.3"]),
        (
            "lsvq_1080p",
            'name,p1,mos_p1,mos,is_valid\nx/1,"[2, 1, 0]",9,4.64,False\nx/2,"[1, 1]",9,1.22,\n',
            ["x/1", "x/2"],
        ),
        (
            "bvihfr",
            "id,mos\ngolf_side-15Hz,4.64\nvideos/golf_side-120Hz.mp4,1.22\n",
            ["golf_side-15Hz", "golf_side-120Hz"],
        ),
    ],
)
def test_every_dialect_gives_plain_ids_and_their_scores(tmp_path, name, text, ids):
    found = scores(name, write(tmp_path, text))
    wanted = {"ytugc": ["VR_720P-1e5a", "HDR_1080P-00a1"], "lsvq": ["yfcc-batch1/725", "a/b.3"]}
    assert found == dict(zip(ids or wanted[name], [4.64, 1.22], strict=True))


def test_a_video_whose_own_name_ends_in_a_suffix_is_one_video_in_every_list(tmp_path):
    with_suffix = write(tmp_path, "b/desalojo.mp4.mp4, -1, -1, 49.9\n", "test.txt")
    without = write(tmp_path, "name,mos\nb/desalojo.mp4,49.9\n", "all.csv")
    assert scores("lsvq", with_suffix) == scores("lsvq", without) == {"b/desalojo": 49.9}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "desalojo.mp4.mp4").touch()
    settings = settings_of("lsvq")
    dataset = read_dataset(
        str(tmp_path), without, columns=label_columns(settings), name_template=settings.name_template
    )
    assert [row.path.name for row in dataset.rows] == ["desalojo.mp4.mp4"]


@pytest.mark.parametrize(
    ("name", "ids", "groups"),
    [
        ("bvihfr", ["golf_side-15Hz", "golf_side-120Hz"], ["golf_side", "golf_side"]),
        ("cvd2014", ["Test03_City_D12", "Test05_Talking_Head_D01"], ["Test03_City", "Test05_Talking_Head"]),
    ],
)
def test_contents_that_repeat_are_groups(tmp_path, name, ids, groups):
    file = write(tmp_path, "id,mos\n" + "".join(f"{id_},{number}\n" for number, id_ in enumerate(ids)))
    assert [label.group for label in labels_of(name, file)] == groups


def test_the_labels_of_another_dataset_are_refused(tmp_path):
    file = write(tmp_path, "name,mos\nA001.mp4,80.2\n")
    with pytest.raises(
        LabelsError, match=r"line 2: 'A001.mp4' does not fit id_pattern .*; check that this is the right"
    ):
        labels_of("konvid1k", file)


# --- official splits ---


@pytest.fixture
def lists(monkeypatch):
    """A dataset of four training, two test and one 1080p video in place of LSVQ."""
    rows = [
        ("lsvq", "the training list", "abcd", "train", None),
        ("lsvq", "the test list", "xy", "test", None),
        ("lsvq", "both", "abcdxy", "train", "test"),
        ("lsvq_1080p", "the 1080p list", "p", "test", None),
    ]
    known = tuple(
        PublishedList(name, title, len(ids), split, ids_sha256(ids), n) for name, title, ids, split, n in rows
    )
    monkeypatch.setattr(presets, "_known_lists", lambda: known)


@pytest.mark.usefixtures("lists")
def test_lists_are_recognised_by_their_ids_in_any_order():
    lsvq = find_preset("lsvq")
    assert find_splits(lsvq, {"1": list("xdycba"), "2": list("yx")}) == ("train", "test")
    assert find_splits(lsvq, {"2": list("xy"), "1": list("abcdxy")}) == ("test", "train")
    assert find_splits(lsvq, {"1": list("dcba")}) == ("train",)
    assert find_splits(find_preset("lsvq_1080p"), {"p": ["p"]}) == ("test",)


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"all.csv": "abcdxy"},
            "all.csv: holds training and test videos and does not say which are which; add the test",
        ),
        ({"all.csv": "abcdxy", "t.csv": "abcd"}, "add the test list with a second --labels, or read no split with"),
        (
            {"p.csv": "p"},
            "p.csv: belongs to LSVQ 1080p: it is the 1080p list; make a workspace of its own with --dataset",
        ),
        (
            {"part.csv": "abc"},
            "part.csv: its 3 videos are no published list of LSVQ, so their split is not known; known",
        ),
    ],
)
def test_a_list_that_would_mix_training_and_test_is_refused(files, message):
    with pytest.raises(LabelsError) as info:
        find_splits(find_preset("lsvq"), files)
    assert message in str(info.value)


# --- the real files ---

ORIGINALS = [
    ("konvid1k", "KONVID_1K_metadata.csv", ["konvid1k"]),
    ("konvid1k", "KoNViD_labels.txt", ["konvid1k"]),
    ("livevqc", "LIVE_VQC_metadata.csv", ["livevqc"]),
    ("livevqc", "LIVE-VQCinfo.mat", ["livevqc"]),
    ("ytugc", "YOUTUBE_UGC_metadata.csv", ["ytugc"]),
    ("lsvq", "LSVQ_labels_test.txt", ["lsvq_test"]),
    ("lsvq", "LSVQ_labels_train_test.csv", ["lsvq_train", "lsvq_test"]),
    ("lsvq_1080p", "LSVQ_labels_test_1080p.csv", ["lsvq_1080p"]),
]


def plain_scores(test_data: Path, names, columns):
    """Read the test material's own form of the labels, independently of the readers."""
    wanted = {}
    for name in names:
        with (test_data / "labels" / f"{name}.csv").open(newline="") as stream:
            wanted |= {row["id"]: float(row["mos"]) for row in csv.DictReader(stream)}
    return {re.fullmatch(columns.id_pattern, id_)[1]: mos for id_, mos in wanted.items()}


@pytest.mark.parametrize(("name", "file", "same"), ORIGINALS, ids=[row[1] for row in ORIGINALS])
def test_the_original_files_give_the_known_scores(test_data, name, file, same):
    found = scores(name, test_data / "labels" / "original" / file)
    wanted = plain_scores(test_data, same, label_columns(settings_of(name)))
    extra = len(found) - len(wanted)
    assert extra == (257 if file == "LSVQ_labels_train_test.csv" else 0)  # rows in no published list
    assert {id_: found[id_] for id_ in wanted} == pytest.approx(wanted, abs=1e-8)


def test_the_official_splits_of_lsvq_are_kept(test_data):
    original, preset = test_data / "labels" / "original", find_preset("lsvq")
    files = {
        name: [label.id for label in labels_of("lsvq", original / name)]
        for name in ("LSVQ_labels_train_test.csv", "LSVQ_labels_test.txt")
    }
    assert find_splits(preset, files) == ("train", "test")
    train = [label.id for label in labels_of("lsvq", test_data / "labels" / "lsvq_train.csv")]
    assert find_splits(preset, {"train.csv": train}) == ("train",)
    held_out = set(files["LSVQ_labels_test.txt"])
    assert set(files["LSVQ_labels_train_test.csv"][:35242]) - held_out == set(train)


@pytest.mark.parametrize("name", ["cvd2014", "bvihfr", "konvid1k", "livevqc", "ytugc"])
def test_the_number_of_videos_is_the_published_one(test_data, name):
    assert len(labels_of(name, test_data / "labels" / f"{name}.csv")) == find_preset(name).videos
