"""What goes wrong with places at URLs costs one line, or one video, and nothing that is whole."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cachefill import FINGERPRINT, fill, held
from s3server import Bucket, S3Server
from s3work import clip, make_remote

import vqa.copies
from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.copies import fetch_copy
from vqa.errors import StorageError
from vqa.pipeline import extract_features
from vqa.pipeline.progress import Progress
from vqa.remote import RemotePath
from vqa.urls import place_of
from vqa.workspace import open_workspace


@pytest.fixture
def remote(tmp_path: Path, bucket: Bucket) -> Path:
    return make_remote(tmp_path, bucket)


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


@pytest.mark.parametrize("kept_bytes", [0, 1 << 30])
def test_a_video_that_changes_after_it_was_hashed_never_gives_wrong_features(
    remote: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    monkeypatch.setattr(vqa.copies, "_KEPT_BYTES", kept_bytes)
    before = bucket.get("clips/2.mp4")
    change = At("loading models", lambda: bucket.put("clips/2.mp4", clip(tmp_path, (9, 9, 9, 99))))
    report = extract_features(remote, progress=change)
    reasons = [failure.reason for failure in report.failures]
    if kept_bytes:  # the bytes that were hashed are those that were decoded
        assert (reasons, report.candidates[0].stored) == ([], 4)
    else:
        assert reasons == ["the file changed after it was read; run again when it is written to its end"]
        assert report.candidates[0].stored == 3
    monkeypatch.setattr(vqa.copies, "_KEPT_BYTES", 1 << 30)
    again = extract_features(remote)
    assert (again.complete, again.candidates[0].stored) == (True, 1)
    bucket.put("clips/2.mp4", before)
    last = extract_features(remote, retry_failed=True)
    assert (last.complete, last.candidates[0].stored) == (True, 0 if kept_bytes else 1)


def test_a_video_that_goes_after_the_listing_costs_one_row(remote: Path, bucket: Bucket) -> None:
    report = extract_features(remote, progress=At("reading files", lambda: bucket.delete("clips/3.mp4")))
    (failure,) = report.failures
    assert (failure.video, failure.stage, report.candidates[0].stored) == ("3.mp4", "open", 3)
    assert "3.mp4: can't be read (The specified key does not exist.)" in failure.reason


CHILD = """
import sys
from vqa.pipeline import recording
from vqa.cli import main

store = recording.Recorder.store_features
done = []

def told(self, *arguments):
    store(self, *arguments)
    done.append(arguments)
    if len(done) == {number}:
        print("now", flush=True)
        sys.stdin.readline()

recording.Recorder.store_features = told
real = recording.FeatureStore.writer
recording.FeatureStore.writer = lambda self, *a, **k: real(self, *a, **k, max_videos=1)
sys.argv = ["vqa", "extract", "-C", sys.argv[1]]
main()
"""


def start(folder: Path, server: S3Server, number: int, **environment: str) -> subprocess.Popen[str]:
    """Run an extraction that stops after some videos until it is told to go on; a segment holds one."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(number=number), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **server.environment, "AWS_MAX_ATTEMPTS": "1", **environment},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    return process


def test_a_server_that_stops_amid_a_run_costs_one_line_and_the_next_run_goes_on(remote: Path, bucket: Bucket) -> None:
    other = S3Server()  # of the same process, so that it serves the same buckets
    other.start()
    process = start(remote, other, 2)
    other.stop()
    _, err = process.communicate("\n")
    assert process.returncode == 1
    last = err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert f"{bucket.url}/" in last
    assert "can't be reached (Could not connect to the endpoint" in last
    assert len(bucket.segments()) == 2
    report = extract_features(remote)
    assert (report.complete, report.candidates[0].cached, report.candidates[0].stored) == (True, 2, 2)
    assert verify_cache(open_workspace(remote).cache_dir).good


def test_copies_of_a_killed_run_go_with_the_next_one(
    remote: Path, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: Bucket
) -> None:
    (tmp_path / "tmp").mkdir()
    process = start(remote, s3, 1, TMPDIR=str(tmp_path / "tmp"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    left = list((tmp_path / "tmp").glob("vqa-copies-*/[0-9]*"))
    assert 0 < len(left) <= 4
    (tmp_path / "tmp" / "vqa-copies-mine").mkdir()
    (tmp_path / "tmp" / "vqa-copies-mine" / "lock").symlink_to(left[0])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(vqa.copies, "_made", [])
    copy = fetch_copy(place_of(f"{bucket.url}/clips/0.mp4"))
    assert copy.read_bytes() == bucket.get("clips/0.mp4")
    assert not any(path.exists() for path in left)
    assert (tmp_path / "tmp" / "vqa-copies-mine").is_dir()
    vqa.copies._copies().remove()


def test_a_transfer_that_nobody_wants_any_more_leaves_nothing(remote: Path, bucket: Bucket) -> None:
    with pytest.raises(InterruptedError):
        fetch_copy(place_of(f"{bucket.url}/clips/0.mp4"), stopped=lambda: True)
    assert [path.name for path in vqa.copies._copies().folder.iterdir()] == ["lock"]


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
