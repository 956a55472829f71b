"""Every kind of damage is named by file, row and kind, and moved out of the way without being deleted."""

import h5py
import numpy as np
import pytest
from cachefill import FINGERPRINT, OTHER, features, fill, held, open_writer, segments
from safetensors.numpy import load_file, save_file

from vqa.cache import index as index_module
from vqa.cache import verifying as verifying_module
from vqa.cache.segment import SegmentRow
from vqa.cache.segmentwriting import write_segment
from vqa.cache.verifying import verify_cache
from vqa.errors import CacheError
from vqa.files import sha256_of
from vqa.records import CandidateRecord


@pytest.fixture
def cache(tmp_path):
    """Two segments of two videos each, and another candidate's of one."""
    fill(tmp_path, {"a": 1, "b": 2, "c": 3, "d": 4}, max_videos=2)
    fill(tmp_path, {"a": 5}, record=OTHER)
    return tmp_path


def resealed(path, change):
    """Change a segment and name it by its new bytes, as one who means to deceive would."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path.rename(path.with_name(f"{path.name[:35]}-{sha256_of(path)}.h5"))


def kinds(root):
    return [(damage.kind, damage.key, damage.row) for damage in verify_cache(root).damages]


def test_a_good_cache_is_good(cache):
    report = verify_cache(cache)
    assert report.good
    assert (report.segments, report.videos, report.damages) == (3, 5, ())
    assert report.bytes == sum(path.stat().st_size for path in cache.glob("*/*.h5"))


def test_an_empty_cache_is_good(tmp_path):
    assert verify_cache(tmp_path / "none").good
    assert not (tmp_path / "none").exists()


def test_a_flipped_feature_is_found_in_its_video_and_row(cache):
    path = segments(cache)[1]
    content = bytearray(path.read_bytes())
    content[content.index(features(3).values.tobytes()) + 4] ^= 1
    path.write_bytes(content)
    damages = verify_cache(cache).damages
    assert {damage.path for damage in damages} == {path}
    assert [damage.kind for damage in damages] == ["bytes", "features", "features"]
    assert [(damage.key, damage.row) for damage in damages[1:]] == [("c", 0), ("d", 2)]  # one checksum is over both
    assert damages[0].reason.startswith("its bytes changed since it was written (SHA-256 ")


def test_a_flip_in_the_metadata_that_hdf5_does_not_notice_is_found(cache):
    path = segments(cache)[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert ("bytes", "", None) in kinds(cache)


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_truncated_segment_is_found(cache, length):
    path = segments(cache)[0]
    path.write_bytes(path.read_bytes()[:length])
    assert [kind for kind, *_ in kinds(cache)][:1] == ["bytes"]


def test_values_that_are_not_finite_are_found_though_every_checksum_is_right(cache):
    def spoil(file):
        file["features"][3, 1] = np.inf

    resealed(segments(cache)[0], spoil)
    assert kinds(cache) == [("features", "b", 2)]


def test_another_schema_is_found(cache):
    resealed(segments(cache)[0], lambda file: file.attrs.modify("schema", 99))
    (damage,) = verify_cache(cache).damages
    assert (damage.kind, damage.reason) == ("form", "schema 99, this version of vqa reads 2")


def test_a_spec_that_does_not_give_its_fingerprint_is_found(tmp_path):
    fill(tmp_path, {"a": 1}, record=CandidateRecord("timm:x", FINGERPRINT, '{"frames":99}'))
    assert kinds(tmp_path) == [("spec", "", None)]


def test_a_segment_in_another_candidates_folder_is_found(cache):
    (path,) = segments(cache, OTHER)
    path.rename(segments(cache)[0].parent / path.name)
    assert kinds(cache) == [("place", "", None)]


def test_a_key_that_stands_twice_is_found(tmp_path):
    writer = open_writer(tmp_path)
    rows = [SegmentRow("a", features(1), 0), SegmentRow("a", features(2), 0)]
    write_segment(writer.folder, writer.provenance, rows, seconds=0)
    assert kinds(tmp_path) == [("key", "a", None)]


def test_a_name_that_says_nothing_about_the_bytes_is_found(cache):
    segments(cache)[0].rename(segments(cache)[0].with_name("backup.h5"))
    assert kinds(cache) == [("name", "", None)]


def test_a_damaged_oldest_segment_does_not_make_the_others_misfits(cache):
    segments(cache)[0].write_bytes(b"garbage")
    assert [kind for kind, *_ in kinds(cache)] == ["bytes", "form"]


def test_repair_moves_damaged_segments_away_and_deletes_nothing(cache):
    path = segments(cache)[0]
    path.write_bytes(b"garbage")
    with pytest.raises(CacheError, match="run `vqa cache verify --repair`, then `vqa extract` again"):
        held(cache)
    report = verify_cache(cache, repair=True)
    assert report.good
    assert report.quarantined == (cache / "quarantine" / path.parent.name / path.name,)
    assert report.quarantined[0].read_bytes() == b"garbage"
    assert held(cache) == {"c": 3, "d": 4}
    assert verify_cache(cache).damages == ()


def test_repair_sweeps_what_dead_writers_left(cache):
    folder = segments(cache)[0].parent
    for left in (folder / ".a.h5.1-00000000.tmp", cache / ".gitignore.1-00000000.tmp"):
        left.write_bytes(b"half")
    (cache / ".dropped-00").mkdir()
    assert verify_cache(cache).swept == 0
    assert verify_cache(cache, repair=True).swept == 2
    assert list(cache.glob(".dropped-*")) + list(cache.rglob("*.tmp")) == []


def _flip(path, generator):
    content = bytearray(path.read_bytes())
    content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    path.write_bytes(content)


@pytest.mark.parametrize("flips", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_flipped_bit_of_any_segment_is_found(cache, flips):
    generator = np.random.default_rng(flips)
    paths = [*segments(cache), *segments(cache, OTHER)]
    for _ in range(flips):
        path = paths[generator.integers(len(paths))]
        before = path.read_bytes()
        _flip(path, generator)
        report = verify_cache(cache)
        assert {damage.path for damage in report.damages} == {path}
        assert not report.good
        path.write_bytes(before)
    assert verify_cache(cache).good


def test_an_index_that_says_something_else_than_its_segments_is_moved_away(tmp_path):
    fill(tmp_path, {f"k{number}": number for number in range(40)}, max_videos=1)
    held(tmp_path)
    file = segments(tmp_path)[0].parent / ".index"
    tensors = load_file(file) | {"created_ns": np.full(40, 5)}
    save_file(tensors, file, metadata={"schema": "1", "sha256": index_module._digest(tensors)})
    (damage,) = verify_cache(tmp_path).damages
    assert (damage.path, damage.kind) == (file, "index")
    assert verify_cache(tmp_path, repair=True).good
    assert verify_cache(tmp_path).damages == ()
    assert len(held(tmp_path)) == 40


def test_a_segment_that_can_not_be_read_for_now_is_named_and_not_moved(cache, monkeypatch):
    path = segments(cache)[0]

    def stale(file):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(verifying_module, "sha256_of", lambda file: stale(file) if file == path else sha256_of(file))
    report = verify_cache(cache, repair=True)
    assert [(damage.path, damage.kind) for damage in report.damages] == [(path, "unread")]
    assert not report.good
    assert report.quarantined == ()
    assert path.exists()


def test_nothing_in_the_quarantine_is_replaced(cache):
    path = segments(cache)[0]
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        verify_cache(cache, repair=True)
    kept = sorted((cache / "quarantine" / path.parent.name).iterdir())
    assert [file.read_bytes() for file in kept] == [b"one", b"two", b"three"]


def test_a_segment_that_another_repair_moved_first_is_no_error(cache, monkeypatch):
    path = segments(cache)[0]
    path.write_bytes(b"garbage")
    real = verifying_module._quarantine

    def after_another(root, file):
        real(root, file)
        return real(root, file)

    monkeypatch.setattr(verifying_module, "_quarantine", after_another)
    assert verify_cache(cache, repair=True).good


@pytest.mark.parametrize("place", ["candidate", "quarantine", "quarantined candidate"])
def test_links_in_a_cache_lead_no_repair_out_of_it(cache, tmp_path_factory, place):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "mine.h5").write_bytes(b"mine")
    path = segments(cache)[0]
    path.write_bytes(b"garbage")
    if place == "candidate":
        (cache / "x-0123456789ab").symlink_to(outside)
    elif place == "quarantine":
        (cache / "quarantine").symlink_to(outside)
    else:
        (cache / "quarantine").mkdir()
        (cache / "quarantine" / path.parent.name).symlink_to(outside)
    with pytest.raises(CacheError, match=r"link|symbolic links"):
        verify_cache(cache, repair=True)
    assert [file.name for file in outside.iterdir()] == ["mine.h5"]
    assert path.exists()


def test_a_segment_that_is_merged_away_while_it_is_read_is_not_called_damaged(cache, monkeypatch):
    path = segments(cache)[0]
    real = verifying_module.open_segment

    def open_and_lose(file):
        segment = real(file)
        if file == path:
            path.unlink()
        return segment

    monkeypatch.setattr(verifying_module, "open_segment", open_and_lose)
    assert verify_cache(cache).damages == ()
