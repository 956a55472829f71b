"""One run over videos that are to be scored: from the cache where it has all, by the networks where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.cache.store import time_average
from vqa.errors import VideoError
from vqa.extract.worker_server import start_worker_server
from vqa.pipeline.gathering import Gathered, LoadedBundle, Wanted, gather
from vqa.pipeline.progress import Progress
from vqa.pipeline.scores import VideoScore, percentile
from vqa.pipeline.sources import Source, Video, name_of, open_source
from vqa.records import Reading


class ScoreRun:
    """Scores some videos: those whose features lie in the cache at once, the others as they are computed.

    Args:
        loaded: The bundle.
        given: The videos.
        on_score: Told of each row as soon as it is there.
        progress: Told how far the run is.
    """

    def __init__(
        self, loaded: LoadedBundle, given: Sequence[Video], on_score: Callable[[VideoScore], None], progress: Progress
    ) -> None:
        self._loaded, self._given = loaded, given
        self._on_score, self._progress = on_score, progress
        self._rows: dict[int, VideoScore] = {}
        self._sources: dict[int, Source] = {}
        self._means: dict[int, dict[int, NDArray[np.float32]]] = {}

    def rows(self) -> tuple[VideoScore, ...]:
        """Do it."""
        self._open_sources()
        numbers: dict[str, list[int]] = {}
        for number, source in self._sources.items():
            numbers.setdefault(source.key or f"no key {number}", []).append(number)
        self._read_cache({key: same for key, same in numbers.items() if self._sources[same[0]].key})
        wanted = []
        for number in (same[0] for same in numbers.values()):
            source, held = self._sources[number], self._means.setdefault(number, {})
            lacking = tuple(place for place in self._loaded.places if place not in held)
            if lacking:
                wanted.append(Wanted(str(number), source.content, lacking, source.key, source.stamp))
        if wanted:
            start_worker_server()  # its libraries load while the weights do
            gather(self._loaded, wanted, time_average, self._take)
        for first, *copies in numbers.values():
            for number in copies:
                if number not in self._rows:  # the same bytes under another name
                    self._tell(number, replace(self._rows[first], **self._names(number)))
        return tuple(self._rows[number] for number in range(len(self._given)))

    def _open_sources(self) -> None:
        """Look at all videos; with a cache to add to, their bytes are read for their keys."""
        for number, video in enumerate(self._given):
            try:
                self._sources[number] = open_source(video, self._loaded.cache)
            except VideoError as error:
                self._fail(number, Gathered(reason=str(error), stage="open"), None)
            self._progress.update("reading files", number + 1, len(self._given))
        if self._loaded.cache is not None:
            self._loaded.cache.remember_keys()

    def _names(self, number: int) -> dict[str, Any]:
        """Return what tells one video's file from others."""
        source = self._sources.get(number)
        stamp = None if source is None else source.stamp
        return {
            "video": name_of(self._given[number]),
            "size": None if stamp is None else stamp.size,
            "modified_ns": None if stamp is None else stamp.mtime_ns,
            "changed_ns": (None if stamp is None else stamp.changed_ns) or None,
        }

    def _read_cache(self, numbers: Mapping[str, Sequence[int]]) -> None:
        """Take what the cache has, and score the videos of which it has all."""
        if self._loaded.cache is None:
            return
        for key, means in self._loaded.cache.means(list(numbers)):
            for number in numbers[key]:
                self._means[number] = dict(means)
                if len(means) == len(self._loaded.places):
                    self._score(number, cached=len(means), seconds=0.0, reading=None)

    def _take(self, number: str, gathered: Gathered[NDArray[np.float32]]) -> None:
        place = int(number)
        if gathered.reason:
            self._fail(place, gathered, gathered.seconds)
            return
        cached = len(self._means[place])
        self._means[place] |= gathered.values
        self._score(place, cached=cached, seconds=gathered.seconds, reading=gathered.reading)

    def _score(self, number: int, *, cached: int, seconds: float, reading: Reading | None) -> None:
        said = self._loaded.predict({place: mean[None] for place, mean in self._means[number].items()})
        self._means[number] = dict.fromkeys(self._means[number], np.empty(0, np.float32))  # no longer needed
        low, high = (None if np.isnan(end[0]) else float(end[0]) for end in (said.low, said.high))
        score = float(said.scores[0])
        self._tell(
            number,
            VideoScore(
                **self._names(number),
                score=score,
                low=low,
                high=high,
                percentile=percentile(self._loaded.bundle, score),
                scale=self._loaded.scale,
                seconds=seconds,
                cached=cached,
                reason="",
                reading=reading,
                note="" if reading is None else reading.note,
            ),
        )

    def _fail(self, number: int, gathered: Gathered[NDArray[np.float32]], seconds: float | None) -> None:
        reading = gathered.reading
        self._tell(
            number,
            VideoScore(
                **self._names(number),
                score=None,
                low=None,
                high=None,
                percentile=None,
                scale=self._loaded.scale,
                seconds=seconds,
                cached=0,
                reason=gathered.reason,
                reading=reading,
                note="" if reading is None else reading.note,
                stage=gathered.stage,
            ),
        )

    def _tell(self, number: int, row: VideoScore) -> None:
        self._rows[number] = row
        self._on_score(row)
        self._progress.update("scoring", len(self._rows), len(self._given))
