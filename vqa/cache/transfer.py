"""Tables of features into the cache: compared with what it holds, then written whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.cache.folder import make_folder
from vqa.cache.key import id_key
from vqa.cache.segment import Provenance, SegmentRow, Source
from vqa.cache.segmentwriting import present_time, write_segment
from vqa.cache.store import FeatureStore, folder_name
from vqa.errors import TableError
from vqa.records import IMPORTED, CandidateRecord, ImportedFeatures, fingerprint_of

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class SetPlan:
    """What the import of one feature set would add to the cache."""

    record: CandidateRecord
    ids: tuple[str, ...]
    """Videos that the cache has no features of yet."""
    values: NDArray[np.float32]
    """Theirs, shape (N, D); NaN marks a missing cell."""
    held: int
    """Videos that it has the same features of already."""


def imported_name(name: str, feature_set: str = "") -> str:
    """Return the name of an imported candidate: `imported:NAME` or `imported:NAME/SET`.

    Raises:
        TableError: the name is none that can be typed on a command line.
    """
    if not _NAME.fullmatch(name):
        raise TableError(f"{name!r} can't name imported features; use letters, digits and . _ + - with --as")
    return f"{IMPORTED}:{name}" + (f"/{feature_set}" if feature_set else "")


def imported_record(name: str, width: int) -> CandidateRecord:
    """Return an imported candidate: its name and width alone decide it, so that two datasets may share it.

    A scorer that was trained on one dataset's features then takes those of another.
    """
    details = json.dumps({"kind": IMPORTED, "model": name, "width": width}, sort_keys=True, separators=(",", ":"))
    return CandidateRecord(name, fingerprint_of(details), details)


def plan_set(store: FeatureStore, name: str, ids: Sequence[str], values: NDArray[np.float32]) -> SetPlan:
    """Compare a feature set with what the cache holds of that name; nothing is written.

    Args:
        store: The cache.
        name: The candidate's.
        ids: The N videos, as the dataset calls them.
        values: Shape (N, D); NaN marks a missing cell.

    Raises:
        TableError: the cache holds features of that name of another width, or other values for some of the videos.
        CacheError: the cache can't be read.
    """
    record = imported_record(name, values.shape[1])
    for stored in store.candidates():
        if stored.record.name == name and stored.record.fingerprint != record.fingerprint:
            raise TableError(
                f"{name}: has {stored.width} features a video in the cache and {values.shape[1]} in the file; "
                "import under another name with --as"
            )
    keys = [id_key(video) for video in ids]
    present = store.keys(record.fingerprint)
    known = np.array([key in present for key in keys], dtype=bool)
    if known.any():
        held = store.read_means(record.fingerprint, [key for key in keys if key in present])
        same = ((held == values[known]) | (np.isnan(held) & np.isnan(values[known]))).all(axis=1)
        others = [ids[row] for row, alike in zip(np.flatnonzero(known).tolist(), same, strict=True) if not alike]
        if others:
            raise _other_values(name, others, int(known.sum()))
    fresh = [video for video, held_already in zip(ids, known, strict=True) if not held_already]
    return SetPlan(record, tuple(fresh), values[~known], int(known.sum()))


def _other_values(name: str, ids: Sequence[str], known: int) -> TableError:
    more = ", ..." if len(ids) > _SHOWN else ""
    return TableError(
        f"{name}: the cache holds other values for {len(ids)} of {known} videos that it has already "
        f"({', '.join(ids[:_SHOWN])}{more}); nothing was imported, import under another name with --as"
    )


def write_set(store: FeatureStore, plan: SetPlan, *, file: str, sha256: str, versions: Mapping[str, str]) -> None:
    """Write what a plan adds, as one segment.

    Args:
        store: The cache.
        plan: Adds at least one video.
        file: Name of the file that the features come from.
        sha256: Of its bytes.
        versions: Of each library that took part.

    Raises:
        CacheError: the cache can't be written to.
    """
    folder = store.root / folder_name(plan.record)
    make_folder(store.root, folder)
    source = Source(file, sha256, int(np.isnan(plan.values).sum()))
    now = present_time()
    rows = [
        SegmentRow(id_key(video), ImportedFeatures(values[None]), now)
        for video, values in zip(plan.ids, plan.values, strict=True)
    ]
    write_segment(folder, Provenance(plan.record, "", versions, source), rows, seconds=0.0)
    store.refresh()
