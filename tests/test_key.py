"""What a video is: its bytes, remembered by path, size and time."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from vqa.cache import key as key_module
from vqa.cache.folder import append_line
from vqa.cache.key import KeyMemo
from vqa.errors import CacheError, VideoError

KEY_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
KEY_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"abc")
    return path


@pytest.fixture
def reads(monkeypatch):
    """Count the files that are read."""
    seen = []
    whole = key_module.sha256_of
    monkeypatch.setattr(key_module, "sha256_of", lambda path: seen.append(path) or whole(path))
    return seen


def test_a_key_is_the_sha256_of_the_bytes_whatever_the_name(tmp_path, video):
    other = tmp_path / "b.mkv"
    other.write_bytes(b"abc")
    memo = KeyMemo(tmp_path / "cache")
    assert memo.key(video) == memo.key(other) == KEY_OF_ABC


def test_an_empty_file_has_a_key(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert KeyMemo(tmp_path / "cache").key(empty) == KEY_OF_NOTHING


def test_a_later_run_does_not_read_the_file_again(tmp_path, video, reads):
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    memo = KeyMemo(tmp_path / "cache")
    assert [memo.key(video), memo.key(video)] == [KEY_OF_ABC] * 2
    assert reads == [video]
    assert (tmp_path / "cache" / ".gitignore").read_text() == "*\n"


def test_a_changed_file_is_read_again(tmp_path, video, reads):
    memo = KeyMemo(tmp_path / "cache")
    memo.key(video)
    video.write_bytes(b"xyz")
    os.utime(video, ns=(5, 5))
    assert memo.key(video) == hashlib.sha256(b"xyz").hexdigest()
    assert len(reads) == 2


def test_a_remembered_key_is_known_without_opening_the_file(tmp_path, video, reads):
    assert KeyMemo(tmp_path / "cache").known(video) is None
    assert not (tmp_path / "cache").exists()
    KeyMemo(tmp_path / "cache").key(video)
    assert KeyMemo(tmp_path / "cache").known(video) == KEY_OF_ABC
    assert len(reads) == 1
    video.unlink()
    assert KeyMemo(tmp_path / "cache").known(video) is None


def test_broken_lines_are_left_aside(tmp_path, video, reads):
    KeyMemo(tmp_path / "cache").key(video)
    memo = tmp_path / "cache" / "keys.jsonl"
    good = memo.read_bytes()
    place = {name: value for name, value in json.loads(good).items() if name != "crc32"}
    for key in (7, "abc"):
        append_line(memo, {**place, "key": key}, sync=False)
    memo.write_bytes(b"\n".join([b"\xff\xfe", b"[1]", memo.read_bytes(), good[:20]]))
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == 1


def test_a_flipped_bit_never_gives_a_video_another_key(tmp_path, video, reads):
    KeyMemo(tmp_path / "cache").key(video)
    memo = tmp_path / "cache" / "keys.jsonl"
    good = memo.read_bytes()
    for place in range(len(good)):
        memo.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert KeyMemo(tmp_path / "cache").known(video) in (None, KEY_OF_ABC)
    memo.write_bytes(good.replace(KEY_OF_ABC[:8].encode(), b"00000000"))
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == 2


def test_a_cache_that_refuses_to_be_written_still_gives_keys(tmp_path, video, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(key_module, "append_line", refuse)
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC


def test_nothing_is_opened_for_writing_when_the_key_is_known(tmp_path, video, monkeypatch):
    KeyMemo(tmp_path / "cache").key(video)
    monkeypatch.setattr(key_module, "append_line", lambda *_, **__: pytest.fail("the memo was written to"))
    monkeypatch.setattr(key_module, "make_folder", lambda *_: pytest.fail("a folder was made"))
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC


def test_what_is_no_readable_file_is_refused_in_one_line(tmp_path):
    memo = KeyMemo(tmp_path / "cache")
    with pytest.raises(VideoError, match=r"gone\.mp4: can't be opened \(No such file or directory\); check the path"):
        memo.key(tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match="is a folder or a device, not a video; name a file"):
        memo.key(tmp_path)
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with pytest.raises(VideoError, match="is a folder or a device"):
        memo.key(pipe)


def test_a_file_that_changes_while_it_is_read_has_no_key_yet(tmp_path, video, monkeypatch):
    def read_while_written(path):
        path.write_bytes(b"abc and more")
        return KEY_OF_ABC

    monkeypatch.setattr(key_module, "sha256_of", read_while_written)
    with pytest.raises(VideoError, match="changed while it was read; run again"):
        KeyMemo(tmp_path / "cache").key(video)


def test_a_disk_error_while_reading_is_that_video_s_error(tmp_path, video, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(key_module, "sha256_of", fail)
    with pytest.raises(VideoError, match=r"can't be read \(Input/output error\); check the disk"):
        KeyMemo(tmp_path / "cache").key(video)


def test_a_cache_folder_that_is_a_file_is_named(tmp_path, video):
    (tmp_path / "cache").write_text("")
    with pytest.raises(CacheError, match=r"keys\.jsonl: can't be read \(Not a directory\); check the cache folder"):
        KeyMemo(tmp_path / "cache").key(video)


def test_a_known_key_is_told_without_opening_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"some bytes")
    memo = KeyMemo(tmp_path / "cache")
    assert memo.known(video) is None
    key = memo.key(video)
    monkeypatch.setattr("vqa.cache.key.sha256_of", _fail_to_read)
    assert KeyMemo(tmp_path / "cache").known(video) == key
    video.write_bytes(b"other bytes, other length")
    assert memo.known(video) is None
    video.unlink()
    assert memo.known(video) is None


def _fail_to_read(path: Path) -> str:
    raise AssertionError(f"{path} was opened")
