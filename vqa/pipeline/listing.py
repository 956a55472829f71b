"""What there is: candidates of the pools, and what a cache holds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vqa.cache.folder import DamagedLines
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.errors import CacheMissError
from vqa.extract.backends import find_backend
from vqa.extract.pools import PoolRow, expand_models, find_row, pool_rows
from vqa.pipeline.features import current_candidates, other_rules
from vqa.pipeline.provenance import named_candidates
from vqa.records import EVERY_CANDIDATE, IMPORTED, Failure, is_imported
from vqa.urls import Place
from vqa.workspace import open_workspace


@dataclass(frozen=True)
class ListedModel:
    """One candidate as `vqa models` shows it."""

    spec: str
    row: PoolRow | None
    """What its pool says of it; None for one that is in no pool."""
    cached_videos: int
    """Videos with features in the workspace's cache; 0 outside a workspace."""
    cost_ms: float | None
    """Measured time of the network for one video, where the cache knows it."""
    generation: int
    """Of the cached features; 0 for the first."""
    gmacs: float | None
    """Stated multiplications for one frame or clip, 10^9; None where its pool states none."""


def list_models(pattern: str | None = None, *, pool: str | None = None, folder: Path = Path()) -> list[ListedModel]:
    """List candidates: those of the pools, of one pool, or those that a spec or glob names.

    Raises:
        UnknownModelError: the pattern or pool names nothing.
    """
    store, held = _held(folder)
    imported = [name for name in held if is_imported(name) and not pool and fnmatchcase(name, pattern or "*")]
    specs = [str(spec) for spec in expand_models([pool] if pool else [row.pool for row in pool_rows()])]
    if pattern is not None and not (imported and is_imported(pattern)):
        wanted = expand_models([pattern])
        for spec in wanted:
            find_backend(spec.backend).describe(spec)  # an unknown name is an error here, too
        named = [str(spec) for spec in wanted]
        specs = [spec for spec in named if spec in specs] if pool else named
    elif pattern is not None:
        specs = []
    listed = [_imported(held[name]) for name in imported]
    for text in specs:
        row, stored = find_row(text), held.get(text)
        listed.append(
            ListedModel(
                spec=text,
                row=row,
                cached_videos=stored.videos if stored else 0,
                cost_ms=store.cost_ms(stored.record.fingerprint) if store and stored else None,
                generation=stored.record.generation if stored else 0,
                gmacs=row.data.get("gmacs") if row else None,
            )
        )
    return listed


def _imported(stored: StoredCandidate) -> ListedModel:
    name, files = stored.record.name, ", ".join(dict.fromkeys(source.file for source in stored.sources))
    row = PoolRow(IMPORTED, name, "-", "-", stored.width, "-", files, {})
    return ListedModel(name, row, stored.videos, cost_ms=None, generation=0, gmacs=None)


def _held(folder: Path) -> tuple[FeatureStore | None, dict[str, StoredCandidate]]:
    """Return what the workspace's cache holds, if `folder` is a workspace with a cache."""
    if not (folder / "vqa.toml").is_file():
        return None, {}
    workspace = open_workspace(folder)
    store = FeatureStore(workspace.cache_dir)
    held: tuple[StoredCandidate, ...] = ()
    with contextlib.suppress(CacheMissError):  # nothing cached, or nothing with this many frames
        held = current_candidates(store, workspace)
    return store, {stored.record.name: stored for stored in held}


@dataclass(frozen=True)
class CacheReport:
    """What a cache holds."""

    root: Place
    candidates: Sequence[StoredCandidate]
    failures: tuple[Failure, ...]
    damaged: tuple[DamagedLines, ...]
    """Of the ledger and of the memory of keys."""
    outdated: Mapping[str, str]
    """By fingerprint, candidates of other decoding rules than this version's, each with both; no command uses them."""


def describe_cache(folder: Path, models: Sequence[str] = ()) -> CacheReport:
    """Describe a workspace's cache: each candidate with its videos, size and provenance, and what failed.

    Args:
        folder: The workspace.
        models: Candidates, globs or fingerprints; none for all.

    Raises:
        CacheMissError: there is no such candidate.
        WorkspaceError, CacheError: the workspace or its cache can't be read.
    """
    workspace = open_workspace(folder)
    store = FeatureStore(workspace.cache_dir)
    candidates = named_candidates(store.candidates(), models)
    shown = {EVERY_CANDIDATE, *(stored.record.fingerprint for stored in candidates)}
    ledger = Ledger(workspace.cache_dir)
    failures = ledger.open_failures()
    if models:
        failures = tuple(failure for failure in failures if failure.fingerprint in shown)
    in_order = sorted(candidates, key=lambda stored: (stored.record.name, stored.record.generation))
    damaged = KeyMemo(workspace.cache_dir).damaged() + ledger.damaged()
    told = {stored.record.fingerprint: other_rules(stored) for stored in in_order}
    outdated = {fingerprint: rules for fingerprint, rules in told.items() if rules}
    return CacheReport(workspace.cache_dir, in_order, failures, damaged, outdated)
