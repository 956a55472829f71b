"""Copies of remote files take a bounded place on the disk, and what is not needed any more makes room."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable
from pathlib import Path

import pytest
from s3server import Bucket

import vqa.copies
from vqa.copies import fetch_copy, remote_sha256
from vqa.extract.video_fetching import VideoFetcher
from vqa.remote import RemotePath
from vqa.urls import place_of

Copies = Callable[[], list[str]]


@pytest.fixture
def clips(bucket: Bucket) -> list[RemotePath]:
    """Objects of 10 bytes."""
    for number in range(8):
        bucket.put(f"{number}.mp4", bytes([number]) * 10)
    places = [place_of(f"{bucket.url}/{number}.mp4") for number in range(8)]
    return [place for place in places if isinstance(place, RemotePath)]


def test_the_oldest_kept_copy_makes_room_for_a_new_one(
    clips: list[RemotePath], copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vqa.copies, "_KEPT_BYTES", 25)
    keys = [remote_sha256(clip) for clip in clips[:3]]
    assert keys[0] == hashlib.sha256(bytes(10)).hexdigest()
    assert sorted(copies()) == ["2", "3"]
    monkeypatch.setattr(RemotePath, "fetch", None)
    assert fetch_copy(clips[2], keys[2]).read_bytes() == bytes([2]) * 10
    assert fetch_copy(clips[1], keys[1]).read_bytes() == bytes([1]) * 10


def test_a_file_larger_than_all_that_is_kept_leaves_the_others(
    clips: list[RemotePath], bucket: Bucket, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vqa.copies, "_KEPT_BYTES", 25)
    remote_sha256(clips[0])
    bucket.put("large.mp4", bytes(26))
    large = place_of(f"{bucket.url}/large.mp4")
    assert isinstance(large, RemotePath)
    remote_sha256(large)
    assert copies() == ["1"]


def test_only_so_many_videos_are_fetched_ahead_of_the_decoders(clips: list[RemotePath], copies: Copies) -> None:
    fetched: queue.Queue[Path] = queue.Queue()
    failed: list[BaseException] = []
    fetcher = VideoFetcher(1)
    for clip in clips:
        fetcher.submit(clip, "", None, fetched.put, failed.append)
    waiting = [fetched.get(timeout=60) for _ in range(3)]
    for _ in range(5):
        with pytest.raises(queue.Empty):
            fetched.get(timeout=0.2)
        assert len(copies()) == 3
        fetcher.remove(waiting.pop())
        waiting.append(fetched.get(timeout=60))
    for copy in waiting:
        fetcher.remove(copy)
    fetcher.close()
    assert (copies(), failed) == ([], [])


def test_videos_that_wait_for_room_are_given_up_when_the_run_ends(clips: list[RemotePath], copies: Copies) -> None:
    fetched: queue.Queue[Path] = queue.Queue()
    fetcher = VideoFetcher(1)
    for clip in clips:
        fetcher.submit(clip, "", None, fetched.put, lambda error: None)
    for _ in range(3):
        fetched.get(timeout=60)
    fetcher.close()
    assert len(copies()) == 3
