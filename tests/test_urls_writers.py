"""Processes that write to one cache at a URL at once, and such that are killed amid a request, lose nothing."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cachework import check, failure, make_videos, whole, work

from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.urls import place_of

WORKER = """
import json, os, signal, sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from cachework import work
from vqa.remote import RemotePath
from vqa.urls import place_of

folder, url, number, how = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
put, puts = RemotePath.write_bytes, []

def struck(path, data):
    puts.append(path)
    if len(puts) == number:
        if how == "midway":
            threading.Thread(target=put, args=(path, data)).start()
        os.kill(os.getpid(), signal.SIGKILL)
    return put(path, data)

RemotePath.write_bytes = struck
work(place_of(url), sorted(folder.iterdir()), lambda thing: print(json.dumps(thing), flush=True))
"""


def start(folder, url, number=0, how="before"):
    code = WORKER.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, str(folder), url, str(number), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "how"), [(4, "before"), (5, "midway"), (9, "midway")])
def test_what_a_killed_writer_promised_is_there_and_the_next_one_ends_its_work(tmp_path, bucket, number, how):
    videos, url = make_videos(tmp_path / "videos"), f"{bucket.url}/cache"
    process = start(tmp_path / "videos", url, number, how)
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    promised = [tuple(json.loads(line)) for line in out.splitlines()]
    assert verify_cache(place_of(url)).good
    check(place_of(url), videos, promised)
    work(place_of(url), videos, lambda thing: None)
    check(place_of(url), videos, whole())
    assert verify_cache(place_of(url)).good


def test_two_writers_at_once_lose_no_line_and_no_row(tmp_path, bucket):
    videos, url = make_videos(tmp_path / "videos"), f"{bucket.url}/cache"
    writers = [start(tmp_path / "videos", url) for _ in range(2)]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    check(place_of(url), videos, whole())


def test_two_ledgers_add_to_each_other_and_begin_new_objects(bucket):
    root = place_of(f"{bucket.url}/cache")
    one, other = Ledger(root), Ledger(root)
    for number in range(300):
        one.add(failure(f"one{number}"))
    other.add(failure("other"))
    assert len(bucket.names("cache/failures/")) == 3
    assert max(len(bucket.get(name).splitlines()) for name in bucket.names("cache/failures/")) == 256
    assert len(Ledger(root).open_failures()) == 301
    other.refresh()
    other.resolve("key of one7", "*", video="one7")
    assert len(Ledger(root).open_failures()) == 300


def test_keys_wait_for_the_end_of_a_run_and_are_all_there_then(tmp_path, bucket):
    root, videos = place_of(f"{bucket.url}/cache"), make_videos(tmp_path / "videos")
    memo = KeyMemo(root)
    keys = [memo.key(video) for video in videos]
    assert bucket.names("cache/keys/") == []
    memo.flush()
    assert len(bucket.names("cache/keys/")) == 1
    again = KeyMemo(root)
    assert [again.known(video) for video in videos] == keys
    os.utime(videos[0], ns=(1, 1))
    assert (again.known(videos[0]), again.key_if_seen(videos[0])) == (keys[0], None)


def test_damaged_lines_are_counted_mended_and_dropped(tmp_path, bucket):
    root, videos = place_of(f"{bucket.url}/cache"), [tmp_path / f"{number}.mp4" for number in range(3)]
    for video in videos:
        video.write_text(f"video {video.name}")
    memo, ledger = KeyMemo(root), Ledger(root)
    keys = [memo.key(video) for video in videos]
    memo.flush()
    for number in range(3):
        ledger.add(failure(f"{number}"))
    ((key_file,), (failure_file,)) = (bucket.names("cache/keys/"), bucket.names("cache/failures/"))
    for name in (key_file, failure_file):
        lines = bucket.get(name).splitlines(keepends=True)
        bucket.put(name, lines[0] + lines[1].replace(b'":', b'";', 1) + lines[2])
    assert [KeyMemo(root).known(video) for video in videos] == [keys[0], None, keys[2]]
    assert [each.key for each in Ledger(root).open_failures()] == ["key of 0", "key of 2"]
    report = verify_cache(root)
    assert (report.good, [lines.count for lines in report.damaged_lines]) == (False, [1, 1])
    assert [str(lines.file) for lines in report.damaged_lines] == [
        f"{bucket.url}/{name}" for name in (key_file, failure_file)
    ]
    memo = KeyMemo(root)
    assert memo.key(videos[1]) == keys[1]
    memo.flush()
    report = verify_cache(root, repair=True)
    assert (report.good, report.dropped_lines, verify_cache(root).good) == (True, 2, True)
    assert [KeyMemo(root).known(video) for video in videos] == keys
    assert [each.key for each in Ledger(root).open_failures()] == ["key of 0", "key of 2"]


def test_a_quick_index_answers_for_all_segments_with_one_object(bucket, monkeypatch):
    from cachefill import FINGERPRINT, fill

    from vqa.cache import contents

    root = place_of(f"{bucket.url}/cache")
    fill(root, {f"k{number}": number for number in range(40)}, max_videos=1)
    assert len(FeatureStore(root).keys(FINGERPRINT)) == 40
    assert [name for name in bucket.names() if name.endswith("/.index")]
    monkeypatch.setattr(contents, "open_segment", None)
    assert len(FeatureStore(root).keys(FINGERPRINT)) == 40
    assert FeatureStore(root).read(FINGERPRINT, "k7").values[0, 0] == 7


def test_a_path_that_was_used_before_a_fork_works_after_it(bucket):
    path = place_of(f"{bucket.url}/cache/x")
    path.write_bytes(b"parent")
    child = multiprocessing.get_context("fork").Process(target=path.write_bytes, args=(b"child",))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert path.read_bytes() == b"child"
