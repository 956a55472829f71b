"""A cluster whose nodes share no folder: videos and cache are in a bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from clusters import cluster, said
from s3server import Bucket, S3Server
from s3work import clip, make_workspace

from vqa.cache.store import FeatureStore
from vqa.cache.verifying import verify_cache
from vqa.urls import place_of

pytest.importorskip("ray")

VIDEOS = 12


def extract(folder: Path, *arguments: str) -> tuple[int, dict[str, object], str]:
    command = [sys.executable, "-m", "vqa", "extract", "-C", str(folder), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def features(cache: str) -> dict[str, tuple[bytes, bytes]]:
    store = FeatureStore(place_of(cache))
    (stored,) = store.candidates()
    read = {key: store.read(stored.record.fingerprint, key) for key in store.keys(stored.record.fingerprint)}
    return {key: (found.values.tobytes(), found.pts_seconds.tobytes()) for key, found in read.items()}


@pytest.mark.slow
def test_nodes_that_share_only_a_bucket_fill_one_cache(tmp_path: Path, s3: S3Server, bucket: Bucket) -> None:
    for number in range(VIDEOS):
        bucket.put(f"clips/{number:02d}.mp4", clip(tmp_path, (10 + 5 * number, 100, 200, 50)))
    bucket.put("clips/again.mp4", bucket.get("clips/03.mp4"))
    bucket.put("clips/broken.mp4", b"no video")
    here = make_workspace(tmp_path / "here", f"{bucket.url}/clips", f"{bucket.url}/here")
    many = make_workspace(tmp_path / "many", f"{bucket.url}/clips", f"{bucket.url}/many")
    status, alone, _ = extract(here)
    assert status == 3
    with cluster(2, {name: os.environ[name] for name in s3.environment}) as nodes:
        status, report, err = extract(many, "--engine", "ray", "--address", nodes.address)
        again = extract(many, "--engine", "ray", "--address", nodes.address)
    assert (status, [line.partition(":")[0] for line in said(err)]) == (3, ["broken.mp4"])
    assert report["videos"] == alone["videos"] == VIDEOS + 1
    assert (report["decoded"], again[1]["decoded"]) == (VIDEOS, 0)
    assert features(f"{bucket.url}/many") == features(f"{bucket.url}/here")
    assert len(features(f"{bucket.url}/many")) == VIDEOS
    checked = verify_cache(place_of(f"{bucket.url}/many"))
    assert (checked.good, checked.videos) == (True, VIDEOS)
    kinds = Counter(name.split("/")[1] for name in bucket.names("many/"))
    assert not [name for name in kinds if name.startswith(".node")]
    assert kinds["failures"] == 1
