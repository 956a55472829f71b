"""Provenance: where any features in the cache come from, down to the bytes, the weights and the file they lie in."""

from __future__ import annotations

import errno
import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vqa.cache.key import KeyMemo, id_key
from vqa.cache.ledger import Ledger
from vqa.cache.segment import Source, utc_time
from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.dataset import VideoRow
from vqa.errors import CacheMissError, VideoError
from vqa.extract.backends import suggest
from vqa.files import without_video_suffix
from vqa.pipeline.features import other_rules
from vqa.pipeline.opening import open_dataset
from vqa.records import EVERY_CANDIDATE, Failure
from vqa.urls import Place, place_of
from vqa.workspace import open_workspace

_PREFIX = re.compile(r"[0-9a-f]{8,64}")
_NAMED = 3


@dataclass(frozen=True)
class FeatureOrigin:
    """Where one video's features by one candidate come from."""

    video: str
    """As it was asked for."""
    key: str
    """SHA-256 of the video's bytes; of imported features `id:` and the video's id."""
    paths: tuple[Path | str, ...]
    """Where files with these bytes were seen, the last one last; they may have changed since."""
    model: str
    fingerprint: str
    generation: int
    weights_sha256: str
    """Over the network's parameters; empty for imported features."""
    weights_id: str
    """The file, repository or tag the weights were taken from; empty for imported features."""
    precision: str
    spec: Mapping[str, Any]
    """Backbone, view, frames and clips."""
    input: Mapping[str, Any]
    """How frames became the network's input."""
    decoding: Mapping[str, str]
    """By which rules the file became frames."""
    decoding_version: int | None
    """Of these rules; None for imported features."""
    outdated: str
    """By which decoding rules they were made and which this version has; empty where these are the same."""
    versions: Mapping[str, str]
    """Of each library that took part."""
    created: str
    """When these features were computed or imported, UTC, ISO 8601."""
    segment: Place
    """The file they lie in."""
    position: int
    """The video's number in it, from 0."""
    rows: tuple[int, int]
    """Its rows of the dataset `features`: the first, and the one after the last."""
    width: int
    source: Source | None
    """The file that imported features come from."""


@dataclass(frozen=True)
class ProvenanceReport:
    """What `describe_features` found."""

    root: Place
    origins: tuple[FeatureOrigin, ...]
    failures: tuple[Failure, ...]
    """What stands against these videos with these candidates."""


def describe_features(videos: Sequence[str], models: Sequence[str] = (), *, folder: Path = Path()) -> ProvenanceReport:
    """Say where the features of some videos come from.

    Args:
        videos: Each an id of the dataset, a path, or a key or the first 8 or more digits of one.
        models: Candidates, globs or fingerprints; none for all that the cache holds, in every generation.
        folder: The workspace.

    Raises:
        CacheMissError: there is no such video or candidate, or the cache has nothing of a video.
        VideoError: a file can't be read.
        WorkspaceError, LabelsError, CacheError: the workspace, its labels or its cache can't be used.
    """
    workspace = open_workspace(folder)
    store, memo = FeatureStore(workspace.cache_dir), KeyMemo(workspace.cache_dir)
    candidates = named_candidates(store.candidates(), models)
    held = {stored.record.fingerprint: store.keys(stored.record.fingerprint) for stored in candidates}
    finder = _Finder({row.id: row for row in open_dataset(workspace).rows}, memo, frozenset().union(*held.values()))
    failures = Ledger(workspace.cache_dir).open_failures()
    origins: list[FeatureOrigin] = []
    told: list[Failure] = []
    for video in videos:
        keys = finder.keys(video)
        own = [(stored, key) for stored in candidates for key in keys if key in held[stored.record.fingerprint]]
        against = [one for one in failures if one.key in keys and one.fingerprint in (EVERY_CANDIDATE, *held)]
        if not own and not against:
            raise CacheMissError(f"{video}: the cache has no features of it{_by(models)}; run `vqa extract`")
        origins += [_origin(video, key, memo, store, stored) for stored, key in own]
        told += against
    return ProvenanceReport(workspace.cache_dir, tuple(origins), tuple(told))


def named_candidates(held: Sequence[StoredCandidate], patterns: Sequence[str]) -> tuple[StoredCandidate, ...]:
    """Return the candidates that names, globs or fingerprints name; all where there are none.

    Raises:
        CacheMissError: one names nothing.
    """
    names = list(dict.fromkeys(stored.record.name for stored in held))
    for pattern in patterns:
        if not any(_is_named(stored, pattern) for stored in held):
            raise CacheMissError(
                f"the cache holds no {pattern!r}; {suggest(pattern, names) if names else 'it is empty'}"
            )
    return tuple(stored for stored in held if not patterns or any(_is_named(stored, pattern) for pattern in patterns))


def _is_named(stored: StoredCandidate, pattern: str) -> bool:
    return pattern == stored.record.fingerprint or fnmatchcase(stored.record.name, pattern)


def _by(models: Sequence[str]) -> str:
    return f" by {', '.join(models)}" if models else ""


@dataclass(eq=False)
class _Finder:
    """Turns what a user calls a video into keys."""

    rows: Mapping[str, VideoRow]
    memo: KeyMemo
    held: frozenset[str]
    """All keys in the cache."""

    def keys(self, video: str) -> tuple[str, ...]:
        """Return the keys that a video's features may lie under: of its bytes, and of its id where it has one."""
        row = self.rows.get(video) or self._by_stem.get(without_video_suffix(video))
        if row is not None:
            return (id_key(row.id), *(() if row.path is None else (self._key_of(row.path),)))
        place = place_of(video)
        if _is_file(place) or self.memo.known(place) is not None:
            return (self._key_of(place),)
        return (self._complete(video),)

    @functools.cached_property
    def _by_stem(self) -> Mapping[str, VideoRow]:
        """Rows by their id without suffix, where that names one."""
        count = Counter(map(without_video_suffix, self.rows))
        stems = {without_video_suffix(video): row for video, row in self.rows.items()}
        return {stem: row for stem, row in stems.items() if count[stem] == 1}

    def _key_of(self, path: Place) -> str:
        """Return a file's key; the last one it had where it can't be read any more."""
        try:
            return self.memo.key(path)
        except VideoError:
            last = self.memo.known(path)
            if last is None:
                raise
            return last

    def _complete(self, text: str) -> str:
        """Return the one key that is, or begins with, a text."""
        digits = text.lower()
        found = sorted(key for key in self.held if _PREFIX.fullmatch(digits) and key.startswith(digits))
        if text in self.held:
            return text
        if len(found) > 1:
            told = ", ".join(key[: len(digits) + 4] for key in found[:_NAMED])
            raise CacheMissError(f"{text}: {len(found)} keys begin so ({told}); write more digits")
        if not found:
            ids = suggest(text, list(self.rows)) if self.rows else "the dataset has no videos"
            raise CacheMissError(f"{text}: is no id of the dataset, no file, and no key in the cache; {ids}")
        return found[0]


def _is_file(path: Place) -> bool:
    """Return whether there is such a file; a text too long to be a name names none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _origin(video: str, key: str, memo: KeyMemo, store: FeatureStore, stored: StoredCandidate) -> FeatureOrigin:
    segment, position = store.locate(stored.record.fingerprint, key)
    provenance = segment.provenance
    record = provenance.record
    return FeatureOrigin(
        video=video,
        key=key,
        paths=memo.paths(key),
        model=record.name,
        fingerprint=record.fingerprint,
        generation=record.generation,
        weights_sha256=provenance.weights_sha256,
        weights_id=record.text("weights_id"),
        precision=record.text("precision"),
        spec=record.mapping("spec"),
        input=record.mapping("input"),
        decoding={name: str(rule) for name, rule in record.mapping("decoding").items()},
        decoding_version=version if type(version := record.detail("version")) is int else None,
        outdated=other_rules(stored),
        versions=provenance.versions,
        created=utc_time(int(segment.created_ns[position])),
        segment=segment.path,
        position=position,
        rows=(int(segment.offsets[position]), int(segment.offsets[position + 1])),
        width=segment.width,
        source=provenance.source,
    )
