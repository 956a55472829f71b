"""Tables of features as people keep them: every kind of file, and what is refused."""

import pickle
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
from corpora import write_matlab_73

from vqa.cache import arrayfiles
from vqa.cache.tablefiles import TableNames, read_feature_file
from vqa.errors import TableError

IDS = ["b", "a", "c"]
X = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


def read(file, ids_file=None, **names):
    return read_feature_file(file, TableNames(**names), ids_file=ids_file)


def refusal(file, ids_file=None, **names):
    with pytest.raises(TableError) as caught:
        read(file, ids_file, **names)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{file}: ")


def npz(folder, **arrays):
    np.savez(folder / "t.npz", **arrays)
    return folder / "t.npz"


def text(folder, content, name="t.csv"):
    (folder / name).write_text(content)
    return folder / name


def make_npz(folder):
    return npz(folder, ids=np.array(IDS), mos=[1.0, 2.0, 3.0], group=np.array(["x", "x", "y"]), feat__one=X)


def make_csv(folder):
    return text(folder, "video,MOS,content,f0,f1\nb,1,x,1,2\na,2,x,3,4\nc,3,y,5,6\n")


def make_tsv(folder):
    return text(folder, "mos\tf0\tid\tf1\tgroup\n1\t1\tb\t2\tx\n2\t3\ta\t4\tx\n3\t5\tc\t6\ty\n", "t.tsv")


def make_mat(folder):
    cells = np.array(IDS, dtype=object)[:, None]
    content = {"names": cells, "MOS": [[1.0], [2.0], [3.0]], "groups": np.array(["x ", "x ", "y "]), "feats": X}
    scipy.io.savemat(folder / "t.mat", content, do_compression=True)
    return folder / "t.mat"


def make_mat_73(folder):
    return write_matlab_73(
        folder / "t.mat", names=IDS, mos=np.array([[1.0], [2.0], [3.0]]), group=["x", "x", "y"], feats=X
    )


def make_hdf5(folder):
    with h5py.File(folder / "t.h5", "w") as file:
        file["labels/ids"], file["labels/mos"], file["labels/group"] = IDS, [1.0, 2.0, 3.0], ["x", "x", "y"]
        file["feats"] = X
    return folder / "t.h5"


@pytest.mark.parametrize("make", [make_npz, make_csv, make_tsv, make_mat, make_mat_73, make_hdf5])
def test_ids_mos_groups_and_the_matrix_come_out_of_every_kind_of_file(tmp_path, make):
    table = read(make(tmp_path))
    assert table.rated.ids == ("b", "a", "c")
    assert table.rated.mos.tolist() == [1, 2, 3]
    assert table.rated.groups == ("x", "x", "y")
    assert [(values.dtype, values.tolist()) for values in table.sets.values()] == [(np.float32, X.tolist())]
    assert (table.several, table.left_aside) == (False, ())


def test_npy_takes_its_ids_from_a_list_with_or_without_a_heading(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float64))
    for content in ("b\na\nc\n", "video\nb\na\nc", "id,mos\nb,1\na,2\nc,3\n"):
        table = read(tmp_path / "x.npy", text(tmp_path, content, "ids.csv"))
        assert (table.rated.ids, table.sets["matrix"].tolist()) == (("b", "a", "c"), X.tolist())
    assert table.rated.mos.tolist() == [1, 2, 3]


def test_another_number_of_ids_than_rows_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", X)
    ids = text(tmp_path, "b\na\n", "ids.txt")
    assert refusal(tmp_path / "x.npy", ids) == (
        "'matrix' has 3 rows, but there are 2 ids; turn it round, a row for each video, or take others with --matrix"
    )
    assert refusal(tmp_path / "x.npy") == ("holds no ids, but matrix; name them with --id-column, or a file with --ids")


def test_ids_of_the_file_and_of_the_list_in_another_order_are_refused(tmp_path):
    file = make_npz(tmp_path)
    message = refusal(file, text(tmp_path, "a\nb\nc\n", "ids.txt"))
    assert message.startswith("its own ids are not those of ")
    assert "another order" in message
    assert read(file, text(tmp_path, "b\na\nc\n", "ids.txt")).rated.mos.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (["a", "b", "a"], "id 'a' stands twice; keep one row for each video"),
        (["a.mp4", "b", "a.mkv"], "'a.mp4' and 'a.mkv' differ in their suffix alone; keep one of them"),
        (["a", " ", "c"], "the id of row 2 is ''; every row needs one of printable text"),
        (["a", "b\x1b[0m", "c"], "the id of row 2 is 'b\\x1b[0m'; every row needs one of printable text"),
        ([1.5, 1.5, 2], "id '1.5' stands twice; keep one row for each video"),
    ],
)
def test_ids_that_do_not_name_each_video_once_are_refused(tmp_path, ids, reason):
    assert refusal(npz(tmp_path, ids=np.array(ids), feat__x=X)) == reason


@pytest.mark.parametrize("header", ["id,group,f", "group,id,f"])
def test_one_very_long_text_does_not_make_a_column_of_its_width(tmp_path, header):
    message = refusal(text(tmp_path, f"{header}\na,b,1\n{'é' * 1025},c,2\n"))
    assert message.endswith(f"t.csv, line 3: '{'é' * 20}'... has 1025 characters, more than 1024; shorten it")


def test_ids_are_as_long_as_the_keys_made_of_them_may_be(tmp_path):
    ids = ["é" * 510 + "e.mp4", "a", "c"]
    assert read(npz(tmp_path, ids=np.array(ids), feat__x=X)).rated.ids == tuple(ids)
    reason = "the id of row 1 is longer than 1021 bytes; shorten it"
    assert refusal(npz(tmp_path, ids=np.array(["é" * 511, "a", "c"]), feat__x=X)) == reason
    np.save(tmp_path / "x.npy", X)
    listed = text(tmp_path, f"{'k' * 1025}\na\nc\n", "ids.txt")
    with pytest.raises(TableError, match=r"ids\.txt, line 1: 'k{20}'\.\.\. has 1025 characters, more than 1024"):
        read(tmp_path / "x.npy", listed)


def test_ids_that_look_like_numbers_stay_what_they_are(tmp_path):
    assert read(npz(tmp_path, ids=[3339962845.0, 7.0, 1e15], feat__x=X)).rated.ids == (
        "3339962845",
        "7",
        "1000000000000000",
    )
    table = read(text(tmp_path, "id,f\n3339962845,1\n007,2\n1e5,3\n"))
    assert table.rated.ids == ("3339962845", "007", "1e5")


def test_what_is_not_finite_in_float32_is_missing(tmp_path):
    values = np.array([[1, np.nan], [np.inf, 1e300], [-np.inf, 2]])
    table = read(npz(tmp_path, ids=IDS, feat__x=values))
    assert table.sets["x"].tolist()[0][0] == 1.0
    assert np.isnan(table.sets["x"]).tolist() == [[False, True], [True, True], [True, False]]
    assert refusal(npz(tmp_path, ids=IDS, feat__x=np.full((3, 2), np.nan))).startswith("'feat__x' holds no finite")


def test_a_csv_keeps_empty_cells_as_missing_and_numbered_columns_as_sets(tmp_path):
    table = read(text(tmp_path, "ids,a/b/1,a/b/0,z/0,plain\nx,1,,3,4\ny,5,6,nan,8\n"))
    assert {name: values.shape for name, values in table.sets.items()} == {
        "a/b": (2, 2),
        "z": (2, 1),
        "columns": (2, 1),
    }
    assert np.isnan(table.sets["a/b"]).tolist() == [[True, False], [False, False]]
    assert table.sets["a/b"][1].tolist() == [6, 5]
    assert table.several


def test_columns_of_ratings_are_no_features_unless_asked_for(tmp_path):
    file = text(tmp_path, "id,mos,MOSChunk00,stdFull,f0,kind\na,1,1.1,.2,5,x\nb,2,2.1,.3,6,y\n")
    table = read(file)
    assert table.sets["columns"].tolist() == [[5], [6]]
    assert table.left_aside == ("kind", "MOSChunk00", "stdFull")
    assert read(file, matrices=("MOS*",)).sets["columns"].tolist() == [[np.float32(1.1)], [np.float32(2.1)]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,f\na,1\nb,O.5\n", "line 3: 'f' is 'O.5', no number; correct it, or leave the cell empty"),
        ("id,f\na,1\nb,1_5\n", "line 3: 'f' is '1_5', no number"),
        ("id,f\na,1\nb,1,2\n", "line 3: has 3 fields, not 2; quote a comma inside a field"),
        ("id,f,f\na,1,2\n", "column 'f' stands twice; rename one"),
        ("id,f\n", "has a header and no rows; name a table with one row for each video"),
        ("", "is empty; name a table with a header and one row for each video"),
        ("id,mos,f\na,good,1\n", "line 2: the MOS is 'good', no number; correct it"),
        ("x,f\na,1\n", "holds no ids, but feat__columns, x; name them with --id-column, or a file with --ids"),
        ("id,kind\na,x\n", "holds no matrix of numbers, but id (1,); name one with --matrix"),
        ("id,split,mos,f\na,other,3,1\n", "a split is 'other', not train, val or test; correct it"),
    ],
)
def test_a_csv_that_can_not_be_used_is_refused_in_one_line(tmp_path, content, reason):
    file = text(tmp_path, content)
    assert refusal(file).removeprefix(f"{file}, ").startswith(reason)


def test_matrices_are_chosen_by_name_or_glob_and_the_rest_is_told(tmp_path):
    file = npz(tmp_path, ids=IDS, feat__one=X, feat__two=X + 1, other=X)
    assert (tuple(read(file).sets), read(file).several, read(file).left_aside) == (("one", "two"), True, ("other",))
    assert tuple(read(file, matrices=("t*",)).sets) == ("two",)
    assert tuple(read(file, matrices=("feat__one", "other")).sets) == ("one", "other")
    assert refusal(file, matrices=("three",)) == "has no 'three', but feat__one, feat__two, other; correct --matrix"


def test_one_column_alone_is_taken_for_a_rating_not_a_feature(tmp_path):
    scipy.io.savemat(tmp_path / "t.mat", {"ids": np.array(IDS), "dmos": [[1.0], [2.0], [3.0]], "feats": X})
    table = read(tmp_path / "t.mat")
    assert (tuple(table.sets), table.left_aside) == (("feats",), ("dmos",))


def test_columns_are_named_and_left_unread_as_the_user_says(tmp_path):
    file = npz(tmp_path, ids=IDS, mos=[1, 2, 3], quality=[3.0, 2.0, 1.0], feat__x=X)
    assert read(file, mos="quality").rated.mos.tolist() == [3, 2, 1]
    assert read(file, mos="").rated.mos is None
    assert refusal(file, mos="nope") == "has no 'nope', but ids, mos, quality, feat__x; correct --mos-column"
    assert refusal(file, mos="ids") == "its MOS are of type <U1, no numbers; name others with --mos-column"


def test_nothing_is_ever_unpickled(tmp_path):
    file = npz(tmp_path, ids=np.array(["a", {}], dtype=object), feat__x=X)
    assert "of Python objects, which are never unpickled" in refusal(file)
    (tmp_path / "x.npy").write_bytes(pickle.dumps(X))
    assert refusal(tmp_path / "x.npy", text(tmp_path, "a")).startswith("can't be read (")
    np.save(tmp_path / "o.npy", np.array([{}, {}]))
    assert refusal(tmp_path / "o.npy", text(tmp_path, "a")).startswith("can't be read (")


def test_no_link_leads_out_of_an_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = X
    (tmp_path / "raw").write_bytes(X.tobytes())
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", (3, 2))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["ids"] = IDS
        file["linked"] = h5py.ExternalLink("secret.h5", "x")
        file["soft"] = h5py.SoftLink("/linked")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (3, 2), np.float32, external=[(str(tmp_path / "raw"), 0, 24)])
    assert refusal(tmp_path / "t.h5") == "holds no matrix of numbers, but ids (3,); name one with --matrix"
    for name in ("virtual", "outside"):
        assert "kept in another file" in refusal(tmp_path / "t.h5", matrices=(name,))
    assert refusal(tmp_path / "t.h5", matrices=("linked",)).startswith("has no 'linked'")


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrayfiles, "MAX_BYTES", 1 << 16)
    zeros = np.zeros((1000, 1000))
    np.savez_compressed(tmp_path / "t.npz", ids=IDS, feat__x=zeros)
    scipy.io.savemat(tmp_path / "t.mat", {"ids": IDS, "x": zeros}, do_compression=True)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("x", data=zeros, compression="gzip")
    for name in ("t.npz", "t.mat", "t.h5"):
        assert "bytes unpacked, more than 65536" in refusal(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".mat", ".h5", ".csv"])
def test_junk_and_a_file_that_is_not_there_are_refused_in_one_line(tmp_path, suffix):
    file = tmp_path / f"t{suffix}"
    assert refusal(file).startswith(("there is no such file", "can't be read"))
    for junk in (b"", b"\x00" * 200, b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'", zlib.compress(b"x" * 999), b"\xff\xfe"):
        file.write_bytes(junk)
        assert refusal(file)


def test_an_npz_that_claims_more_than_it_holds_is_refused(tmp_path):
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("feat__x.npy", b"\x93NUMPY\x01\x00\x76\x00" + head)
    assert refusal(tmp_path / "t.npz").startswith("can't be read (")
