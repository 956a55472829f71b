"""A workspace of 30 videos that nobody decodes: their features are put into the cache as if they had been extracted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vqa.cache.key import KeyMemo
from vqa.cache.store import FeatureStore
from vqa.records import CandidateRecord, VideoFeatures

IDS = tuple(f"v{row:02}" for row in range(30))
MOS = np.linspace(1, 5, len(IDS))
TOYS = {
    name: CandidateRecord(name, digit * 12, json.dumps({"spec": {"frames": 8}, "input": {}}))
    for name, digit in (("timm:toy", "1"), ("timm:other", "2"))
}


def write_labels(ids: Sequence[str]) -> None:
    Path("labels.csv").write_text("id,mos\n" + "".join(f"{v},{m}\n" for v, m in zip(IDS, MOS, strict=True) if v in ids))


def put_features(name: str, ids: Sequence[str] = IDS) -> None:
    """Put features into the cache as if they had been extracted."""
    memo, rng = KeyMemo(Path("cache")), np.random.default_rng(0)
    with FeatureStore(Path("cache")).writer(TOYS[name], weights_sha256="f" * 64, versions={}) as writer:
        for video in ids:
            values = MOS[IDS.index(video)] + rng.normal(size=(1, 20))
            features = VideoFeatures(values.astype(np.float16), np.zeros(1))
            writer.put(memo.key(Path(f"clips/{video}.mp4")), features, seconds=0.1)


def toy_workspace(run: Callable[..., tuple[int, str, str]]) -> None:
    """Make the workspace in the folder that commands run in."""
    Path("clips").mkdir()
    for video in IDS:
        Path(f"clips/{video}.mp4").write_text(f"video {video}")
    write_labels(IDS)
    assert run("init", ".", "--videos", "clips", "--labels", "labels.csv")[0] == 0
