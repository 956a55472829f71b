"""Read the cache as one table; no video file is opened here."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqa.cache.folder import DamagedLines
from vqa.cache.key import KeyMemo, id_key
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.dataset import VideoRow
from vqa.errors import CacheMissError
from vqa.extract.rules import tell_other_rules
from vqa.records import IMPORTED, Failure, FeatureTable, is_imported
from vqa.workspace import Workspace

_NAMED = 3
REPAIRING = ", then `vqa cache verify --repair`"
"""Follows the command that finds out anew what damaged lines told."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CachedRows:
    """Which rows have features of which candidates."""

    ids: tuple[str, ...]
    """Rows that have a chance to be used: those that did not fail."""
    keys: Mapping[str, Mapping[str, str]]
    """For each candidate the keys that its features of these rows lie under, by id."""
    failures: tuple[Failure, ...]
    """Rows left out because they failed, each with one failure that explains it."""
    lacking: Mapping[str, tuple[str, ...]]
    """For each candidate the ids it was never run on."""
    damaged: tuple[DamagedLines, ...] = ()
    """Of the ledger and of the memory of keys: what they told may be why something is lacking."""

    def told_damage(self) -> str:
        """Say which files have damaged lines, as the end of a sentence about what is lacking; empty where none has."""
        return f", and {' and '.join(map(str, self.damaged))}" if self.damaged else ""


@dataclass(frozen=True)
class _Candidates:
    """Candidates that share their keys: videos are known by their bytes, imported rows by their ids."""

    keys: dict[str, str]
    """By id, for rows that have one."""
    held: Mapping[str, frozenset[str]]
    """For each candidate the keys it has features of."""

    def absent(self, video: str) -> list[str]:
        """Return the names of candidates without features of a row."""
        key = self.keys.get(video)
        return [name for name, held in self.held.items() if key is None or key not in held]


def current_candidates(store: FeatureStore, workspace: Workspace) -> tuple[StoredCandidate, ...]:
    """Return the cached candidates that fit the workspace's frame count or are imported, one for each name.

    Those of other decoding rules than this version's are left aside: in one table two rules would be two kinds of
    numbers.

    Where the cache holds a name several times, the highest generation counts, even if it has fewer videos: mixing it
    with older ones would mix numbers, and what misses it names what to extract. Among equal generations (in another
    precision, say) the one with most videos counts.
    """
    best = _best_of_each(store, workspace)
    if not best and (outdated := outdated_models(store, workspace)):
        raise CacheMissError(
            f"{workspace.cache_dir}: its features of {len(outdated)} model(s) are of "
            f"{next(iter(outdated.values()))}; run {filling_command(list(outdated))}"
        )
    if not best:
        command = "`vqa extract --models all`" if workspace.dataset.videos else filling_command([f"{IMPORTED}:"])
        raise CacheMissError(f"{workspace.cache_dir} holds no features yet; run {command}")
    _tell_left_aside(store, best, workspace)
    return tuple(best.values())


def _best_of_each(store: FeatureStore, workspace: Workspace) -> dict[str, StoredCandidate]:
    best: dict[str, StoredCandidate] = {}
    for stored in _fitting(store, workspace):
        name = stored.record.name
        if not other_rules(stored) and (name not in best or _standing(stored) > _standing(best[name])):
            best[name] = stored
    return best


def outdated_models(store: FeatureStore, workspace: Workspace) -> dict[str, str]:
    """Return the models of which the cache holds features of other decoding rules alone, each with these rules."""
    best = _best_of_each(store, workspace)
    fitting = [stored for stored in _fitting(store, workspace) if stored.record.name not in best]
    return {stored.record.name: other_rules(stored) for stored in fitting}


def other_rules(stored: StoredCandidate) -> str:
    """Say by which decoding rules features were made and which this version has; empty where these are the same."""
    return tell_other_rules(json.loads(stored.record.details))


def _fitting(store: FeatureStore, workspace: Workspace) -> list[StoredCandidate]:
    """Return what the cache holds in the workspace's frame count, or imported."""
    held, frames = store.candidates(), workspace.extract.frames
    return [stored for stored in held if is_imported(stored.record.name) or _fits(stored, frames)]


def _tell_left_aside(store: FeatureStore, used: Mapping[str, StoredCandidate], workspace: Workspace) -> None:
    """Tell which candidates of the cache are used, and why others are not."""
    for stored in store.candidates():
        name, chosen = stored.record.name, used.get(stored.record.name)
        told = f"{name} ({stored.record.fingerprint}, {stored.videos} videos)"
        if told_rules := other_rules(stored):
            _log.info("%s: left aside, its features are of %s", told, told_rules)
        elif chosen is None:
            _log.info("%s: left aside, vqa.toml asks for %d frames", told, workspace.extract.frames)
        elif chosen.record.fingerprint != stored.record.fingerprint:
            _log.info("%s: left aside for %s, newer or of more videos", told, chosen.record.fingerprint)
        else:
            _log.info("%s: used", told)


def _standing(stored: StoredCandidate) -> tuple[int, int]:
    return stored.record.generation, stored.videos


def _fits(stored: StoredCandidate, frames: int) -> bool:
    spec, size = stored.record.detail("spec"), stored.record.detail("input")
    if not isinstance(spec, dict) or not isinstance(size, dict):  # a cache may come from a stranger
        return False
    return bool(size.get("clip_frames")) or spec.get("frames") == frames


def look_up(
    workspace: Workspace, store: FeatureStore, rows: Sequence[VideoRow], candidates: Sequence[StoredCandidate]
) -> CachedRows:
    """Find out which rows have features of which candidates."""
    memo, ledger = KeyMemo(workspace.cache_dir), Ledger(workspace.cache_dir)
    unread = {failure.video: failure for failure in ledger.open_failures() if not failure.key}
    held = {stored.record.name: store.keys(stored.record.fingerprint) for stored in candidates}
    fingerprints = {stored.record.name: stored.record.fingerprint for stored in candidates}
    found = {row.id: None if row.path is None else memo.known(row.path) for row in rows}
    videos = {video: key for video, key in found.items() if key is not None}
    extracted = _Candidates(videos, {name: keys for name, keys in held.items() if not is_imported(name)})
    imported = _Candidates(id_keys(rows), {name: keys for name, keys in held.items() if is_imported(name)})
    ids: list[str] = []
    failures: list[Failure] = []
    lacking: dict[str, list[str]] = {name: [] for name in held}
    for row in rows:
        absent = extracted.absent(row.id)
        failed = _failure(ledger, unread, row.id, found[row.id], [fingerprints[name] for name in absent])
        if absent and failed is not None:
            failures.append(failed)
            continue
        ids.append(row.id)
        for name in absent + imported.absent(row.id):
            lacking[name].append(row.id)
    keys = {name: part.keys for part in (extracted, imported) for name in part.held}
    never_run = {name: tuple(ids) for name, ids in lacking.items()}
    return CachedRows(tuple(ids), keys, tuple(failures), never_run, memo.damaged() + ledger.damaged())


def id_keys(rows: Sequence[VideoRow]) -> dict[str, str]:
    """Return the key of each row's imported features; rows that differ in their suffix alone have none."""
    keys = {row.id: id_key(row.id) for row in rows}
    count = Counter(keys.values())
    return {video: key for video, key in keys.items() if count[key] == 1}


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
    """Return the time-averaged features of candidates that lack none of the rows found."""
    wanted = frozenset(found.ids)
    used = [row for row in rows if row.id in wanted]
    groups = tuple(row.group or "" for row in used) if used and all(row.group for row in used) else None
    mos = np.array([row.mos for row in used], dtype=np.float64)
    blocks = {}
    for stored in candidates:
        keys = found.keys[stored.record.name]
        blocks[stored.record.name] = store.read_means(stored.record.fingerprint, [keys[row.id] for row in used])
    return FeatureTable(tuple(row.id for row in used), mos, groups, blocks)


def run_on_all(found: CachedRows, candidates: Sequence[StoredCandidate]) -> list[StoredCandidate]:
    """Return the candidates that were run on all rows.

    Raises:
        CacheMissError: there is none; or one was not run on some rows, which may be what damaged lines tell wrongly.
    """
    whole = [stored for stored in candidates if not found.lacking[stored.record.name]]
    may_be_lost = found.damaged and any(ids and not is_imported(name) for name, ids in found.lacking.items())
    if not whole or may_be_lost:
        require_all(found, candidates)
    return whole


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
    raise CacheMissError(
        f"{len(ids)} video(s) have no features of {len(gaps)} of {len(candidates)} models in the cache "
        f"({', '.join(ids[:_NAMED])}{more}){found.told_damage()}; run {filling_command(list(gaps))}"
        f"{REPAIRING if found.damaged else ''}"
    )
