"""A trained bundle, ready to score: the one way from videos to scores, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from vqa.errors import VideoError
from vqa.extract.decoding import Frames
from vqa.extract.duration import Extent, read_extent
from vqa.extract.model import choose_devices
from vqa.extract.worker_server import start_worker_server
from vqa.files import sha256_of
from vqa.pipeline.backbones import Backbones
from vqa.pipeline.effort import engine_options
from vqa.pipeline.explaining import Explanation, explain_video
from vqa.pipeline.gathering import LoadedBundle
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.reuse import FeatureCache
from vqa.pipeline.score_run import ScoreRun
from vqa.pipeline.scores import BundleInfo, ScoreReport, VideoScore, describe_bundle
from vqa.pipeline.sources import Pixels, Source, Video, held_here, open_source, pair
from vqa.pipeline.timelines import DEFAULT_STEP_SECONDS, DEFAULT_WINDOW_SECONDS, ScoreTimeline, score_windows
from vqa.pipeline.trusting import check_told
from vqa.pipeline.versions import library_versions
from vqa.settings import ExtractSettings
from vqa.train.bundle import load_bundle
from vqa.urls import Place, place_of

_DEFAULTS = ExtractSettings()


def ignore_score(score: VideoScore) -> None:
    """Do nothing with a score."""


class Scorer:
    """A trained bundle, ready to score videos; made by `Scorer.load`.

    Scores lie on the scale of the labels that the bundle was trained on, see `info`. Backbones are loaded when a video
    first needs them, and stay loaded.
    """

    def __init__(self, loaded: LoadedBundle, info: BundleInfo) -> None:
        self.info = info
        """What the bundle says of itself."""
        self._loaded = loaded

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        cache: str | Place | None = None,
        adding: bool = True,
        settings: ExtractSettings = _DEFAULTS,
    ) -> Self:
        """Read a bundle.

        Args:
            path: The file that training wrote.
            cache: A cache folder, a path or a URL, whose features of a video are used.
            adding: Whether features that the cache lacks are added to it.
            settings: Device, batch, workers and limits; models, frames and precision are the bundle's.

        Raises:
            BundleError: the file is no bundle, or a damaged one.
            CacheError: the cache can't be read, or is to be added to and holds other numbers of a backbone.
            VqaError: the device can't be used.
        """
        file = Path(path)
        bundle = load_bundle(file)
        check_told(bundle)
        devices = choose_devices(settings.device)
        features = None if cache is None else FeatureCache(place_of(cache), bundle, adding=adding)
        loaded = LoadedBundle(bundle, Backbones(bundle, devices[0]), engine_options(settings, devices), features)
        return cls(loaded, describe_bundle(bundle, str(path), sha256_of(file)))

    def score(self, video: str | Path | Pixels, pts_seconds: ArrayLike | None = None) -> VideoScore:
        """Score one video.

        Args:
            video: A file; or decoded frames, uint8 of shape (T, H, W, 3), R'G'B' with the full range 0 to 255, upright.
            pts_seconds: Of decoded frames, when each is shown: shape (T,), ascending, in seconds.

        Returns:
            The score on the scale of the training labels, with its interval and its percentile.

        Raises:
            VideoError: the video can't be scored; the message says why.
            BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        """
        row = self.score_many([pair(video, pts_seconds)])[0]
        if row.score is None:
            raise VideoError(f"{row.video}: {row.reason}")
        return row

    def score_many(
        self,
        videos: Iterable[Video],
        *,
        on_score: Callable[[VideoScore], None] = ignore_score,
        progress: Progress = SILENT,
    ) -> ScoreReport:
        """Score videos, several at a time; one that can't be scored costs its own row and nothing else.

        Args:
            videos: Files, or pairs of decoded frames (T, H, W, 3), uint8, and their times (T,) in seconds.
            on_score: Told of each as soon as it is there, in whatever order they come.
            progress: Told how far the run is.

        Returns:
            A row for each video, in the order given.

        Raises:
            BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        """
        if isinstance(videos, str | Path | np.ndarray):
            raise VideoError("score_many takes a list of videos; put this one into a list, or use score")
        given = list(videos)
        rows = ScoreRun(self._loaded, given, on_score, progress).rows()
        return ScoreReport(rows, self.info, dict(library_versions()))

    def timeline(
        self,
        video: str | Path | Pixels,
        pts_seconds: ArrayLike | None = None,
        *,
        window_seconds: float = DEFAULT_WINDOW_SECONDS,
        step_seconds: float = DEFAULT_STEP_SECONDS,
        progress: Progress = SILENT,
    ) -> ScoreTimeline:
        """Score windows along a video, each as if it were a video of its own; memory does not grow with its length.

        Args:
            video: A file, or decoded frames as of `score`.
            pts_seconds: Times of decoded frames, as of `score`.
            window_seconds: Length of each window.
            step_seconds: From the beginning of one window to that of the next.
            progress: Told how far the run is.

        Raises:
            VideoError: the video can't be read.
            VqaError: windows of these lengths can't be made.
            BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        """
        start_worker_server()
        with held_here(open_source(pair(video, pts_seconds))) as source:
            extent = self._extent(source)
            return score_windows(
                self._loaded, source, extent, window=window_seconds, step=step_seconds, progress=progress
            )

    def explain(self, video: str | Path | Pixels, pts_seconds: ArrayLike | None = None) -> Explanation:
        """Say how much each backbone and each moment of a video moved its score.

        Args:
            video: A file, or decoded frames as of `score`.
            pts_seconds: Times of decoded frames, as of `score`.

        Raises:
            VideoError: the video can't be scored.
            VqaError: the bundle has too many backbones.
            BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        """
        return explain_video(self._loaded, open_source(pair(video, pts_seconds), self._loaded.cache))

    def _extent(self, source: Source) -> Extent:
        """Return how long a video lasts, and whether its decoder may jump."""
        if isinstance(source.content, Frames):
            return Extent(source.content.end_seconds, jumps=True)
        assert isinstance(source.content, Path), "it was brought here"
        options = self._loaded.options
        try:
            return read_extent(
                source.content,
                max_pixels=options.max_pixels,
                max_seconds=options.max_duration_seconds,
                memory_bytes=options.worker_bytes,
                patience=options.video_seconds,
            )
        except VideoError as error:
            raise VideoError(f"{source.name}: {error}") from error
