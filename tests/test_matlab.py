"""MATLAB files: structs, cell arrays, char matrices and vectors, of MATLAB 5 to 7.3."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from vqa.cache.matlab import read_matlab_hdf5
from vqa.errors import LabelsError
from vqa.labels import Columns, read_labels
from vqa.matlab import is_matlab, read_matlab_columns

NAMES = ["A001.mp4", "A002.mp4", "B003.mp4"]


@pytest.fixture
def mat(tmp_path):
    """Return a function that writes variables to a MATLAB file."""

    def write(variables, **options):
        savemat(tmp_path / "labels.mat", variables, **options)
        return tmp_path / "labels.mat"

    return write


@pytest.fixture
def hdf5(tmp_path):
    """Return a function that gives an HDF5 file as MATLAB 7.3 makes it."""

    def start():
        return h5py.File(tmp_path / "labels.mat", "w", userblock_size=512)

    return start


def cells(values):
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = values
    return column


def structs(**fields):
    array = np.zeros((1, len(next(iter(fields.values())))), dtype=[(name, object) for name in fields])
    for name, values in fields.items():
        array[name][0] = values
    return array


def put(file, path, values, kind="double"):
    dataset = file.create_dataset(path, data=values)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset


def put_text(file, path, text):
    return put(file, path, np.array([[ord(letter)] for letter in text], dtype=np.uint16), "char")


def put_cells(file, path, texts, kind="cell"):
    references = [put_text(file, f"#refs#/{path.replace('/', '_')}{i}", text).ref for i, text in enumerate(texts)]
    return put(file, path, np.array([references], dtype=h5py.ref_dtype), kind)


def scores(file, columns=Columns()):  # noqa: B008
    return {label.id: label.mos for label in read_labels(file, columns, read_hdf5=read_matlab_hdf5)}


def refusal(file, columns=Columns(), read_hdf5=read_matlab_hdf5):  # noqa: B008
    with pytest.raises(LabelsError) as info:
        read_labels(file, columns, read_hdf5=read_hdf5)
    assert "\n" not in str(info.value)
    return str(info.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "variables",
    [
        {"video_list": cells(NAMES), "mos": np.array([[1.0], [2.5], [-3.0]]), "index": np.ones((3, 7))},
        {"video_names": cells([cells([name]) for name in NAMES]), "scores": np.array([1, 2.5, -3])},
        {"names": np.array(["A001.mp4", "A002.mp4", "B003.mp4"]), "mos": [1, 2.5, -3], "name": "the set"},
        {"data": structs(name=NAMES, mos=[1.0, 2.5, -3.0], note=["", "x", np.ones((2, 2))])},
        {"data": {"labels": {"video": cells(NAMES), "mos": np.array([1, 2.5, -3])}, "year": 2019}},
    ],
    ids=["cells", "cells in cells", "char matrix", "struct array", "nested structs"],
)
def test_names_and_scores_are_found_in_any_shape(mat, variables, compressed):
    named = Columns(id="names") if "names" in variables else Columns()
    assert scores(mat(variables, do_compression=compressed), named) == {
        "A001.mp4": 1.0,
        "A002.mp4": 2.5,
        "B003.mp4": -3.0,
    }


def test_files_of_matlab_4_are_read_too(mat):
    file = mat({"names": np.array(["a1", "b2"]), "mos": np.array([[1.5], [2.0]])}, format="4")
    assert scores(file, Columns(id="names")) == {"a1": 1.5, "b2": 2.0}


def test_fields_are_named_with_or_without_their_structs(mat):
    file = mat({"first": structs(key=["a", "b"], mos=[1.0, 2.0]), "second": structs(key=["c", "d"], mos=[3.0, 4.0])})
    assert list(read_matlab_columns(file)) == ["first.key", "first.mos", "second.key", "second.mos"]
    assert scores(file, Columns(id="first.key", mos="second.mos")) == {"a": 3.0, "b": 4.0}
    assert "column 'key' stands twice" in refusal(file, Columns(id="key", mos="first.mos"))


def test_ids_that_are_numbers_become_text_without_a_point(mat):
    file = mat({"video_names": np.array([3339962845.0, 7.0, 1e5, 0.5]), "scores": [1, 2, 3, 4]})
    assert scores(file) == {"3339962845": 1.0, "7": 2.0, "100000": 3.0, "0.5": 4.0}


def test_groups_and_splits_are_columns_too(mat):
    file = mat(
        {"name": cells(["a", "b"]), "mos": [1, 2], "content": cells(["x", ""]), "split": cells(["train", "test"])}
    )
    found = read_labels(file, Columns())
    assert [(label.group, label.split) for label in found] == [("x", "train"), ("b", "test")]


def test_a_file_of_matlab_7_3_is_read_by_the_reader_given_for_it(hdf5, tmp_path):
    with hdf5() as file:
        put_cells(file, "video_names", NAMES)
        put(file, "scores", np.array([[1.0, 2.5, -3.0]]))
        put(file, "index", np.ones((3, 7)))
        put_text(file, "video_format", "RGB")
    assert scores(tmp_path / "labels.mat") == {"A001.mp4": 1.0, "A002.mp4": 2.5, "B003.mp4": -3.0}
    assert "is a MATLAB 7.3 file; save it with `save(name, '-v7')`, or as CSV" in refusal(
        tmp_path / "labels.mat", read_hdf5=None
    )


def test_structs_struct_arrays_and_char_matrices_of_matlab_7_3_are_read(hdf5, tmp_path):
    with hdf5() as file:
        matrix = np.array([[ord(letter) for letter in name] for name in ("a1 ", "b22")], dtype=np.uint16)
        put(file, "info/names", matrix.T, "char")
        put(file, "info/deep/mos", np.array([[1.5, 2.0]]))
        put_cells(file, "rows/id", ["x", "y"], kind="struct")
        numbers = [put(file, f"#refs#/n{i}", np.array([[3.5 + i]])).ref for i in range(2)]
        put(file, "rows/mos", np.array([numbers], dtype=h5py.ref_dtype), "struct")
    assert scores(tmp_path / "labels.mat", Columns(id="names", mos="deep.mos")) == {"a1": 1.5, "b22": 2.0}
    assert scores(tmp_path / "labels.mat", Columns(id="rows.id", mos="rows.mos")) == {"x": 3.5, "y": 4.5}


def test_no_link_leads_out_of_a_file_of_matlab_7_3(hdf5, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        put(other, "mos", np.array([[1.0, 2.0]]))
    (tmp_path / "raw").write_bytes(np.array([1.0, 2.0]).tobytes())
    with hdf5() as file:
        put_cells(file, "video_names", ["a", "b"])
        file["mos"] = h5py.ExternalLink(tmp_path / "secret.h5", "mos")
        file["again"] = h5py.SoftLink("/again")
        file.create_dataset("scores", (2,), "f8", external=[(tmp_path / "raw", 0, 16)])
        file["loop/inside"] = file.require_group("loop")
    assert set(read_matlab_columns(tmp_path / "labels.mat", read_matlab_hdf5)) == {"video_names"}


def test_columns_of_two_lengths_are_refused(mat):
    message = refusal(mat({"video_list": cells(NAMES), "mos": [1, 2]}))
    assert "labels.mat: its columns differ in length (3 in 'video_list', 2 in 'mos'); name others" in message


def test_a_row_that_can_not_be_used_is_named(mat):
    message = refusal(mat({"video_list": cells(NAMES), "mos": [1, np.nan, 3]}))
    assert "labels.mat, row 2: the MOS of 'A002.mp4' is 'nan', no number" in message
    assert "id 'a' stands in rows 1 and 2" in refusal(mat({"name": cells(["a", "a"]), "mos": [1, 2]}))


def test_a_file_without_columns_says_what_it_may_hold(mat):
    assert "holds no column of names or scores (MATLAB's tables and" in refusal(mat({"x": np.ones((2, 2))}))
    message = refusal(mat({"clips": cells(NAMES), "mos": [1, 2, 3]}))
    assert "has no column known to hold the id, but 'clips', 'mos'; name the right one with --id-column" in message


def test_matlab_files_are_told_by_their_bytes(mat, tmp_path):
    file = mat({"mos": [1, 2]})
    assert is_matlab(file.rename(tmp_path / "labels.csv"))
    (tmp_path / "text.csv").write_text("id,mos\na,1\n")
    assert not is_matlab(tmp_path / "text.csv")


def test_a_file_that_crashes_its_reader_costs_one_line(mat, monkeypatch, tmp_path):
    file = mat({"mos": [1, 2]})
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(crash))
    assert "is no MATLAB file that can be read (it crashes its reader); save it again, or as CSV" in refusal(file)


def test_what_is_no_matlab_file_is_refused_in_one_line(tmp_path):
    for content, message in [
        (b"", "Mat file appears to be truncated"),
        (b"garbage" * 100, "Unknown mat file type"),
        (b"MATLAB 5.0 MAT-file".ljust(128), "is no MATLAB file that can be read"),
        (
            b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" + b"x" * 100,
            "is no MATLAB 7.3 file that can be read",
        ),
    ]:
        (tmp_path / "bad.mat").write_bytes(content)
        assert message in refusal(tmp_path / "bad.mat")
    assert "the labels can't be read (No such file or directory)" in refusal(tmp_path / "gone.mat")


def test_a_small_file_that_unpacks_to_hundreds_of_megabytes_is_refused_unread(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "bomb.mat", {"mos": np.zeros(40_000_000)}, do_compression=True)
    assert (tmp_path / "bomb.mat").stat().st_size < 1_000_000
    with pytest.raises(LabelsError, match="holds more than 256 MB once unpacked, too much for labels"):
        read_matlab_columns(tmp_path / "bomb.mat")
