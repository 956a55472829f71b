"""Notices that a candidate's numbers changed under it, and starts a new generation where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.errors import ProbeError
from vqa.extract.probe import beyond_rounding, tolerance
from vqa.extract.spec import Candidate
from vqa.pipeline.storing import Entry
from vqa.pipeline.versions import library_versions

NEW_GENERATION = "`vqa extract --new-generation`"


@dataclass(frozen=True)
class _Change:
    """A candidate that gives other features of the probe than those the cache has."""

    candidate: Candidate
    distance: float
    before: Mapping[str, str]
    """Library versions of then."""


def settle_generations(
    entries: Sequence[Entry], store: FeatureStore, *, renew: Callable[[Entry], None] | None = None
) -> None:
    """Compare each loaded candidate with what the cache holds of it.

    Args:
        entries: The run's candidates, loaded.
        store: The cache.
        renew: Starts a new generation of one that changed; the others go on as they are. Without it the run stops.

    Raises:
        ProbeError: some changed, and no new generation is to be started.
    """
    held = {stored.record.fingerprint: stored for stored in store.candidates()}
    changes = []
    for entry in [entry for entry in entries if entry.candidate.fingerprint in held]:
        stored = held[entry.candidate.fingerprint]
        change = _find_change(entry, stored)
        if renew is not None and (change is not None or _has_other_weights(entry, stored)):
            renew(entry)
        elif change is not None:
            changes.append(change)
        elif stored.probe:
            entry.probe = stored.probe  # one for all segments of a generation: rounding must not drift from run to run
    if changes:
        raise ProbeError(_tell(changes))


def _find_change(entry: Entry, stored: StoredCandidate) -> _Change | None:
    """Return how a candidate changed; other weights are told by the cache's own error."""
    if entry.model is None or not stored.probe or _has_other_weights(entry, stored):
        return None
    distance = beyond_rounding(entry.probe, stored.probe, precision=entry.candidate.precision)
    return None if distance is None else _Change(entry.candidate, distance, stored.versions)


def _has_other_weights(entry: Entry, stored: StoredCandidate) -> bool:
    return entry.model is not None and entry.model.weights_sha256 != stored.weights_sha256


def _tell(changes: Sequence[_Change]) -> str:
    """Say what changed by how much, what may have changed it, and the choice."""
    worst = max(changes, key=lambda change: change.distance)
    others = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    return (
        f"{worst.candidate}{others}: its numbers changed, features of the probe clip differ from those in the cache "
        f"{tell_distance(worst.candidate, worst.distance)}; {tell_versions(worst.before)}, "
        f"or start a new generation: {NEW_GENERATION}"
    )


def tell_distance(candidate: Candidate, distance: float) -> str:
    """Say how far features of the probe moved, and how far rounding may move them."""
    return f"by {distance:.2g} of their length, where rounding explains {tolerance(candidate.precision):.0e}"


def tell_versions(before: Mapping[str, str]) -> str:
    """Say which library versions differ from those of then, and what to do about it."""
    now = library_versions()
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    if not names:
        return "no version changed, so it is another machine or device: go back to that"
    told = ", ".join(f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names)
    return f"versions changed since: {told}; install those of before again"
