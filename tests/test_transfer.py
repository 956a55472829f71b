"""Imported features in the cache: float32, missing cells as NaN, joined by id; and tables written back."""

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqa.cache.key import id_key
from vqa.cache.segment import Provenance, SegmentRow, open_segment
from vqa.cache.segmentwriting import write_segment
from vqa.cache.store import FeatureStore
from vqa.cache.tablefiles import RatedIds, TableNames, read_feature_file
from vqa.cache.tablewriting import write_feature_file
from vqa.cache.transfer import imported_name, imported_record, plan_set, write_set
from vqa.errors import CacheError, TableError, VideoError
from vqa.records import ImportedFeatures

NAN = np.float32(np.nan)
X = np.array([[1, NAN], [1e30, 0.1]], dtype=np.float32)


def put(root, ids, values, name="imported:p"):
    store = FeatureStore(root)
    plan = plan_set(store, name, ids, values)
    write_set(store, plan, file="t.npz", sha256="e" * 64, versions={"vqa": "1"})
    return store, plan


def test_imported_features_are_read_back_bit_for_bit_with_their_missing_cells(tmp_path):
    store, plan = put(tmp_path, ["a.mp4", "b"], X)
    keys = [id_key("b.mkv"), id_key("a")]
    assert keys == ["id:b", "id:a"]
    assert store.read_means(plan.record.fingerprint, keys).tobytes() == X[::-1].tobytes()
    (stored,) = store.candidates()
    assert (stored.record.name, stored.videos, stored.segments, stored.width) == ("imported:p", 2, 1, 2)
    assert stored.weights_sha256 == ""
    assert [(source.file, source.sha256, source.missing) for source in stored.sources] == [("t.npz", "e" * 64, 1)]
    assert store.cost_ms(plan.record.fingerprint) == 0.0


def test_a_name_and_a_width_are_all_that_makes_a_candidate():
    assert imported_record("imported:p/x", 3) == imported_record("imported:p/x", 3)
    assert imported_record("imported:p/x", 3).fingerprint != imported_record("imported:p/x", 4).fingerprint
    assert imported_record("imported:p/x", 3).fingerprint != imported_record("imported:p/y", 3).fingerprint
    assert imported_name("p", "x") == "imported:p/x"
    for bad in ("", "a/b", "-p", "a b", "x" * 65):
        with pytest.raises(TableError, match="can't name imported features"):
            imported_name(bad)


def test_the_same_again_adds_nothing_and_new_videos_are_added(tmp_path):
    put(tmp_path, ["a", "b"], X)
    assert plan_set(FeatureStore(tmp_path), "imported:p", ["b", "a"], X[::-1]).ids == ()
    store, plan = put(tmp_path, ["b", "c"], np.array([X[1], [5, 6]], dtype=np.float32))
    assert (plan.ids, plan.held) == (("c",), 1)
    assert store.read_means(plan.record.fingerprint, ["id:c", "id:b"]).tolist() == [[5, 6], X[1].tolist()]
    assert store.candidates()[0].segments == 2


def test_other_values_or_another_width_under_the_same_name_are_refused(tmp_path):
    put(tmp_path, ["a", "b"], X)
    store = FeatureStore(tmp_path)
    with pytest.raises(TableError) as caught:
        plan_set(store, "imported:p", ["a", "c", "b"], np.array([[1, 2], [3, 4], X[1]], dtype=np.float32))
    assert str(caught.value) == (
        "imported:p: the cache holds other values for 1 of 2 videos that it has already (a); "
        "nothing was imported, import under another name with --as"
    )
    with pytest.raises(TableError, match="imported:p: has 2 features a video in the cache and 3 in the file; import"):
        plan_set(store, "imported:p", ["c"], np.ones((1, 3), np.float32))


def test_imported_features_are_one_row_and_never_infinite():
    for values in (np.ones((2, 2)), np.ones((1, 0)), np.ones(3), np.array([[np.inf]])):
        with pytest.raises(VideoError):
            ImportedFeatures(values.astype(np.float32))


def test_float32_is_read_as_imported_only_and_extraction_stays_float16(tmp_path):
    record = imported_record("imported:p", 2)
    rows = [SegmentRow("id:a", ImportedFeatures(X[:1]), 0)]
    with pytest.raises(TypeError):
        write_segment(tmp_path, Provenance(record, "", {}), rows, seconds=0)
    _, plan = put(tmp_path, ["a", "b"], X)
    (path,) = tmp_path.glob("*/*.h5")
    assert open_segment(path).provenance.record == plan.record
    with h5py.File(path, "r+") as file:
        del file.attrs["source"]
    with pytest.raises(CacheError, match="features is of type float32"):
        open_segment(path)


ROWS = RatedIds(("=1+1", 'say "hi", é', "c/3"), np.array([1.1, np.nan, 3]), ("x", "", "y"), ("train", "", "test"))


def _has_a_number(values):
    """A set without any is refused when it is read."""
    return np.isfinite(values).any()


@pytest.mark.parametrize("suffix", ["npz", "mat", "csv"])
@settings(max_examples=25)
@given(hnp.arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_infinity=False)).filter(_has_a_number))
def test_what_is_written_is_read_back_bit_for_bit(tmp_path_factory, suffix, values):
    file = tmp_path_factory.mktemp("t") / f"t.{suffix}"
    values = np.where(np.isnan(values), NAN, values)
    sets = {"timm:resnet50.a1_in1k@fragments": values, "open_clip:ViT-B-32/openai": np.ones((3, 1), np.float32)}
    write_feature_file(file, ROWS, sets)
    table = read_feature_file(file, TableNames())
    assert table.rated.ids == ROWS.ids
    assert table.rated.mos.tobytes() == ROWS.mos.tobytes()
    assert (table.rated.groups, table.rated.splits) == (ROWS.groups, ROWS.splits)
    found = {name: found.tobytes() for name, found in table.sets.items() if not np.isnan(values).all()}
    assert found == {name: value.tobytes() for name, value in sets.items()}


def test_names_of_a_mat_file_are_legal_in_matlab_and_the_sets_own_names_stand_beside(tmp_path):
    write_feature_file(tmp_path / "t.mat", RatedIds(("a", "b"), None, None, None), {"timm:x/y@z": X, "w": X})
    content = scipy.io.loadmat(tmp_path / "t.mat")
    assert sorted(name for name in content if not name.startswith("__")) == ["ids", "set_1", "set_2", "set_names"]
    assert [str(name[0]) for name in content["set_names"].ravel()] == ["timm:x/y@z", "w"]


def test_a_csv_quotes_text_and_guards_what_a_spreadsheet_would_run(tmp_path):
    write_feature_file(tmp_path / "t.csv", ROWS, {"w": np.array([[1], [NAN], [0.1]], dtype=np.float32)})
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines() == [
        '"ids","mos","group","split","w/0"',
        '"\'=1+1",1.1,"x","train",1.0',
        '"say ""hi"", é","","","",""',
        '"c/3",3.0,"y","test",0.10000000149011612',
    ]


def test_a_table_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "t.npz").write_bytes(b"older")

    def fail(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left"):
        write_feature_file(tmp_path / "t.npz", ROWS, {"w": np.ones((3, 1), np.float32)})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]
    with pytest.raises(TableError, match=r"t\.xlsx: can't be written as a table; name a file that ends in \.npz"):
        write_feature_file(tmp_path / "t.xlsx", ROWS, {})
