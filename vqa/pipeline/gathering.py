"""Runs a bundle's backbones over videos and gathers, video by video, what they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.decoding import Frames, Stamp
from vqa.extract.engine import run_jobs
from vqa.extract.items import Span
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.options import EngineOptions
from vqa.pipeline.backbones import Backbones
from vqa.pipeline.reuse import FeatureCache
from vqa.records import Reading, VideoFeatures
from vqa.train.bundle import Bundle
from vqa.train.fitted import Predictions
from vqa.urls import Place

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A checked bundle, and what computing features for it takes."""

    bundle: Bundle
    backbones: Backbones
    options: EngineOptions
    cache: FeatureCache | None

    @property
    def places(self) -> tuple[int, ...]:
        """Of all its backbones."""
        return tuple(range(len(self.backbones)))

    @property
    def scale(self) -> tuple[float, float]:
        """Worst and best of the training labels' scale."""
        low, high = self.bundle.header["scale"]
        return float(low), float(high)

    def predict(self, means: Mapping[int, NDArray[np.float32]]) -> Predictions:
        """Return the scores of videos.

        Args:
            means: For each place, time-averaged features of shape (N, D).

        Raises:
            BundleError: a score is not finite.
        """
        return self.bundle.predict({self.bundle.names[place]: block for place, block in means.items()})


@dataclass(frozen=True, eq=False)
class Wanted:
    """A video, or a part of one, and the backbones whose features are wanted."""

    name: str
    source: Place | Frames
    places: tuple[int, ...]
    """Of the backbones in the bundle."""
    key: str = ""
    """Of the video, where features are to be added to a cache."""
    stamp: Stamp | None = None
    spans: tuple[Span, ...] = ()


@dataclass(eq=False)
class Gathered(Generic[T]):
    """What became of one."""

    values: dict[int, T] = field(default_factory=dict)
    """By the place of the backbone."""
    seconds: float = 0.0
    """Of decoding and of the networks."""
    reason: str = ""
    """Why a backbone has no features; empty where all have."""
    stage: str = ""
    """Where that was found, as in the ledger."""
    reading: Reading | None = None
    """How the file was read, as far as it was."""


class _Collector(Generic[T]):
    """The engine's sink: hands each video on when all its backbones have spoken."""

    def __init__(
        self,
        places: Sequence[int],
        reduce: Callable[[VideoFeatures], T],
        done: Callable[[str, Gathered[T]], None],
        cache: FeatureCache | None,
    ) -> None:
        self._places, self._reduce, self._done, self._cache = places, reduce, done, cache
        self._open: dict[str, tuple[Gathered[T], set[int]]] = {}

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        """Note that a video was decoded, and how."""
        gathered = self._find(job)[0]
        gathered.seconds += video.seconds
        gathered.reading = video.reading

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """Take what one backbone says."""
        gathered, _ = self._find(job)
        place = self._places[model]
        if self._cache is not None:
            self._cache.put(job.key, place, features, seconds)
        gathered.values[place] = self._reduce(features)
        gathered.seconds += seconds
        self._finish(job, {model})

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """Note why there are no features."""
        gathered = self._find(job)[0]
        gathered.reason, gathered.stage = str(error), stage
        gathered.reading = error.reading or gathered.reading
        self._finish(job, set(job.models) if model is None else {model})

    def _find(self, job: Job) -> tuple[Gathered[T], set[int]]:
        return self._open.setdefault(job.video, (Gathered(), set(job.models)))

    def _finish(self, job: Job, models: set[int]) -> None:
        gathered, left = self._open[job.video]
        left -= models
        if not left:
            del self._open[job.video]
            self._done(job.video, gathered)


def gather(
    loaded: LoadedBundle,
    wanted: Sequence[Wanted],
    reduce: Callable[[VideoFeatures], T],
    done: Callable[[str, Gathered[T]], None],
) -> None:
    """Compute the features that are wanted; only the backbones that somebody wants are loaded.

    Args:
        loaded: Whose backbones; features of videos with a key go to its cache, if it takes any.
        wanted: Under distinct names.
        reduce: What to keep of one backbone's features of one video.
        done: Told of each, by its name, as soon as it is whole or has failed.

    Raises:
        BundleError, WeightsError, ProbeError: a backbone can't be loaded, or is another than in training.
        VqaError: the run can't go on.
    """
    places = sorted({place for one in wanted for place in one.places})
    models = {place: loaded.backbones.load(place) for place in places}
    jobs = [
        Job(one.name, one.source, one.key, tuple(map(places.index, one.places)), one.stamp, one.spans) for one in wanted
    ]
    cache = loaded.cache
    collector = _Collector(places, reduce, done, cache)
    with contextlib.nullcontext() if cache is None else cache.writing(loaded.backbones, models):
        run_jobs(jobs, list(models.values()), collector, loaded.options)
