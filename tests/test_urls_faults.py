"""What goes wrong with places at URLs costs one line, or one video, and nothing that is whole."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cachefill import FINGERPRINT, fill, held
from s3server import Bucket, S3Server, connected
from s3work import clip, make_remote

import vqa.copies
from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.copies import fetch_copy
from vqa.errors import StorageError
from vqa.pipeline import extract_features, storing
from vqa.pipeline.progress import Progress
from vqa.remote import RemotePath
from vqa.urls import place_of
from vqa.workspace import open_workspace


@pytest.fixture
def remote(tmp_path: Path, bucket: Bucket) -> Path:
    return make_remote(tmp_path, bucket)


Copies = Callable[[], list[str]]


class At(Progress):
    """Does something when a step begins."""

    def __init__(self, step: str, act: Callable[[], None]) -> None:
        self.step, self.act = step, act

    def update(self, step: str, done: int, total: int, now: str = "") -> None:
        if step == self.step:
            self.step = ""
            self.act()

    def note(self, message: str) -> None:
        """Say nothing."""


def test_a_video_that_changes_after_it_was_hashed_never_gives_wrong_features(
    remote: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vqa.copies, "_KEPT_BYTES", 0)
    change = At("loading models", lambda: bucket.put("clips/2.mp4", clip(tmp_path, (9, 9, 9, 99))))
    report = extract_features(remote, progress=change)
    assert [failure.reason for failure in report.failures] == [
        "the file changed after it was read; run again when it is written to its end"
    ]
    assert report.candidates[0].stored == 3
    again = extract_features(remote)
    assert (again.complete, again.candidates[0].stored) == (True, 1)


def test_a_video_is_decoded_from_the_bytes_that_were_hashed_where_they_were_kept(
    remote: Path, bucket: Bucket, tmp_path: Path, copies: Copies
) -> None:
    change = At("loading models", lambda: bucket.put("clips/2.mp4", clip(tmp_path, (9, 9, 9, 99))))
    report = extract_features(remote, progress=change)
    assert (report.failures, report.candidates[0].stored) == ((), 4)
    assert copies() == []


def test_a_video_that_goes_after_the_listing_costs_one_row(remote: Path, bucket: Bucket) -> None:
    report = extract_features(remote, progress=At("reading files", lambda: bucket.delete("clips/3.mp4")))
    (failure,) = report.failures
    assert (failure.video, failure.stage, report.candidates[0].stored) == ("3.mp4", "open", 3)
    assert "3.mp4: can't be read (The specified key does not exist.)" in failure.reason


def test_a_server_that_stops_amid_a_run_costs_what_is_not_put_and_the_next_run_goes_on(
    remote: Path, bucket: Bucket, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, stored = S3Server(), []
    other.start()  # in this process, so that it serves the same buckets
    store, writer = storing.PairSink.store_features, FeatureStore.writer

    def stop_after_two(self: storing.PairSink, *arguments: object) -> None:
        store(self, *arguments)
        stored.append(arguments)
        if len(stored) == 2:
            other.stop()

    monkeypatch.setattr(storing.PairSink, "store_features", stop_after_two)
    monkeypatch.setattr(FeatureStore, "writer", lambda *given, **told: writer(*given, **told, max_videos=1))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with (
        connected(other.environment),
        pytest.raises(StorageError, match=r"can.t be reached \(Could not connect"),
    ):
        extract_features(remote)
    monkeypatch.undo()
    with connected(s3.environment):
        assert len(bucket.segments()) == 2
        report = extract_features(remote)
        assert (report.complete, report.candidates[0].cached, report.candidates[0].stored) == (True, 2, 2)
        assert verify_cache(open_workspace(remote).cache_dir).good


CHILD = """
import os, signal, sys
from vqa import copies
from vqa.pipeline import extract_features

keep = copies._Copies.keep

def kept(self, *arguments):
    keep(self, *arguments)
    if len(self._kept) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

copies._Copies.keep = kept
extract_features(sys.argv[1])
"""


def test_copies_of_a_killed_run_go_with_the_next_one(
    remote: Path, tmp_path: Path, bucket: Bucket, copies: Copies
) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", CHILD, str(remote)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    left = list((tmp_path / "tmp").glob("vqa-copies-*/[0-9]*"))
    assert len(left) == 2
    (tmp_path / "tmp" / "vqa-copies-mine").mkdir()
    (tmp_path / "tmp" / "vqa-copies-mine" / "lock").symlink_to(left[0])
    copy = fetch_copy(place_of(f"{bucket.url}/clips/0.mp4"))
    assert copy.read_bytes() == bucket.get("clips/0.mp4")
    assert not any(path.exists() for path in left)
    assert (tmp_path / "tmp" / "vqa-copies-mine").is_dir()


def test_a_transfer_that_nobody_wants_any_more_leaves_nothing(remote: Path, bucket: Bucket, copies: Copies) -> None:
    with pytest.raises(InterruptedError):
        fetch_copy(place_of(f"{bucket.url}/clips/0.mp4"), stopped=lambda: True)
    assert copies() == []


def test_a_disk_that_is_full_is_named(remote: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RemotePath, "fetch", fill_up)
    with pytest.raises(StorageError, match=r"no room for a copy of s3:.*0.mp4 \(No space left on device\)"):
        extract_features(remote)


def test_what_a_stranger_puts_among_the_objects_is_no_harm(bucket: Bucket) -> None:
    root = place_of(f"{bucket.url}/cache")
    fill(root, {"a": 1})
    folder = bucket.segments()[0].rsplit("/", 1)[0]
    bucket.put(f"{folder}/.dropped-x", b"")
    bucket.put(f"{folder}/.dropped-99990102T030405.000000006Z-00000000-{'0' * 64}.h5", b"")
    bucket.put(f"{folder}/.index", b"\xff" * 100)
    bucket.put("cache/failures/x.jsonl", b'{"written_ns": 1}\nhalf')
    bucket.put("cache/keys/x.jsonl", b"\x00\xff")
    bucket.put("other.h5", b"mine")
    assert held(root) == {"a": 1}
    verify_cache(root, repair=True)
    assert held(root) == {"a": 1}
    assert bucket.get("other.h5") == b"mine"
    bucket.put(f"{folder}/20260102T030405.000000006Z-00000000-{'0' * 64}.h5", b"no HDF5")
    assert [damage.kind for damage in verify_cache(root, repair=True).damages] == ["bytes", "form"]
    assert FeatureStore(root).keys(FINGERPRINT) == {"a"}
