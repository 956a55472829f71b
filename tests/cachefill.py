"""Caches made by code, with features that are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vqa.cache.store import FeatureStore
from vqa.cache.writer import SegmentWriter
from vqa.records import CandidateRecord, VideoFeatures, fingerprint_of

DETAILS = '{"frames":2}'
FINGERPRINT = fingerprint_of(DETAILS)
RECORD = CandidateRecord("timm:resnet18.a1_in1k", FINGERPRINT, DETAILS)
OTHER_DETAILS = '{"frames":3}'
OTHER = CandidateRecord("timm:other", fingerprint_of(OTHER_DETAILS), OTHER_DETAILS)


def features(value: float, *, rows: int = 2, width: int = 3) -> VideoFeatures:
    """Features that are all one value, at times 0, 1, ..."""
    return VideoFeatures(np.full((rows, width), value, np.float16), np.arange(rows, dtype=np.float64))


def open_writer(
    root: Path,
    record: CandidateRecord = RECORD,
    *,
    torch: str = "2.9",
    weights: str = "f" * 64,
    max_videos: int = 64,
) -> SegmentWriter:
    return FeatureStore(root).writer(
        record, weights_sha256=weights, versions={"torch": torch}, probe=(1.0, 2.0), max_videos=max_videos
    )


def fill(
    root: Path,
    values: Mapping[str, float],
    *,
    record: CandidateRecord = RECORD,
    max_videos: int = 64,
    torch: str = "2.9",
    weights: str = "f" * 64,
) -> None:
    """Write one video for each key, whose features are all the value; `max_videos` to a segment."""
    with open_writer(root, record, torch=torch, weights=weights, max_videos=max_videos) as writer:
        for key, value in values.items():
            writer.put(key, features(value), seconds=0.5)


def segments(root: Path, record: CandidateRecord = RECORD) -> list[Path]:
    """The segment files of a candidate, oldest first."""
    return sorted(root.glob(f"*-{record.fingerprint}/*.h5"), key=lambda path: path.name)


def held(root: Path, record: CandidateRecord = RECORD) -> dict[str, float]:
    """What a cache gives back: each key with the value of its features."""
    store = FeatureStore(root)
    return {key: float(store.read(record.fingerprint, key).values[0, 0]) for key in store.keys(record.fingerprint)}
