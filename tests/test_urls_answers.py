"""What an object store says of one object costs that one; what it says of all ends the run, and the ledger stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from s3fs import S3FileSystem
from s3server import Bucket, S3Server, connected
from s3work import make_remote

from vqa.errors import StorageError
from vqa.pipeline import extract_features
from vqa.pipeline.progress import Progress
from vqa.remote import RemotePath
from vqa.urls import place_of

Request = Callable[[RemotePath, Path], None]
Refusing = Callable[[int, str], dict[str, str]]

OF_ALL = [(400, "ExpiredToken"), (403, "SignatureDoesNotMatch"), (404, "NoSuchBucket")]


def put(place: RemotePath, target: Path) -> None:
    place.write_bytes(b"1")


def get(place: RemotePath, target: Path) -> None:
    place.read_bytes()


def fetch(place: RemotePath, target: Path) -> None:
    place.fetch(str(target), lambda: False)


def look(place: RemotePath, target: Path) -> None:
    place.stat()


def list_it(place: RemotePath, target: Path) -> None:
    list(place.iterdir())


@pytest.fixture
def clip(s3: S3Server) -> RemotePath:
    """An object, for whoever has credentials."""
    place = place_of("s3://bucket/clip.mp4")
    assert isinstance(place, RemotePath)
    return place


@pytest.mark.parametrize("request_it", [put, get, fetch, look, list_it])
@pytest.mark.parametrize(("status", "code"), OF_ALL)
def test_what_holds_for_all_objects_is_no_word_on_one(
    request_it: Request, status: int, code: str, clip: RemotePath, refusing: Refusing, tmp_path: Path
) -> None:
    with (
        connected(dict(refusing(status, code))),
        pytest.raises(StorageError, match=r"s3://bucket/clip.mp4: can't be reached \(Not today\)"),
    ):
        request_it(clip, tmp_path / "copy")


@pytest.mark.parametrize("request_it", [put, get, fetch, look])
@pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState"])
def test_what_is_said_of_one_object_is_an_error_of_that_file(
    request_it: Request, code: str, clip: RemotePath, refusing: Refusing, tmp_path: Path
) -> None:
    with connected(dict(refusing(403, code))), pytest.raises(PermissionError, match="Not today"):
        request_it(clip, tmp_path / "copy")


class Turning(Progress):
    """Has another server answer, from when a step begins."""

    def __init__(self, step: str, environment: dict[str, str]) -> None:
        self.step, self.environment = step, environment

    def update(self, step: str, done: int, total: int, now: str = "") -> None:
        if step == self.step:
            os.environ.update(self.environment)
            S3FileSystem.clear_instance_cache()

    def note(self, message: str) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [("reading files", 400, "ExpiredToken"), ("loading models", 403, "InvalidAccessKeyId")],
)
def test_credentials_that_expire_amid_a_run_end_it_and_cost_no_video(
    step: str,
    status: int,
    code: str,
    bucket: Bucket,
    s3: S3Server,
    refusing: Refusing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vqa.copies._KEPT_BYTES", 0)
    folder = make_remote(tmp_path, bucket)
    with connected(s3.environment), pytest.raises(StorageError, match=r"can't be reached \(Not today\)"):
        extract_features(folder, progress=Turning(step, refusing(status, code)))
    assert bucket.names("cache/failures") == []
    assert extract_features(folder).complete
