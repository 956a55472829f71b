"""Read the cache as one table; no video file is opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.dataset import VideoRow
from vqa.errors import CacheMissError
from vqa.records import Failure, FeatureTable
from vqa.workspace import Workspace

_NAMED = 3


@dataclass(frozen=True, eq=False)
class CachedRows:
    """Which rows have features of which candidates."""

    keys: Mapping[str, str]
    """Key of each row that has a chance to be used, by id, in the order of the rows."""
    failures: tuple[Failure, ...]
    """Rows left out because they failed, each with one failure that explains it."""
    lacking: Mapping[str, tuple[str, ...]]
    """For each candidate the ids it was never run on."""


def current_candidates(store: FeatureStore, workspace: Workspace) -> tuple[StoredCandidate, ...]:
    """Return the cached candidates that fit the workspace's frame count, one for each name.

    Where the cache holds several generations of one name (another precision, say), the one with most videos counts.
    """
    best: dict[str, StoredCandidate] = {}
    for stored in store.candidates():
        details = stored.record.detail("input"), stored.record.detail("spec")
        fits = details[0].get("clip_frames") or details[1]["frames"] == workspace.extract.frames
        name = stored.record.name
        if fits and (name not in best or stored.videos > best[name].videos):
            best[name] = stored
    if not best:
        raise CacheMissError(f"{workspace.cache_dir} holds no features yet; run `vqa extract --models all`")
    return tuple(best.values())


def look_up(
    workspace: Workspace, store: FeatureStore, rows: Sequence[VideoRow], candidates: Sequence[StoredCandidate]
) -> CachedRows:
    """Find out which rows have features of which candidates."""
    memo, ledger = KeyMemo(workspace.cache_dir), Ledger(workspace.cache_dir)
    unread = {failure.video: failure for failure in ledger.open_failures() if not failure.key}
    held = {stored.record.name: store.keys(stored.record.fingerprint) for stored in candidates}
    fingerprints = {stored.record.name: stored.record.fingerprint for stored in candidates}
    keys: dict[str, str] = {}
    failures: list[Failure] = []
    lacking: dict[str, list[str]] = {name: [] for name in held}
    for row in rows:
        key = memo.known(row.path)
        absent = [name for name in held if key is None or key not in held[name]]
        failed = _failure(ledger, unread, row.id, key, [fingerprints[name] for name in absent])
        if failed is not None:
            failures.append(failed)
            continue
        for name in absent:
            lacking[name].append(row.id)
        if key is not None:
            keys[row.id] = key
    return CachedRows(keys, tuple(failures), {name: tuple(ids) for name, ids in lacking.items()})


def _failure(
    ledger: Ledger, unread: Mapping[str, Failure], video: str, key: str | None, absent: Sequence[str]
) -> Failure | None:
    """Return what explains that a row lacks features, if a failure does."""
    if key is None:
        return unread.get(video)
    reasons = (ledger.failed(key, fingerprint) for fingerprint in absent)
    return next((failure for failure in reasons if failure is not None), None)


def read_table(
    store: FeatureStore, rows: Sequence[VideoRow], found: CachedRows, candidates: Sequence[StoredCandidate]
) -> FeatureTable:
    """Return the time-averaged features of the candidates on every row that has a key."""
    used = [row for row in rows if row.id in found.keys]
    keys = [found.keys[row.id] for row in used]
    groups = tuple(row.group or "" for row in used) if used and all(row.group for row in used) else None
    mos = np.array([row.mos for row in used], dtype=np.float64)
    blocks = {stored.record.name: store.read_means(stored.record.fingerprint, keys) for stored in candidates}
    return FeatureTable(tuple(row.id for row in used), mos, groups, blocks)


def require_all(found: CachedRows, candidates: Sequence[StoredCandidate]) -> None:
    """Refuse to go on where a candidate was never run on some rows.

    Raises:
        CacheMissError: names the videos, the candidates, and the command that fills the gap.
    """
    gaps = {name: ids for name, ids in found.lacking.items() if ids}
    if not gaps:
        return
    ids = list(dict.fromkeys(video for videos in gaps.values() for video in videos))
    more = ", ..." if len(ids) > _NAMED else ""
    models = " ".join(f"--models {name}" for name in gaps)
    raise CacheMissError(
        f"{len(ids)} video(s) have no features of {len(gaps)} of {len(candidates)} models in the cache "
        f"({', '.join(ids[:_NAMED])}{more}); run `vqa extract {models}`"
    )
