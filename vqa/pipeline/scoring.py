"""Score: a bundle and a video file give a number, through the same functions that made the training features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa.cache.store import time_average
from vqa.errors import BundleError, VideoError, WeightsError
from vqa.extract.backends import find_backend, weights_sha256
from vqa.extract.engine import Job, run_jobs
from vqa.extract.model import Model, choose_devices, load_network
from vqa.extract.probe import beyond_rounding, probe_features
from vqa.extract.spec import Candidate, ModelSpec, plan_candidate
from vqa.pipeline.candidates import prepare_network
from vqa.pipeline.effort import engine_options, settings_of
from vqa.pipeline.generations import NEW_GENERATION, tell_distance, tell_versions
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.trusting import check_told
from vqa.records import VideoFeatures, is_imported
from vqa.train.bundle import Bundle, load_bundle


@dataclass(frozen=True)
class VideoScore:
    """One video's score, or why it has none."""

    video: Path
    score: float | None
    """On the training labels' scale."""
    low: float | None
    high: float | None
    """Ends of the interval in which the MOS of 9 of 10 videos like the training ones lies; None where it is unknown."""
    reason: str
    """Empty where there is a score."""


@dataclass(frozen=True)
class ScoreReport:
    """Scores, and what they mean."""

    scores: tuple[VideoScore, ...]
    scale: tuple[float, float]
    """Worst and best of the training labels' scale."""
    mos_range: tuple[float, float]
    """Lowest and highest label the scorer was trained on; beyond it scores are extrapolated."""
    labels: str
    """What the labels are, where they are not people's opinion."""
    videos: int
    """Videos it was trained on."""
    models: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every video has a score."""
        return all(row.score is not None for row in self.scores)


def score_videos(
    videos: Sequence[Path],
    model: Path,
    *,
    folder: Path = Path(),
    overrides: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> ScoreReport:
    """Score videos with a trained bundle.

    Args:
        videos: The files.
        model: A bundle that `train_regressor` wrote.
        folder: A workspace, for what a run may take; need not be one.
        overrides: Settings of this run that differ from its `[extract]`, by the names of `ExtractSettings`; models,
            frames and precision are the bundle's.
        progress: Told how far the run is.

    Raises:
        BundleError: the bundle can't be read, or this installation gives other features than it was trained on.
        ProbeError: a backbone's features are not finite.
        WeightsError: a backbone's weights can't be had.
    """
    settings = settings_of(folder, overrides)
    devices = choose_devices(settings.device)
    bundle = load_bundle(model)
    check_told(bundle)
    models = _load_models(bundle, devices[0])
    jobs = [Job(str(index), path, "", tuple(range(len(models)))) for index, path in enumerate(videos)]
    collector = _Collector(progress, len(jobs))
    run_jobs(jobs, models, collector, engine_options(settings, devices))
    header = bundle.header
    return ScoreReport(
        scores=tuple(collector.score(bundle, models, str(index), path) for index, path in enumerate(videos)),
        scale=_pair(header["scale"]),
        mos_range=_pair(header["mos_range"]),
        labels=str(header["labels"]),
        videos=int(header["videos"]),
        models=tuple(entry["name"] for entry in header["models"]),
    )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _load_models(bundle: Bundle, device: torch.device) -> list[Model]:
    """Load the bundle's backbones; one whose fingerprint or weights differ is refused, never guessed at."""
    imported = [name for name in bundle.names if is_imported(name)]
    if imported:
        raise BundleError(
            f"{', '.join(imported)}: imported features can't be computed for a new video; "
            "select candidates that were extracted, and train again"
        )
    models = []
    for entry in bundle.header["models"]:
        details = entry["details"]
        spec = ModelSpec(**details["spec"])
        plan = find_backend(spec.backend).describe(spec)
        candidate = plan_candidate(spec, plan, details["precision"])
        candidate = replace(candidate, generation=details.get("generation", 0))
        if candidate.fingerprint != entry["fingerprint"]:
            raise BundleError(
                f"{spec}: this installation would compute other features (fingerprint {candidate.fingerprint}, the "
                f"bundle has {entry['fingerprint']}); train again, or use the versions named in the bundle"
            )
        network = load_network(candidate)
        digest = weights_sha256(network)
        if digest != entry["weights_sha256"]:
            raise WeightsError(
                f"{spec}: its weights (SHA-256 {digest[:12]}...) are not those the bundle was trained "
                f"with ({entry['weights_sha256'][:12]}...); fetch those, or train again"
            )
        prepare_network(network, candidate, device)
        _check_probe(bundle, entry, candidate, probe_features(candidate, network, device))
        models.append(Model(candidate, network, digest))
    return models


def _check_probe(bundle: Bundle, entry: Mapping[str, Any], candidate: Candidate, found: NDArray[np.float32]) -> None:
    """Refuse a backbone whose numbers are no longer those the bundle was trained on."""
    before = bundle.extras.get(entry["name"])
    distance = None if before is None else beyond_rounding(found, before, precision=candidate.precision)
    if distance is not None:
        raise BundleError(
            f"{candidate}: its numbers changed, features of the probe clip differ from those the bundle was trained on "
            f"{tell_distance(candidate, distance)}; {tell_versions(entry.get('versions', {}))}, "
            f"or start a new generation with {NEW_GENERATION}, and select and train again"
        )


class _Collector:
    """The engine's sink: keeps each video's averaged features until they are scored."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.finished = progress, total, 0
        self.means: dict[tuple[str, int], np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
        self.reasons: dict[str, str] = {}

    def decoded(self, job: Job, frames: int, seconds: float) -> None:
        self._advance()

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        self.means[job.video, model] = time_average(features)

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        self.reasons[job.video] = str(error)
        if model is None:
            self._advance()

    def _advance(self) -> None:
        self.finished += 1
        self.progress.update("scoring", self.finished, self.total)

    def score(self, bundle: Bundle, models: Sequence[Model], video: str, path: Path) -> VideoScore:
        if video in self.reasons:
            return VideoScore(path, None, None, None, self.reasons[video])
        blocks = {str(model.candidate): self.means[video, index][None] for index, model in enumerate(models)}
        said = bundle.predict(blocks)
        low, high = (None if np.isnan(end[0]) else float(end[0]) for end in (said.low, said.high))
        return VideoScore(path, float(said.scores[0]), low, high, "")
