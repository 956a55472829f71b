"""Label files: what people have, read without a change of its meaning."""

import random
from pathlib import PurePosixPath

import pytest

from vqa.errors import LabelsError
from vqa.labels import Columns, read_label_files, read_labels


@pytest.fixture
def labels(tmp_path):
    """Return a function that writes a label file."""

    def write(content, name="labels.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def scores(labels):
    return {label.id: label.mos for label in labels}


def refusal(file, columns=Columns()):  # noqa: B008
    """Return the one-line error of a label file that is refused."""
    with pytest.raises(LabelsError) as info:
        read_labels(file, columns)
    assert "\n" not in str(info.value)
    return str(info.value)


# --- what is read ---


@pytest.mark.parametrize(
    "content",
    [
        "id,mos\na,1.5\nb,4\n",
        "\ufeffid,mos\r\na,1.5\r\nb,4\r\n",
        "ID, MOS\na, 1.5\nb , 4\n\n",
        "flickr_id;x;Mean_Opinion_Score\na;7;1.5\nb;8;4",
        "mos\tvid\n1.5\ta\n4\tb\n",
        "vid,MOSFull,MOSChunk00\na,1.5,NaN\nb,4,\n",
        '\n"File","width","mos"\n"a.mp4",960,"1.5"\n"b.mp4",960,"4"\n',
        "name,score\rclips/a.mp4,1.5\rclips/b,4\r",
        "a.mp4, 8.008, 29.97, 1.5\nb.mp4, 8.0, 25.0, 4\n",
        "a,1.5\nb,4e0\n",
        'id, note, mos\na, "x, y", 1.5\nb, "", 4\n',
    ],
)
def test_the_usual_label_files_are_read(labels, content):
    found = read_labels(labels(content), Columns())
    assert [(PurePosixPath(label.id).stem, label.mos) for label in found] == [("a", 1.5), ("b", 4.0)]


def test_columns_can_be_named(labels):
    file = labels("id,mos,key,rating,scene\nx,9,a,1,s1\ny,9,b,2,s2\n")
    found = read_labels(file, Columns(id="key", mos="Rating", group="scene"))
    assert [(label.id, label.mos, label.group) for label in found] == [("a", 1, "s1"), ("b", 2, "s2")]


def test_of_several_column_names_the_first_that_is_there_counts(labels):
    file = labels("name,vid,MOSChunk00,MOSFull\nx,a,9,1\n")
    assert scores(read_labels(file, Columns(id=("nope", "vid", "name"), mos=("MOSFull", "mos")))) == {"a": 1.0}
    message = refusal(file, Columns(id=("flickr_id", "key")))
    assert "has no column 'flickr_id' or 'key', but 'name', 'vid', 'MOSChunk00', 'MOSFull'; name the right" in message


def test_ids_that_look_like_numbers_stay_text(labels):
    file = labels("id,mos\n3339962845,1\n007,2\n1e5,3\n7,4\n1.0,5\n")
    assert list(scores(read_labels(file, Columns()))) == ["3339962845", "007", "1e5", "7", "1.0"]


def test_a_negative_mos_is_a_mos(labels):
    assert scores(read_labels(labels("id,mos\na,-6.5\nb,-1e-3\nc,93.38\n"), Columns())) == {
        "a": -6.5,
        "b": -0.001,
        "c": 93.38,
    }


def test_any_order_of_the_rows_gives_the_same_scores_in_that_order(labels):
    rows = [
        (f"Gaming_{height}P-{number:04x}", 1 + number / 100) for number, height in enumerate((360, 1080, 2160, 720))
    ]
    orders = [sorted(rows), sorted(rows, key=lambda row: -row[1]), random.Random(0).sample(rows, len(rows))]
    assert len({tuple(order) for order in orders}) == 3
    for number, order in enumerate(orders):
        text = "vid,MOSFull,MOSChunk00\n" + "".join(f"{id_},{mos},9\n" for id_, mos in order)
        found = read_labels(labels(text, f"{number}.csv"), Columns())
        assert scores(found) == dict(rows)
        assert [label.id for label in found] == [id_ for id_, _ in order]


# --- patterns ---


def test_a_pattern_takes_the_id_out_of_its_cell(labels):
    file = labels("KoNViD_1k_videos/4542323058.mp4, 8.008, 29.97, 3.22\n007, 8.0, 25.0, -1\n", "labels.txt")
    columns = Columns(id_pattern=r"(?:.*/)?(\d+)(?:\.mp4)?")
    assert scores(read_labels(file, columns)) == {"4542323058": 3.22, "007": -1.0}


def test_an_id_with_and_without_its_suffix_is_one_id(labels):
    file = labels("id,mos\na,1\nb,2\na.mp4,1\n")
    assert len(read_labels(file, Columns())) == 3
    message = refusal(file, Columns(id_pattern=r"(.+?)(?:\.mp4)?"))
    assert "labels.csv: id 'a' stands in lines 2 and 4; keep one of them" in message


def test_a_pattern_takes_the_group_out_of_the_id(labels):
    file = labels("id,mos,group\nclips/golf-side-15Hz.mp4,1,x\nclips/golf-side-120Hz.mp4,2,y\n")
    columns = Columns(id_pattern=r".*/(.+)\.mp4", group_pattern="(.+)-[^-]+")
    assert [(label.id, label.group) for label in read_labels(file, columns)] == [
        ("golf-side-15Hz", "golf-side"),
        ("golf-side-120Hz", "golf-side"),
    ]


def test_a_blank_group_is_the_id_that_the_pattern_left(labels):
    file = labels("id,mos,group\na.mp4,1,\nb.mp4,2,scene\n")
    found = read_labels(file, Columns(id_pattern=r"(.+)\.mp4"))
    assert [(label.id, label.group) for label in found] == [("a", "a"), ("b", "scene")]


def test_an_id_that_does_not_fit_its_pattern_is_refused(labels):
    message = refusal(labels("id,mos\n1,1\nA001.mp4,2\n"), Columns(id_pattern=r"(\d+)"))
    assert (
        "labels.csv, line 3: 'A001.mp4' does not fit id_pattern '(\\\\d+)'; check that this is the right file"
        in message
    )
    assert "'b' does not fit group_pattern" in refusal(labels("id,mos\nb,1\n"), Columns(group_pattern="(a)"))


# --- several files ---


def test_a_video_that_any_list_calls_a_test_video_is_one(labels):
    whole, held_out = labels("name,mos\na,1\nb,52.51515152\nc,3\n"), labels("b, -1, -1, 52.5151515151515\n", "t.txt")
    for files, splits in (([whole, held_out], ["train", "test"]), ([held_out, whole], ["test", "train"])):
        found = {label.id: label for label in read_label_files(files, Columns(), splits=splits)}
        assert {id_: label.split for id_, label in found.items()} == {"a": "train", "b": "test", "c": "train"}
        assert found["b"].mos == 52.5151515151515
    assert [label.id for label in read_label_files([whole, held_out], Columns())] == ["a", "b", "c"]


def test_a_file_without_a_split_of_its_own_keeps_its_column(labels):
    files = [labels("id,mos,split\na,1,train\nb,2,test\n"), labels("id,mos\nb,2\nc,3\n", "more.csv")]
    found = read_label_files(files, Columns(), splits=["", "train"])
    assert {label.id: label.split for label in found} == {"a": "train", "b": "test", "c": "train"}
    found = read_label_files(files, Columns())
    assert {label.id: label.split for label in found} == {"a": "train", "b": "test", "c": None}


def test_two_files_with_two_scores_of_one_video_are_refused(labels):
    files = [labels("id,mos\na,1\nb,2\n"), labels("id,mos\nb,2.1\n", "more.csv")]
    with pytest.raises(LabelsError, match=r"more.csv, line 2: the MOS of 'b' is 2.1, but 2 in .*labels.csv, line 3"):
        read_label_files(files, Columns())


def test_splits_that_are_not_one_for_each_file_are_refused(labels):
    with pytest.raises(LabelsError, match="2 splits are given for 1 label files"):
        read_label_files([labels("id,mos\na,1\n")], Columns(), splits=["train", "test"])


# --- what is refused ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "labels.csv: is empty; name a file with a header and one row for each video"),
        ("\n \r\n", "labels.csv: is empty"),
        ("id,mos\n", "labels.csv: has a header and no rows"),
        (
            "clip_name,mos\na,1\n",
            "labels.csv: has no column known to hold the id, but 'clip_name', 'mos'; name the right",
        ),
        (
            "id,rating\na,1\n",
            "has no column known to hold the MOS, but 'id', 'rating'; name the right one with --mos-column",
        ),
        ("id,mos,mos\na,1,2\n", "column 'mos' stands twice; rename one, or name another with --mos-column"),
        ("id,mos\na,1\n\nb,2\na,3\n", "labels.csv: id 'a' stands in lines 2 and 5; keep one of them"),
        ("id,mos\na,good\n", "labels.csv, line 2: the MOS of 'a' is 'good', no number; correct or remove the line"),
        ("id,mos\nb,1\na,NaN\n", "labels.csv, line 3: the MOS of 'a' is 'NaN', no number"),
        ("id,mos\na,-inf\n", "the MOS of 'a' is '-inf', no number"),
        ("id,mos\na,\n", "the MOS of 'a' is '', no number"),
        ("id,mos\na,1_5\n", "the MOS of 'a' is '1_5', no number"),
        ("id;mos\na;3,5\n", "the MOS of 'a' is '3,5', no number"),
        ("id,mos\na,3,5\n", "labels.csv, line 2: has 3 fields, not 2; quote a comma inside a field"),
        ("id,mos\na\n", "labels.csv, line 2: has 1 fields, not 2"),
        ("id,mos\n,3\n", "labels.csv, line 2: has no id; fill it in or remove the line"),
        ("id,mos,split\na,1,held-out\n", "the split of 'a' is 'held-out', not train, val or test; correct it, or use"),
        (
            "id,mos\nä,1\n".encode("latin-1"),
            "labels.csv: is not UTF-8 text (invalid continuation byte); save it as CSV in",
        ),
        ("id,mos\na,1\n".encode("utf-16"), "labels.csv: is not UTF-8 text"),
        (
            'id,mos\n"' + "a" * 200_000 + '",1\n',
            "labels.csv, line 2: is no CSV (field larger than field limit (131072))",
        ),
    ],
)
def test_a_label_file_that_can_not_be_used_is_refused_in_one_line(labels, content, message):
    assert message in refusal(labels(content))


@pytest.mark.parametrize("what", ["id", "mos", "group", "split"])
def test_a_named_column_that_is_not_there_is_refused_with_the_option(labels, what):
    message = refusal(labels("id,mos\na,3\n"), Columns(**{what: "nope"}))
    assert f"has no column 'nope', but 'id', 'mos'; name the right one with --{what}-column" in message
