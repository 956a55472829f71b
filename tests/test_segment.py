"""One immutable HDF5 file: exact, checksummed, whole or absent."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqa.cache.folder import reason_of
from vqa.cache.segment import Provenance, SegmentGoneError, SegmentRow, open_segment, read_videos, sha256_in_name
from vqa.cache.segmentwriting import write_segment
from vqa.errors import CacheError
from vqa.files import sha256_of
from vqa.records import CandidateRecord, VideoFeatures

RECORD = CandidateRecord("timm:resnet18@resize", "0123456789ab", '{"frames":2}')
PROVENANCE = Provenance(RECORD, "f" * 64, {"torch": "2.9", "timm": "1.0"}, probe=(0.5, -2.0))


def features(rows, *, width=3, start=0.0):
    values = (np.arange(rows * width, dtype=np.float16) + np.float16(start)).reshape(rows, width)
    return VideoFeatures(values, np.arange(rows) / 10)


def row(key, content, created_ns=10**18):
    return SegmentRow(key, content, created_ns)


@pytest.fixture
def segment_file(tmp_path):
    rows = [row("a" * 64, features(2)), row("b" * 64, features(3, start=100)), row("c" * 64, features(1, start=200), 7)]
    return write_segment(tmp_path, PROVENANCE, rows, seconds=1.5)


def edit(path, change):
    """Apply a change to a segment as a stranger could have written it."""
    with h5py.File(path, "r+") as file:
        change(file)


def replace(name, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, **options)

    return change


def test_a_segment_gives_back_what_was_written(segment_file):
    segment = open_segment(segment_file)
    assert segment.provenance == PROVENANCE
    assert segment.keys == ("a" * 64, "b" * 64, "c" * 64)
    assert segment.offsets.tolist() == [0, 2, 5, 6]
    assert segment.created_ns.tolist() == [10**18, 10**18, 7]
    assert (segment.width, segment.seconds, segment.bytes) == (3, 1.5, segment_file.stat().st_size)
    third, second = read_videos(segment, [2, 1])
    assert third.values.tolist() == [[200, 201, 202]]
    assert second.values.tolist() == [[100, 101, 102], [103, 104, 105], [106, 107, 108]]
    assert second.pts_seconds.tolist() == [0.0, 0.1, 0.2]


def test_the_name_sorts_by_time_and_holds_the_sha256_of_the_bytes(tmp_path, segment_file):
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{9}Z-[0-9a-f]{8}-[0-9a-f]{64}\.h5", segment_file.name)
    assert segment_file.stem.endswith(sha256_of(segment_file))
    later = write_segment(tmp_path, PROVENANCE, [row("d", features(1))], seconds=0)
    assert later.name > segment_file.name
    assert sorted(tmp_path.iterdir()) == [segment_file, later]


def test_every_dataset_is_checksummed_and_of_a_plain_type(segment_file):
    with h5py.File(segment_file) as file:
        assert {name: str(file[name].dtype) for name in file} == {
            "keys": "|S64",
            "features": "float16",
            "offsets": "int64",
            "pts_seconds": "float64",
            "created_ns": "int64",
            "probe": "float32",
        }
        assert all(file[name].fletcher32 for name in file)
        assert file.attrs["schema"] == 2
        assert file.attrs["candidate"] == b'{"frames":2}'
        assert file.attrs["versions"] == b'{"timm": "1.0", "torch": "2.9"}'


def test_a_key_may_be_any_text(tmp_path):
    path = write_segment(tmp_path, PROVENANCE, [row("größe/007 .mp4", features(1)), row("1e5", features(1))], seconds=0)
    assert open_segment(path).keys == ("größe/007 .mp4", "1e5")


def test_a_key_wider_than_any_of_ours_is_refused_before_it_is_read(tmp_path):
    longest = write_segment(tmp_path, PROVENANCE, [row("k" * 1024, features(1))], seconds=0)
    assert open_segment(longest).keys == ("k" * 1024,)
    path = write_segment(tmp_path, PROVENANCE, [row("k" * 1025, features(1))], seconds=0)
    with pytest.raises(CacheError, match=r"can't be read \(its keys are longer than 1024 bytes\)"):
        open_segment(path)


@pytest.mark.parametrize("schema", [np.inf, -np.inf, np.nan])
def test_a_schema_that_is_no_number_is_refused(segment_file, schema):
    edit(segment_file, lambda file: file.attrs.__setitem__("schema", schema))
    with pytest.raises(CacheError, match=r"this segment can't be read \(cannot convert float"):
        open_segment(segment_file)


@pytest.mark.parametrize("moment", ["19690101T000000", "19700101T000000", "19710101T000000", "22611231T235959"])
def test_a_name_from_a_time_of_ours_tells_the_sha256(moment):
    assert sha256_in_name(Path(f"{moment}.000000000Z-01234567-{'a' * 64}.h5")) == "a" * 64


@pytest.mark.parametrize(
    "moment",
    ["00010101T000000", "19681231T235959", "22620101T000000", "99999999T000000", "20250230T000000", "20250101T240000"],
)
def test_a_name_that_says_no_time_of_ours_is_no_segments(moment):
    assert sha256_in_name(Path(f"{moment}.000000000Z-01234567-{'a' * 64}.h5")) is None


def finite(bits):
    """Read bits as float16, those of NaN and infinity with their top exponent bit cleared."""
    return np.where(bits & 0x7C00 == 0x7C00, bits & 0xBFFF, bits).astype(np.uint16).view(np.float16)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 6), st.data())
def test_float16_features_come_back_bit_for_bit(tmp_path_factory, lengths, width, data):
    arrays = [finite(data.draw(hnp.arrays(np.uint16, (length, width)))) for length in lengths]
    rows = [row(f"v{n}", VideoFeatures(values, np.arange(len(values)) * 0.1)) for n, values in enumerate(arrays)]
    path = write_segment(tmp_path_factory.mktemp("segment"), PROVENANCE, rows, seconds=0)
    videos = read_videos(open_segment(path), range(len(lengths)))
    assert [video.values.tobytes() for video in videos] == [values.tobytes() for values in arrays]


def test_a_flipped_byte_in_the_features_is_found_when_they_are_read(segment_file):
    content = bytearray(segment_file.read_bytes())
    place = content.index(features(3, start=100).values.tobytes())
    content[place + 4] ^= 0x01
    segment_file.write_bytes(content)
    segment = open_segment(segment_file)
    with pytest.raises(
        CacheError, match=r"\.h5: this segment can't be read \(.*\); run `vqa cache verify --repair`, then"
    ):
        read_videos(segment, [0])


@pytest.mark.parametrize("length", [0, 8, 1000, -1])
def test_a_truncated_file_is_named(segment_file, length):
    segment_file.write_bytes(segment_file.read_bytes()[:length])
    with pytest.raises(
        CacheError, match=r"can't be read \(.+\); run `vqa cache verify --repair`, then `vqa extract` again"
    ) as info:
        open_segment(segment_file)
    assert segment_file.name in str(info.value)
    assert "\n" not in str(info.value)


def test_of_what_hdf5_says_only_the_system_s_reason_is_told():
    said = (
        "Unable to synchronously open file (file read failed: time = Thu Jan  1 00:00:00 1970\n, filename = 'a.h5', "
        "file descriptor = 5, errno = 5, error message = 'Input/output error', buf = 0x7ffd0, total read size = 8)"
    )
    assert reason_of(OSError(5, said)) == reason_of(OSError(said)) == "Input/output error"


def test_an_external_link_is_not_followed(tmp_path, segment_file):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file.create_dataset("features", data=np.zeros((6, 3), np.float16), chunks=(6, 3), fletcher32=True)

    def link(file):
        del file["features"]
        file["features"] = h5py.ExternalLink(str(secret), "features")

    edit(segment_file, link)
    with pytest.raises(CacheError, match="features is missing or a link"):
        open_segment(segment_file)


def test_external_and_virtual_data_is_not_followed(tmp_path, segment_file):
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(36))
    edit(segment_file, replace("features", shape=(6, 3), dtype="f2", external=[(str(raw), 0, 36)]))
    with pytest.raises(CacheError, match="features lies elsewhere or has no checksums"):
        open_segment(segment_file)

    def virtual(file):
        del file["features"]
        layout = h5py.VirtualLayout((6, 3), "f2")
        layout[:] = h5py.VirtualSource(str(raw), "features", (6, 3))
        file.create_virtual_dataset("features", layout)

    edit(segment_file, virtual)
    with pytest.raises(CacheError, match="features lies elsewhere or has no checksums"):
        open_segment(segment_file)


def test_a_claimed_shape_that_the_file_can_not_hold_is_refused(segment_file):
    edit(segment_file, replace("features", shape=(6, 10**9), dtype="f2", chunks=(1, 1000), fletcher32=True))
    with pytest.raises(CacheError, match="features is larger than its file"):
        open_segment(segment_file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replace("features", data=np.zeros((6, 3), "f2")), "features lies elsewhere or has no checksums"),
        (replace("features", data=np.zeros((6, 3), "f4"), chunks=(6, 3), fletcher32=True), "features is of type"),
        (replace("keys", data=[1, 2, 3], chunks=(3,), fletcher32=True), "keys is of type int64"),
        (replace("offsets", data=[0, 2, 9], chunks=(3,), fletcher32=True), "offsets do not fit its rows"),
        (replace("offsets", data=[0, 5, 2, 6], chunks=(4,), fletcher32=True), "offsets do not fit its rows"),
        (replace("pts_seconds", data=np.zeros(7), chunks=(7,), fletcher32=True), "offsets do not fit its rows"),
        (replace("created_ns", data=[1, 2], chunks=(2,), fletcher32=True), "2 times of extraction for 3 videos"),
        (lambda file: file.attrs.modify("schema", 1), "schema 1, this version of vqa reads 2"),
        (lambda file: file.attrs.modify("candidate", "{"), "Expecting property name"),
        (lambda file: file.attrs.create("name", 3), "an attribute is no text"),
        (lambda file: file.attrs.pop("versions"), "attribute versions is missing"),
    ],
)
def test_what_is_no_segment_of_ours_is_refused_by_name(segment_file, change, reason):
    edit(segment_file, change)
    with pytest.raises(CacheError, match=reason):
        open_segment(segment_file)


def test_features_that_are_not_finite_never_leave_the_cache(segment_file):
    def spoil(file):
        file["features"][0, 0] = np.nan

    edit(segment_file, spoil)
    with pytest.raises(CacheError, match="features are not finite"):
        read_videos(open_segment(segment_file), [0])


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(CacheError, match=r"can't be written \(Permission denied\); free or unlock that place"):
        write_segment(tmp_path, PROVENANCE, [row("a", features(1))], seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def fill_up(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(CacheError, match="No space left on device"):
        write_segment(tmp_path, PROVENANCE, [row("a", features(1))], seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_goes_while_it_is_opened_is_gone_not_damaged(segment_file, monkeypatch):
    def vanish(*arguments, **options):
        segment_file.unlink()
        raise OSError("Unable to synchronously open file (can't retrieve stat info for file)")

    monkeypatch.setattr("h5py.File", vanish)
    with pytest.raises(SegmentGoneError, match="this segment is gone; run the command again"):
        open_segment(segment_file)
