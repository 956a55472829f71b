"""A folder of candidates, each a folder of segments, read as one table.

    cache/timm_resnet50.a1_in1k-0123456789ab/20260102T030405.000000006Z-...-....h5

Where two segments hold the same video, the older wins by its name, so that all readers of the same files agree.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vqa.cache.contents import FOLDER_NAME, Contents, candidate_folders, read_contents, while_segments_go
from vqa.cache.segment import Features, Provenance, Segment, Source, read_videos, utc_time
from vqa.cache.writer import SegmentWriter
from vqa.errors import CacheError, CacheMissError
from vqa.records import CandidateRecord, is_imported
from vqa.urls import Place

__all__ = ["FeatureStore", "SegmentWriter", "StoredCandidate", "filling_command", "folder_name", "time_average"]


@dataclass(frozen=True)
class StoredCandidate:
    """What the cache holds of one candidate."""

    record: CandidateRecord
    folder: Place
    videos: int
    segments: int
    bytes: int
    """Size of its segments on the disk."""
    width: int
    """D, the number of its features."""
    seconds: float
    """Time the model spent on all its segments."""
    weights_sha256: str
    created: str
    """When its oldest features were extracted, UTC, ISO 8601."""
    probe: tuple[float, ...] = ()
    """Its features of the probe, as its oldest segment has them; empty where they are imported."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of each library that took part, as its oldest segment has them."""
    sources: tuple[Source, ...] = ()
    """Files that its imported features come from, oldest first."""


class FeatureStore:
    """The features in a cache folder. What other processes add is seen after `refresh`.

    Args:
        root: The cache folder; one that does not exist holds nothing and is made by the first writer.
    """

    def __init__(self, root: Place) -> None:
        self.root = root
        self._segments: dict[Place, Segment] = {}
        self._contents: dict[str, Contents] = {}

    def refresh(self) -> None:
        """Look for new segments on the next question; those already opened are not opened again."""
        self._contents.clear()

    def candidates(self) -> tuple[StoredCandidate, ...]:
        """Return every candidate that has features, in the order of names.

        Raises:
            CacheError: the folder or a segment can't be read.
        """
        held = [self._held(fingerprint) for fingerprint in candidate_folders(self.root)]
        stored = [_summary(contents) for contents in held if contents.segments]
        return tuple(sorted(stored, key=lambda candidate: (candidate.record.name, candidate.record.fingerprint)))

    def candidate(self, fingerprint: str) -> StoredCandidate | None:
        """Return what the cache holds of one candidate, None where that is nothing; the others are not looked at.

        Raises:
            CacheError: the folder or a segment can't be read.
        """
        contents = self._held(fingerprint)
        return _summary(contents) if contents.segments else None

    def keys(self, fingerprint: str) -> frozenset[str]:
        """Return the keys of all videos that a candidate has features of.

        Raises:
            CacheError: the folder or a segment can't be read.
        """
        return frozenset(self._held(fingerprint).numbers)

    def holds(self, fingerprint: str, key: str) -> bool:
        """Return whether a candidate has features of a video.

        Raises:
            CacheError: the folder or a segment can't be read.
        """
        return key in self._held(fingerprint).numbers

    def read(self, fingerprint: str, key: str) -> Features:
        """Return one video's features by one candidate.

        Raises:
            CacheMissError: they are not there.
            CacheError: the folder or a segment can't be read.
        """

        def read() -> Features:
            segment, position = self.locate(fingerprint, key)
            return read_videos(segment, [position])[0]

        return while_segments_go(read, self.refresh)

    def locate(self, fingerprint: str, key: str) -> tuple[Segment, int]:
        """Return the segment that holds one video's features by one candidate, and the video's position in it.

        Raises:
            CacheMissError: they are not there.
            CacheError: the folder or a segment can't be read.
        """
        contents = self._complete(fingerprint, [key])
        number, position = contents.place(key)
        return contents.segments[number], position

    def read_means(self, fingerprint: str, keys: Sequence[str]) -> NDArray[np.float32]:
        """Return the time average of each video's features; NaN marks a missing cell of imported ones.

        Args:
            fingerprint: The candidate's.
            keys: The N videos.

        Returns:
            Shape (N, D), rows in the order of `keys`.

        Raises:
            CacheMissError: some videos have no features.
            CacheError: the folder or a segment can't be read.
        """
        return while_segments_go(lambda: self._read_means(fingerprint, keys), self.refresh)

    def _read_means(self, fingerprint: str, keys: Sequence[str]) -> NDArray[np.float32]:
        contents = self._complete(fingerprint, keys)
        places = [contents.place(key) for key in keys]
        wanted: defaultdict[int, list[int]] = defaultdict(list)  # each segment is opened once, whatever the order
        for row, (number, _) in enumerate(places):
            wanted[number].append(row)
        width = contents.segments[0].width if contents.segments else 0
        means = np.empty((len(keys), width), dtype=np.float32)
        for number, rows in wanted.items():
            videos = read_videos(contents.segments[number], [places[row][1] for row in rows])
            for row, video in zip(rows, videos, strict=True):
                means[row] = time_average(video)
        return means

    def cost_ms(self, fingerprint: str) -> float:
        """Return the time the model took for one video on average, in milliseconds.

        Raises:
            CacheMissError: the candidate has no features.
            CacheError: the folder or a segment can't be read.
        """
        segments = self._held(fingerprint).segments
        if not segments:
            raise CacheMissError(f"the cache has no features of candidate {fingerprint}; run `vqa extract`")
        return 1000 * sum(part.seconds for part in segments) / sum(len(part.keys) for part in segments)

    def writer(
        self,
        record: CandidateRecord,
        *,
        weights_sha256: str,
        versions: Mapping[str, str],
        probe: tuple[float, ...] = (),
        max_videos: int = 64,
        max_seconds: float = 60.0,
    ) -> SegmentWriter:
        """Return a context manager that takes one candidate's features video by video.

        Args:
            record: The candidate.
            weights_sha256: Over the network's parameters.
            versions: Of each library that took part.
            probe: The candidate's features of the probe, float32.
            max_videos: A segment is closed when it has that many videos.
            max_seconds: A segment is closed by the first video that comes that long after its first one.

        Raises:
            CacheError: the cache can't be written to, or holds features of other weights under this fingerprint.
        """
        self.refresh()
        if not FOLDER_NAME.fullmatch(f"candidate-{record.fingerprint}"):
            raise CacheError(f"{record.name}: fingerprint {record.fingerprint!r} can't be part of a folder's name")
        segments = self._held(record.fingerprint).segments
        for segment in segments[:1]:
            found = segment.provenance.weights_sha256
            if found != weights_sha256:
                raise CacheError(
                    f"{record.name}: the weights changed (SHA-256 {weights_sha256[:12]}..., cached features come from "
                    f"{found[:12]}...); fetch those again, or start a new generation: `vqa extract --new-generation`"
                )
        folder = segments[0].path.parent if segments else self.root / folder_name(record)
        width = segments[0].width if segments else None
        provenance = Provenance(record, weights_sha256, versions, probe=probe)
        return SegmentWriter(self.root, folder, provenance, width=width, max_videos=max_videos, max_seconds=max_seconds)

    def _complete(self, fingerprint: str, keys: Sequence[str]) -> Contents:
        """Return a candidate's table, which has all these videos."""
        contents = self._held(fingerprint)
        missing = sum(key not in contents.numbers for key in keys)
        if missing:
            name = contents.segments[0].provenance.record.name if contents.segments else f"candidate {fingerprint}"
            raise CacheMissError(
                f"{missing} of {len(keys)} videos have no features of {name} in the cache; "
                f"run {filling_command([name] if contents.segments else [])}"
            )
        return contents

    def _held(self, fingerprint: str) -> Contents:
        """Return what a candidate's folders hold; the one place that looks for segments and opens them."""
        if fingerprint not in self._contents:
            folders = candidate_folders(self.root).get(fingerprint, [])
            self._contents[fingerprint] = read_contents(fingerprint, folders, self._segments)
        return self._contents[fingerprint]


def filling_command(names: Sequence[str]) -> str:
    """Return what to run for features of candidates that the cache lacks."""
    extracted = [name for name in names if not is_imported(name)]
    if names and not extracted:
        return "`vqa cache import` with a table that has them"
    models = "".join(f" --models {shlex.quote(name)}" for name in extracted)
    return f"`vqa extract{models}`" + ("" if len(extracted) == len(names) else " and `vqa cache import`")


def time_average(features: Features) -> NDArray[np.float32]:
    """Return the mean of a video's features over time, shape (D,), the same for training and for scoring."""
    mean: NDArray[np.float64] = features.values.mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def folder_name(record: CandidateRecord) -> str:
    """Return the name of a candidate's folder: readable, safe on every file system, told apart by the fingerprint."""
    readable = re.sub(r"[^A-Za-z0-9._@+-]+", "_", record.name)[:80].strip("._-")
    return f"{readable or 'candidate'}-{record.fingerprint}"


def _summary(contents: Contents) -> StoredCandidate:
    oldest = contents.segments[0]
    return StoredCandidate(
        record=oldest.provenance.record,
        folder=oldest.path.parent,
        videos=len(contents.numbers),
        segments=len(contents.segments),
        bytes=sum(segment.bytes for segment in contents.segments),
        width=oldest.width,
        seconds=sum(segment.seconds for segment in contents.segments),
        weights_sha256=oldest.provenance.weights_sha256,
        created=utc_time(min(int(segment.created_ns.min()) for segment in contents.segments)),
        probe=oldest.provenance.probe,
        versions=oldest.provenance.versions,
        sources=tuple(part.provenance.source for part in contents.segments if part.provenance.source is not None),
    )
