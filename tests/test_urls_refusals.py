"""Why a place at a URL can't be used is one line, whoever says so; the doctor asks before anybody else has to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from s3server import Bucket, connected
from s3work import make_remote, place_cache
from workspaces import Trained

from vqa.errors import StorageError
from vqa.extract.spec import ModelSpec
from vqa.pipeline.examining import Examiner, ModelState
from vqa.urls import place_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def remote(tmp_path: Path, bucket: Bucket) -> Path:
    return make_remote(tmp_path, bucket)


def test_each_reason_that_a_place_can_not_be_used_is_one_line(
    run: Run, remote: Path, bucket: Bucket, refusing: Callable[[int, str], dict[str, str]]
) -> None:
    nobody = dict.fromkeys(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) | {"AWS_EC2_METADATA_DISABLED": "true"}
    cases: list[tuple[dict[str, str | None], str]] = [
        (dict(refusing(403, "AccessDenied")), "the cache can't be read (Not today)"),
        (dict(refusing(503, "Broken")), "can't be reached (An error occurred (Broken)"),
        (nobody, "can't be reached (Unable to locate credentials); check its address, the credentials"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "can't be reached (Could not connect to the endpoint URL",
        ),
    ]
    for environment, said in cases:
        with connected(environment):
            status, _, err = run("cache", "info", "-C", remote)
        assert (status, err.count("\n")) == (1, 1), err
        assert f"{bucket.url}/cache: " in err
        assert said in err


def test_a_missing_package_is_one_line(run: Run, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("vqa.remote", "upath"):
        monkeypatch.setitem(sys.modules, module, None)
        status, _, err = run("cache", "info", "-C", remote)
        assert (status, err.count("\n")) == (1, 1)
        assert "run pip install 'vqa[s3]'" in err


def test_wrong_places_are_named_by_the_commands_that_need_them(run: Run, remote: Path, bucket: Bucket) -> None:
    place_cache(remote, "s3://no-such-bucket-here/cache")
    for command in (["cache", "info"], ["extract"], ["cache", "verify"]):
        status, _, err = run(*command, "-C", remote)
        assert status == 1
        assert "s3://no-such-bucket-here/cache" in err.strip().splitlines()[-1]
    assert run("init", remote / "new", "--videos", "s3://no-such-bucket-here/clips")[2].count("\n") == 1
    assert "no videos found" in run("init", remote / "new", "--videos", f"{bucket.url}/none")[2]


def test_the_doctor_asks_the_servers_of_both_places(
    run: Run, remote: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examine(_: Examiner, spec: ModelSpec) -> ModelState:  # tests/test_doctor.py has them measured
        return ModelState(str(spec), "here", "float32", "")

    monkeypatch.setattr(Examiner, "examine", examine)
    _, out, _ = run("doctor", "-C", remote, "--json")
    assert json.loads(out)["storage"] == {
        f"cache {bucket.url}/cache": "answers, takes files, and holds 0 model(s)",
        f"videos {bucket.url}/clips": "answers, and holds 4 video(s)",
    }
    place_cache(remote, "s3://no-such-bucket-here/cache")
    status, out, _ = run("doctor", "-C", remote, "--json")
    report = json.loads(out)
    assert status == 3
    assert report["storage"]["cache s3://no-such-bucket-here/cache"] == "can't be used"
    said = "s3://no-such-bucket-here/cache/.vqa: can't be reached (The specified bucket does not exist)"
    assert any(text.startswith(said) for text in report["missing"])
    told = run("doctor", "-C", remote, "--offline")[1]
    assert f"The videos {bucket.url}/clips was not asked (--offline)" in told


def test_files_that_can_only_be_local_are_not_written_into_a_folder_called_like_a_url(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (
        ["score", trained.clips[0], "--model", trained.bundle, "--output", "s3://bucket/x.csv"],
        ["cache", "export", "s3://bucket/x.npz", "-C", trained.folder],
        ["init", "s3://bucket/w", "--videos", trained.folder / "clips"],
    ):
        status, _, err = run(*command)
        assert status == 1, command
        assert "is a URL; only videos and cache can be one" in err
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", ["http", "https", "ftp", "sftp", "webhdfs", "smb", "github", "zip", "S4"])
def test_a_protocol_that_does_not_put_files_whole_is_refused(protocol: str) -> None:
    with pytest.raises(StorageError, match=rf"^{protocol}://host/x: {protocol}:// can't be used; mount or copy it"):
        place_of(f"{protocol}://host/x")


def test_a_local_folder_by_any_name_is_a_local_folder() -> None:
    assert place_of("file:///a/b%20c") == place_of("local:///a/b%20c") == Path("/a/b c")


def test_a_version_of_an_object_is_refused_for_the_current_one_would_be_read(bucket: Bucket) -> None:
    with pytest.raises(StorageError, match=r"a.mp4\?versionId=1: names one version of an object; leave out"):
        place_of(f"{bucket.url}/a.mp4?versionId=1")
    bucket.put("a.mp4?versionId=1", b"1")
    (listed,) = place_of(bucket.url).iterdir()
    with pytest.raises(OSError, match="can't be told from a version; rename it"):
        listed.stat()
