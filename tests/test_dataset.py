"""The files of a dataset, matched with its labels."""

from pathlib import Path

import pytest

from vqa.dataset import Columns, read_dataset
from vqa.errors import LabelsError


@pytest.fixture
def clips(tmp_path):
    """Return a function that makes empty video files and gives their folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "clips" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(tmp_path / "clips")

    return make


@pytest.fixture
def labels(tmp_path):
    """Return a function that writes a label file."""

    def write(content):
        path = tmp_path / "labels.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def scores(dataset):
    return {row.id: row.mos for row in dataset.rows}


def paths(dataset, folder):
    return {row.id: row.path.relative_to(folder).as_posix() for row in dataset.rows}


def refusal(*arguments, **options):
    """Return the one-line error of a dataset that is refused."""
    with pytest.raises(LabelsError) as info:
        read_dataset(*arguments, **options)
    assert "\n" not in str(info.value)
    return str(info.value)


# --- what label files look like ---


def test_ids_that_look_like_numbers_stay_text(clips, labels):
    folder = clips("007.mp4", "7.mp4", "1e5.mp4", "100000.mp4", "3339962845.mp4")
    dataset = read_dataset(folder, labels("id,mos\n1e5,1\n007,2\n100000,3\n7,4\n3339962845,5\n"))
    assert paths(dataset, folder) == {name: f"{name}.mp4" for name in ("1e5", "007", "100000", "7", "3339962845")}
    assert scores(dataset)["007"] == 2


def test_group_and_split_are_read_where_they_are(clips, labels):
    folder = clips("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    file = labels("id,mos,Content,split\na,1,city,train\nb,2,city,Validation\nc,3,,TEST\n")
    dataset = read_dataset(folder, file)
    assert [(row.id, row.group, row.split) for row in dataset.rows] == [
        ("a", "city", "train"),
        ("b", "city", "val"),
        ("c", "c", "test"),
        ("d.mp4", None, None),
    ]
    assert [row.id for row in dataset.training_rows()] == ["a"]
    plain = read_dataset(folder, file, columns=Columns(group="", split=""))
    assert {(row.group, row.split) for row in plain.rows} == {(None, None)}
    assert [row.id for row in plain.training_rows()] == ["a", "b", "c"]


def test_videos_without_a_label_are_rows_unless_unwanted(clips, labels):
    folder, file = clips("a.mp4", "b.mkv", "sub/c.MOV", "notes.txt", "._a.mp4", ".trash/d.mp4"), labels("id,mos\na,3\n")
    dataset = read_dataset(folder, file)
    assert scores(dataset) == {"a": 3.0, "b.mkv": None, "sub/c.MOV": None}
    assert dataset.unlabelled == ("b.mkv", "sub/c.MOV")
    assert [row.id for row in dataset.labelled] == [row.id for row in dataset.training_rows()] == ["a"]
    only = read_dataset(folder, file, labelled_only=True)
    assert (scores(only), only.unlabelled) == ({"a": 3.0}, ("b.mkv", "sub/c.MOV"))
    assert scores(read_dataset(folder, None)) == {"a.mp4": None, "b.mkv": None, "sub/c.MOV": None}


def test_a_video_without_a_label_never_takes_the_id_of_another(clips, labels):
    folder = clips("a.mp4", "a.mp4.mkv")
    dataset = read_dataset(folder, labels("id,mos\na.mp4,3\n"), name_template="{id}.mkv")
    assert scores(dataset) == {"a.mp4": 3.0, f"{folder}/a.mp4": None}


# --- which file an id names ---


def test_ids_name_files_by_the_end_of_their_path(clips, labels):
    folder = clips("lsvq/b1/725.mp4", "lsvq/b2/725.mp4", "lsvq/b2/deep/9.final.mp4")
    dataset = read_dataset(folder, labels("name,mos\nb1/725,1\nlsvq/b2/725.mp4,2\n9.final,3\n"))
    assert paths(dataset, folder) == {
        "b1/725": "lsvq/b1/725.mp4",
        "lsvq/b2/725.mp4": "lsvq/b2/725.mp4",
        "9.final": "lsvq/b2/deep/9.final.mp4",
    }


def test_the_whole_path_goes_before_its_end(clips, labels):
    folder = clips("1.mp4", "a/1.mp4")
    assert paths(read_dataset(folder, labels("id,mos\n1,1\na/1,2\n")), folder) == {"1": "1.mp4", "a/1": "a/1.mp4"}


def test_an_id_that_fits_two_files_is_refused_with_both(clips, labels):
    folder = clips("a/1.mp4", "b/1.mp4")
    message = refusal(folder, labels("id,mos\n1,3\n"))
    assert (
        f"labels.csv, line 2: id '1' fits both {folder}/a/1.mp4 and {folder}/b/1.mp4; write more of the path" in message
    )
    assert "fits both" in refusal(clips("c.mp4", "c.mkv"), labels("id,mos\nc,3\n"))


def test_two_ids_for_one_file_are_refused(clips, labels):
    message = refusal(clips("a.mp4"), labels("id,mos\na,3\na.mp4,4\n"))
    assert "'a' in line 2 and 'a.mp4' in line 3 are one file" in message


def test_a_template_makes_the_name_of_the_id(clips, labels):
    folder = clips("Sports_1080P-00a1_crf_10_t_20.0.mp4")
    file = labels("vid,MOSFull\nSports_1080P-00a1,3.5\n")
    assert scores(read_dataset(folder, file, name_template="{id}_crf_10_t_20.0")) == {"Sports_1080P-00a1": 3.5}
    assert "has no {id} in it" in refusal(folder, file, name_template="id.mp4")
    assert "has no {id} in it" in refusal(folder, file, name_template=["{id}", "id.mp4"])


def test_of_several_templates_the_first_that_fits_a_file_names_it(clips, labels):
    folder = clips("a.mkv", "a_crf_10.mp4", "b_crf_10.mp4", "b_orig.mp4")
    dataset = read_dataset(folder, labels("id,mos\na,1\nb,2\n"), name_template=["{id}", "{id}_crf_10", "{id}_orig"])
    assert paths(dataset, folder) == {"a": "a.mkv", "b": "b_crf_10.mp4", "a_crf_10.mp4": "a_crf_10.mp4"} | {
        "b_orig.mp4": "b_orig.mp4"
    }
    assert dataset.unlabelled == ("a_crf_10.mp4", "b_orig.mp4")


def test_videos_of_several_label_files_are_one_dataset(tmp_path, clips):
    (tmp_path / "all.csv").write_text("name,mos\nx/1,1\nx/2,2\nx/3,3\n")
    (tmp_path / "test.txt").write_text("x/2.mp4, -1, -1, 2.0\n")
    folder = clips("x/1.mp4", "x/2.mp4", "x/3.mp4")
    dataset = read_dataset(
        folder,
        [tmp_path / "all.csv", tmp_path / "test.txt"],
        columns=Columns(id_pattern=r"(.+?)(?:\.mp4)?"),
        file_splits=["train", "test"],
    )
    assert [(row.id, row.split) for row in dataset.rows] == [("x/1", "train"), ("x/2", "test"), ("x/3", "train")]
    assert [row.id for row in dataset.training_rows()] == ["x/1", "x/3"]


def test_an_id_never_leads_out_of_the_folder(tmp_path, clips, labels):
    (tmp_path / "secret.mp4").touch()
    folder = clips("a.mp4")
    for name in ("../secret", str(tmp_path / "secret.mp4")):
        assert "have no file under" in refusal(folder, labels(f"id,mos\n{name},3\n"))


@pytest.mark.parametrize("pattern", ["clips/*.mp4", "clips/**/*.mp4", "clips/s*/../a.mp4", "clips/a.mp4"])
def test_videos_may_be_a_glob_or_one_file(tmp_path, clips, labels, pattern):
    clips("a.mp4", "sub/b.mkv")
    dataset = read_dataset(str(tmp_path / pattern), labels("id,mos\na,3\n"))
    assert [row.path.name for row in dataset.rows] == ["a.mp4"]


def test_a_folder_name_with_brackets_is_no_glob(tmp_path):
    folder = tmp_path / "clips [old] *"
    folder.mkdir()
    (folder / "a.mp4").touch()
    assert [row.id for row in read_dataset(str(folder), None).rows] == ["a.mp4"]
    assert [row.id for row in read_dataset(str(folder / "*.mp4"), None).rows] == ["a.mp4"]


def test_links_are_followed_and_loops_are_not(tmp_path, clips):
    folder = Path(clips("real/a.mp4", "real/deep/b.mp4"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.mp4").touch()
    for name, target in {
        "aaa": folder / "real",
        "zzz": folder / "real",
        "real/up": folder / "real",
        "real/deep/up": folder,
        "out": other,
    }.items():
        (folder / name).symlink_to(target, target_is_directory=True)
    found = [row.id for row in read_dataset(str(folder), None).rows]
    assert found == ["out/c.mp4", "real/a.mp4", "real/deep/b.mp4"]
    assert len(read_dataset(str(folder / "**" / "*.mp4"), None).rows) == 2


# --- what is refused ---


def test_a_label_file_that_is_missing_or_a_folder_is_refused(tmp_path, clips):
    folder = clips("a.mp4")
    assert "gone.csv: the labels can't be read (No such file or directory)" in refusal(folder, tmp_path / "gone.csv")
    assert "the labels can't be read (Is a directory)" in refusal(folder, tmp_path)


def test_labels_without_a_file_are_counted_and_named(clips, labels):
    folder, file = clips("a.mp4"), labels("id,mos\na,1\nb,2\nc,3\nd,4\ne,5\n")
    message = refusal(folder, file)
    assert (
        f"4 of 5 videos have no file under {folder} ('b', 'c', 'd', ...); check the folder, or use --allow-missing"
        in message
    )
    dataset = read_dataset(folder, file, allow_missing=True)
    assert (scores(dataset), dataset.missing) == ({"a": 1.0}, ("b", "c", "d", "e"))
    message = refusal(clips("x.mp4"), labels("id,mos\nb,2\n"), allow_missing=True)
    assert "no labelled row is left, none of 1 has a file under" in message


def test_files_without_a_label_are_named_beside_labels_without_a_file(clips, labels):
    message = refusal(clips("a.mp4", "x.mp4", "y.mp4"), labels("id,mos\na,1\nb,2\n"))
    assert "1 of 2 videos have no file under" in message
    assert "('b'), and 2 files have no label ('x.mp4', 'y.mp4'); check the folder" in message


def test_no_videos_is_an_error(tmp_path, clips):
    (tmp_path / "empty").mkdir()
    for videos in ("empty", "gone", "gone/*.mp4", "empty/**/*"):
        assert "no videos found; name a folder that holds some, or a glob like" in refusal(str(tmp_path / videos), None)
    assert "can't be listed" in refusal(str(tmp_path / "empty" / "**.mp4"), None)


# --- absolute paths, and names that look alike ---

COMPOSED, DECOMPOSED = "K\u00e4se", "Ka\u0308se"


def test_absolute_paths_name_the_very_files(clips, labels, test_data):
    folder = clips("v1.mp4", "v2.mp4", "v3.mp4")
    text = (test_data / "hard-videos" / "f16_absolute_paths.csv").read_text()
    dataset = read_dataset(folder, labels(text.replace("CLIPS", folder)))
    assert [(row.path.name, row.mos) for row in dataset.rows] == [("v1.mp4", 1.5), ("v2.mp4", 2.5), ("v3.mp4", 3.5)]


@pytest.mark.parametrize("name", ["{folder}/a/v1", "{folder}/../clips/a//v1.mp4", "{folder}/./a/v1.mp4"])
def test_an_absolute_path_may_lack_the_suffix_or_lead_about(name, clips, labels):
    folder = clips("a/v1.mp4", "b/v1.mp4")
    assert [
        row.path.parent.name
        for row in read_dataset(folder, labels(f"id,mos\n{name.format(folder=folder)},1\n"), labelled_only=True).rows
    ] == ["a"]


def test_an_absolute_path_by_way_of_a_link_names_the_very_file(clips, labels, tmp_path):
    folder = clips("v1.mp4", "v2.mp4")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "v3.mp4").touch()
    (tmp_path / "clips" / "v3.mp4").symlink_to(tmp_path / "far" / "v3.mp4")
    dataset = read_dataset(
        folder, labels(f"id,mos\n{tmp_path}/link/v1.mp4,1\n{folder}/v2.mp4,2\n{tmp_path}/far/v3,3\n")
    )
    assert [row.path.name for row in dataset.rows] == ["v1.mp4", "v2.mp4", "v3.mp4"]


def test_an_absolute_path_never_names_a_file_of_that_name_elsewhere(clips, labels, tmp_path):
    folder = clips("v1.mp4", "v2.mp4")
    (tmp_path / "other" / "clips").mkdir(parents=True)
    (tmp_path / "other" / "clips" / "v1.mp4").touch()
    told = refusal(folder, labels(f"id,mos\n{tmp_path}/other/clips/v1.mp4,1\n{folder}/v2.mp4,2\n"))
    assert f"1 of 2 videos have no file under {folder} ('{tmp_path}/other/clips/v1.mp4')" in told


def test_two_labels_of_one_file_are_refused_if_one_is_an_absolute_path(clips, labels):
    folder = clips("v1.mp4")
    told = refusal(folder, labels(f"id,mos\nv1,1\n{folder}/v1.mp4,2\n"))
    assert f"'v1' in line 2 and '{folder}/v1.mp4' in line 3 are one file" in told


def test_a_decomposed_id_names_a_composed_file(clips, labels, test_data):
    folder = clips("v1.mp4", "v2.mp4", f"{COMPOSED}.mp4")
    text = (test_data / "hard-videos" / "f16_decomposed.csv").read_text(encoding="utf-8")
    assert DECOMPOSED in text
    dataset = read_dataset(folder, labels(text))
    assert [(row.path.name, row.mos) for row in dataset.rows][2] == (f"{COMPOSED}.mp4", 3.5)


def test_a_composed_id_names_a_decomposed_file_in_a_decomposed_folder(clips, labels):
    folder = clips(f"{DECOMPOSED}/{DECOMPOSED}.mp4")
    for name in (f"{COMPOSED}/{COMPOSED}", f"{folder}/{COMPOSED}/{COMPOSED}.mp4"):
        assert scores(read_dataset(folder, labels(f"id,mos\n{name},1\n"))) == {name: 1.0}


def test_two_files_that_look_alike_are_told_apart_in_words(clips, labels):
    folder = clips(f"{COMPOSED}.mp4", f"{DECOMPOSED}.mp4")
    if len(list(Path(folder).iterdir())) == 1:
        pytest.skip("this file system has one form alone")
    told = refusal(folder, labels(f"id,mos\n{COMPOSED},1\n"))
    assert "differ in their Unicode form; rename one of them" in told
    assert r"K\xe4se.mp4" in told
    assert r"Ka\u0308se.mp4" in told


def test_ids_that_look_alike_are_one(clips, labels):
    folder = clips("v1.mp4", f"{COMPOSED}.mp4")
    told = refusal(folder, labels(f"id,mos\nv1,3\n{COMPOSED},1\n{DECOMPOSED},2\n"))
    assert "stands in lines 3 and 4, in two Unicode forms that look alike; keep one of them" in told


def test_a_video_has_the_stronger_of_two_splits_whatever_the_form_of_its_name(clips, tmp_path):
    folder = clips(f"{COMPOSED}.mp4")
    files = tmp_path / "train.csv", tmp_path / "test.csv"
    for file, name in zip(files, (COMPOSED, DECOMPOSED), strict=True):
        file.write_text(f"id,mos\n{name},1\n", encoding="utf-8")
    (row,) = read_dataset(folder, files, file_splits=("train", "test")).rows
    assert row.split == "test"


def test_contents_that_look_alike_are_one_group(clips, labels):
    folder = clips("v1.mp4", "v2.mp4")
    dataset = read_dataset(folder, labels(f"id,mos,group\nv1,1,{COMPOSED}\nv2,2,{DECOMPOSED}\n"))
    assert len({row.group for row in dataset.rows}) == 1
