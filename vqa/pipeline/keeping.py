"""The cache's chores: verify it, compact it, drop a candidate from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa.cache.compaction import Compaction, compact_cache
from vqa.cache.dropping import drop_candidate
from vqa.cache.ledger import Ledger
from vqa.cache.segment import Segment
from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.cache.verifying import Verification, verify_cache
from vqa.extract.probe import probes_agree
from vqa.pipeline.features import other_rules
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.provenance import named_candidates
from vqa.urls import Place
from vqa.workspace import open_workspace


@dataclass(frozen=True)
class DropReport:
    """What `drop_features` removed."""

    root: Place
    candidates: tuple[StoredCandidate, ...]
    failures: int
    """Rows of the ledger that stood against them."""


def verify_features(folder: Path, *, repair: bool = False, progress: Progress = SILENT) -> Verification:
    """Read every segment of a workspace's cache whole and compare it with what it says of itself.

    Args:
        folder: The workspace.
        repair: Move damaged segments to the cache's folder `quarantine`, and drop damaged lines of the ledger and of
            the memory of keys; the next extraction redoes their videos.
        progress: Told how far it is.

    Raises:
        WorkspaceError, CacheError: the workspace or its cache can't be read, or what is damaged can't be moved or
            dropped.
    """
    root = open_workspace(folder).cache_dir
    return verify_cache(root, repair=repair, agree=_saw_the_same, step=_told(progress, "verifying"))


def _saw_the_same(one: Segment, other: Segment) -> bool:
    """Return whether the probes of two segments of a candidate agree."""
    here, there = one.provenance, other.provenance
    return probes_agree(here.probe, there.probe, precision=here.record.text("precision"))


def compact_features(folder: Path, *, progress: Progress = SILENT) -> Compaction:
    """Merge the small segments of a workspace's cache; what it holds stays as it is.

    Args:
        folder: The workspace.
        progress: Told how far it is.

    Raises:
        WorkspaceError, CacheError: the workspace or its cache can't be read or written.
    """
    return compact_cache(open_workspace(folder).cache_dir, step=_told(progress, "compacting"))


def drop_features(models: Sequence[str], *, folder: Path, old_rules: bool = False) -> DropReport:
    """Remove candidates from a workspace's cache for good: their features, and their failures in the ledger.

    Args:
        models: Their names, globs, or fingerprints; of a name all that the cache holds.
        folder: The workspace.
        old_rules: Of these, or of all where none are named, those of other decoding rules than this version's.

    Raises:
        CacheMissError: the cache holds no such candidate; nothing was removed.
        WorkspaceError, CacheError: the workspace or its cache can't be read or written.
    """
    root = open_workspace(folder).cache_dir
    dropped = named_candidates(FeatureStore(root).candidates(), models)
    if old_rules:
        dropped = tuple(stored for stored in dropped if other_rules(stored))
    ledger, failures = Ledger(root), 0
    for stored in dropped:
        drop_candidate(root, stored.record.fingerprint)
        failures += ledger.forget(stored.record.fingerprint)
    return DropReport(root, dropped, failures)


def _told(progress: Progress, step: str) -> Callable[[int, int], None]:
    return lambda done, total: progress.update(step, done, total)
