"""The index answers as the segments would, and is left aside where it is damaged, old or absurd."""

import os

import numpy as np
import pytest
from cachefill import FINGERPRINT, fill, held, segments
from safetensors.numpy import load_file, save_file

from vqa.cache import contents as contents_module
from vqa.cache import index as index_module
from vqa.cache.compaction import compact_cache
from vqa.cache.segment import open_segment
from vqa.cache.store import FeatureStore
from vqa.errors import CacheError


@pytest.fixture
def cache(tmp_path):
    """Forty segments of one video each, opened once."""
    fill(tmp_path, {f"id:é{n}": n for n in range(40)}, max_videos=1)
    FeatureStore(tmp_path).keys(FINGERPRINT)
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """Names of the segments that were opened to see what they hold."""
    names = []
    monkeypatch.setattr(contents_module, "open_segment", lambda path: names.append(path.name) or open_segment(path))
    return names


def index_file(root):
    return segments(root)[0].parent / ".index"


def same(one, other):
    arrays = ("created_ns", "offsets")
    plain = ("path", "provenance", "seconds", "keys", "width", "bytes")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in plain
    )


def test_the_second_opening_opens_no_segment_and_says_the_same(cache, opened):
    store = FeatureStore(cache)
    for path in segments(cache):
        direct = open_segment(path)
        assert same(store.locate(FINGERPRINT, direct.keys[0])[0], direct)
    assert opened == []
    assert held(cache) == {f"id:é{n}": n for n in range(40)}


def test_new_segments_are_opened_and_gone_ones_are_forgotten(cache, opened):
    gone, new = segments(cache)[0], {"new": 99}
    gone.unlink()
    fill(cache, new)
    opened.clear()
    assert FeatureStore(cache).keys(FINGERPRINT) == {f"id:é{n}" for n in range(1, 40)} | {"new"}
    assert opened == [segments(cache)[-1].name]


def test_few_segments_need_no_index(tmp_path):
    fill(tmp_path, {"a": 1})
    FeatureStore(tmp_path).keys(FINGERPRINT)
    assert not list(tmp_path.rglob(".index"))


def test_compaction_takes_the_index_with_it(cache):
    compact_cache(cache)
    assert not list(cache.rglob(".index"))
    assert held(cache) == {f"id:é{n}": n for n in range(40)}


def test_every_flipped_byte_of_the_index_is_noticed(cache, opened):
    file, generator = index_file(cache), np.random.default_rng(0)
    whole = file.read_bytes()
    for place in generator.integers(len(whole), size=25).tolist():
        content = bytearray(whole)
        content[place] ^= 1 << generator.integers(8)
        file.write_bytes(content)
        opened.clear()
        assert held(cache) == {f"id:é{n}": n for n in range(40)}
        assert len(opened) in (0, 40)  # 0: blanks of the header mean nothing


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{"])
def test_a_file_that_is_no_index_is_replaced(cache, opened, content):
    index_file(cache).write_bytes(content)
    assert len(FeatureStore(cache).keys(FINGERPRINT)) == 40
    assert len(opened) == 40
    opened.clear()
    FeatureStore(cache).keys(FINGERPRINT)
    assert opened == []


def _forge(root, **changes):
    """Write an index that says something else and whose checksum is right."""
    tensors = load_file(index_file(root)) | changes
    save_file(tensors, index_file(root), metadata={"schema": "1", "sha256": index_module._digest(tensors)})


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": np.full(40, 2**40)},
        {"counts": np.full(3, 1)},
        {"origins": np.full(40, 7)},
        {"offsets": np.zeros(80, np.int64)},
        {"width": np.full(40, 2**40)},
        {"keys": np.zeros((40, 4), np.uint8)},
        {"provenances": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"provenances": np.frombuffer(b'[{"record": 1}]', np.uint8)},
    ],
)
def test_a_forged_index_gives_no_wrong_features(cache, changes):
    _forge(cache, **changes)
    store = FeatureStore(cache)
    try:
        found = {key: float(store.read(FINGERPRINT, key).values[0, 0]) for key in store.keys(FINGERPRINT)}
    except CacheError:
        return
    assert found == {f"id:é{n}": n for n in range(40)}


def test_a_folder_that_can_not_be_written_to_goes_without(cache, monkeypatch):
    index_file(cache).unlink()
    monkeypatch.setattr(index_module, "put_whole", lambda *_: (_ for _ in ()).throw(OSError(30, "read-only")))
    assert len(FeatureStore(cache).keys(FINGERPRINT)) == 40
    assert not index_file(cache).exists()


def test_keys_that_differ_much_in_length_get_no_index(tmp_path):
    fill(tmp_path, {"x" * 1000: 1, **{f"k{n}": n for n in range(40)}}, max_videos=1)
    FeatureStore(tmp_path).keys(FINGERPRINT)
    assert not list(tmp_path.rglob(".index"))


def test_a_pipe_in_place_of_the_index_holds_no_one(cache, opened):
    index_file(cache).unlink()
    os.mkfifo(index_file(cache))
    assert len(FeatureStore(cache).keys(FINGERPRINT)) == 40
    assert len(opened) == 40
