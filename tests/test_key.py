"""What a video is: its bytes, remembered by path, size and time."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from vqa import files
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
    video.unlink()
    assert KeyMemo(tmp_path / "cache").known(video) == KEY_OF_ABC
    assert len(reads) == 1


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


def refuse_to_look(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Fail where anything below a folder is looked at, be that its names, its sizes or its bytes."""

    def guarded(name: str) -> None:
        whole = getattr(os, name)

        def guard(path, *arguments, **options):
            assert not Path(os.fsdecode(path)).is_relative_to(folder), f"{name}({path})"
            return whole(path, *arguments, **options)

        monkeypatch.setattr(os, name, guard)

    for name in ("stat", "lstat", "open", "access", "readlink"):
        guarded(name)
    monkeypatch.setattr("vqa.cache.key.sha256_of", lambda path: pytest.fail(f"{path} was read"))


def test_a_known_key_is_told_without_looking_at_the_file_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    video = clips / "a.mp4"
    video.write_bytes(b"abc")
    memo = KeyMemo(tmp_path / "cache")
    assert memo.known(video) is None
    memo.key(video)
    refuse_to_look(monkeypatch, clips)
    with pytest.raises(AssertionError, match="stat"):
        video.stat()
    assert memo.known(video) == KeyMemo(tmp_path / "cache").known(video) == KEY_OF_ABC


KEY_OF_XYZ = hashlib.sha256(b"xyz").hexdigest()


def set_back(video: Path, before: os.stat_result) -> None:
    """Let a file's time of modification be what it was, as anybody can who may write the file."""
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = video.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("how", ["in place", "by rename", "by a link that leads elsewhere"])
def test_a_file_that_is_swapped_for_one_of_equal_size_and_time_is_read_again(tmp_path, video, how):
    if how == "by a link that leads elsewhere":
        video.rename(tmp_path / "real.mp4")
        video.symlink_to("real.mp4")
    memo, before = KeyMemo(tmp_path / "cache"), video.stat()
    assert memo.key(video) == KEY_OF_ABC
    other = tmp_path / "b.mp4"
    other.write_bytes(b"xyz")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    if how == "in place":
        video.write_bytes(b"xyz")
    elif how == "by rename":
        other.replace(video)
    else:
        video.unlink()
        video.symlink_to("b.mp4")
    if how == "in place":
        set_back(video, before)
    for each in (memo, KeyMemo(tmp_path / "cache")):
        assert each.key_if_seen(video) == KEY_OF_XYZ
        assert each.known(video) == KEY_OF_ABC  # nobody but `extract` lets it be the path's key
    assert memo.key(video) == KEY_OF_XYZ
    assert KeyMemo(tmp_path / "cache").known(video) == KEY_OF_XYZ


def test_a_file_that_was_touched_and_not_changed_is_read_once_more(tmp_path, video, reads):
    KeyMemo(tmp_path / "cache").key(video)
    os.link(video, tmp_path / "second.mp4")
    assert [KeyMemo(tmp_path / "cache").key(video) for _ in range(3)] == [KEY_OF_ABC] * 3
    assert len(reads) == 2
    video.chmod(0o600)
    assert KeyMemo(tmp_path / "cache").key_if_seen(video) == KEY_OF_ABC
    assert [KeyMemo(tmp_path / "cache").key_if_seen(video) for _ in range(3)] == [KEY_OF_ABC] * 3
    assert len(reads) == 3


def test_a_restored_backup_has_its_key_again(tmp_path, video, reads):
    KeyMemo(tmp_path / "cache").key(video)
    shutil.copy2(video, tmp_path / "backup.mp4")
    video.unlink()
    shutil.copy2(tmp_path / "backup.mp4", video)
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == 2


def test_older_lines_are_taken_as_known_and_in_doubt(tmp_path, video, reads):
    status, cache = video.stat(), tmp_path / "cache"
    cache.mkdir()
    old = {"path": str(video), "size": 3, "mtime_ns": status.st_mtime_ns, "key": KEY_OF_ABC}
    append_line(cache / "keys.jsonl", old, sync=False)
    assert KeyMemo(cache).known(video) == KEY_OF_ABC
    assert [KeyMemo(cache).key(video) for _ in range(3)] == [KEY_OF_ABC] * 3
    assert len(reads) == 1


@pytest.fixture
def marks(monkeypatch):
    """Let files have the inode and time of change that stand in a list."""
    given = [7, 123_456_789]
    monkeypatch.setattr(key_module, "inode_and_change", lambda status: tuple(given))
    return given


def test_inodes_that_are_made_up_anew_with_each_mount_cost_one_reading(tmp_path, video, reads, marks):
    KeyMemo(tmp_path / "cache").key(video)
    for inode in (8, 9, 7, 10):
        marks[0] = inode
        assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == 2
    marks[1] += 1
    KeyMemo(tmp_path / "cache").key(video)
    assert len(reads) == 3


def test_a_system_that_tells_neither_inode_nor_change_goes_by_size_and_time(tmp_path, video, reads, marks):
    marks[:] = [0, 0]
    for _ in range(3):
        assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == 1


@pytest.mark.parametrize(("changed_ns", "readings"), [(5_000_000_123, 1), (5_000_000_000, 3), (3_000_000_000, 1)])
def test_a_file_that_could_change_unseen_within_the_second_stays_in_doubt(
    tmp_path, video, reads, marks, monkeypatch, changed_ns, readings
):
    monkeypatch.setattr(files.time, "time_ns", lambda: 6_000_000_000)
    marks[1] = changed_ns  # a whole second: the file system counts no less
    for _ in range(3):
        assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == readings


def test_a_clock_that_stands_still_leaves_a_new_file_in_doubt(tmp_path, video, reads, monkeypatch):
    now = video.stat().st_ctime_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: now)
    for _ in range(2):
        assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC
    assert len(reads) == 2


def test_a_file_that_gets_a_link_while_it_is_read_is_read_again(tmp_path, video, monkeypatch):
    whole, linked = key_module.sha256_of, []

    def read_while_linked(path):
        if not linked:
            linked.append(1)
            os.link(path, tmp_path / "linked.mp4")
        return whole(path)

    monkeypatch.setattr(key_module, "sha256_of", read_while_linked)
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_ABC


def test_a_file_that_is_swapped_while_it_is_read_has_the_key_of_what_it_is_in_the_end(tmp_path, video, monkeypatch):
    whole, before, swapped = key_module.sha256_of, video.stat(), []

    def read_while_swapped(path):
        key = whole(path)
        if not swapped:
            swapped.append(1)
            video.write_bytes(b"xyz")
            set_back(video, before)
        return key

    monkeypatch.setattr(key_module, "sha256_of", read_while_swapped)
    assert KeyMemo(tmp_path / "cache").key(video) == KEY_OF_XYZ


def test_the_key_that_a_path_had_last_is_known_though_it_had_another_between(tmp_path, video, reads, marks):
    marks[:] = [0, 0]
    status = video.stat()
    for content, key in ((b"abc", KEY_OF_ABC), (b"wxyz", hashlib.sha256(b"wxyz").hexdigest()), (b"abc", KEY_OF_ABC)):
        video.write_bytes(content)
        os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert KeyMemo(tmp_path / "cache").key(video) == KeyMemo(tmp_path / "cache").known(video) == key
    assert len(reads) == 2
