"""Extract: every missing (video, candidate) pair, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vqa.cache.store import FeatureStore
from vqa.errors import WeightsError
from vqa.extract.engine import run_jobs
from vqa.extract.model import choose_devices
from vqa.extract.pools import expand_models
from vqa.pipeline.candidates import CandidateLoader
from vqa.pipeline.effort import engine_options
from vqa.pipeline.generations import settle_generations
from vqa.pipeline.opening import open_dataset, require_videos
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.recording import Recorder, failed_videos
from vqa.records import Failure
from vqa.workspace import open_workspace


@dataclass(frozen=True)
class CandidateResult:
    """What a run did for one candidate."""

    name: str
    generation: int
    """0 for the first."""
    precision: str
    stored: int
    """Videos whose features this run added."""
    cached: int
    """Videos whose features were there before."""
    failed: int
    """Videos without features because they failed, now or earlier."""
    seconds: float
    """Time this run spent in the network."""
    megabytes: float
    """Size of all its segments in the cache."""


@dataclass(frozen=True)
class ExtractionReport:
    """What `extract_features` did."""

    videos: int
    """Distinct videos of the dataset whose file can be read."""
    decoded: int
    """Videos decoded by this run, each once."""
    candidates: tuple[CandidateResult, ...]
    failures: tuple[Failure, ...]
    """Failures of this dataset's videos with these candidates, old and new."""
    unavailable: Mapping[str, str]
    """Candidates that could not be loaded, with the reason."""
    missing: tuple[str, ...]
    """Labelled videos that have no file."""

    @property
    def complete(self) -> bool:
        """Whether every pair asked for is in the cache."""
        return not (self.failures or self.unavailable)


def extract_features(
    folder: str | Path,
    models: Sequence[str] = ("all",),
    *,
    retry_failed: bool = False,
    new_generation: bool = False,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> ExtractionReport:
    """Compute the features that are missing from a workspace's cache; each video is decoded at most once.

    Args:
        folder: The workspace.
        models: `all` (what `vqa.toml` names), pool names, model specs or globs.
        retry_failed: Try pairs again that failed in an earlier run.
        new_generation: Start a new generation of each model whose numbers are no longer those in the cache, and compute
            all its videos anew; the others go on as they are. Without it such a model stops the run.
        overrides: Settings of this run that differ from `[extract]` in `vqa.toml`, by the names of `ExtractSettings`.
        progress: Told how far the run is.

    Raises:
        UnknownModelError: a name that does not exist; nothing was run.
        ProbeError: a model's numbers are no longer those in the cache; nothing was run.
        WeightsError: not one of the models could be loaded.
        WorkspaceError, LabelsError, CacheError: the workspace, labels or cache can't be used.
    """
    workspace = open_workspace(folder)
    require_videos(workspace)
    settings = replace(workspace.extract, **overrides)
    dataset = open_dataset(workspace)
    specs = expand_models(models, everything=settings.models, frames=settings.frames)
    recorder = Recorder(workspace.cache_dir, dataset.rows, retry_failed=retry_failed, progress=progress)
    devices = choose_devices(settings.device)
    loader = CandidateLoader(recorder.store, settings.precision, devices[0])
    planned = loader.plan(specs)
    recorder.find_keys()
    progress.update("loading models", 0, len(planned))
    for done, candidate in enumerate(planned, start=1):
        recorder.add(candidate, loader, idle=new_generation)
        progress.update("loading models", done, len(planned))
    if loader.unavailable and not recorder.entries:
        raise WeightsError(next(iter(loader.unavailable.values())))
    settle_generations(recorder.entries, recorder.store, renew=recorder.renew if new_generation else None)
    options = engine_options(settings, devices)
    with recorder.writing() as (jobs, loaded, sink):
        run_jobs(jobs, loaded, sink, options)
    sizes = {stored.record.fingerprint: stored.bytes for stored in FeatureStore(workspace.cache_dir).candidates()}
    failures = recorder.failures()
    return ExtractionReport(
        videos=len(set(recorder.keys.values())),
        decoded=recorder.decoded_videos,
        candidates=tuple(
            CandidateResult(
                name=str(entry.candidate),
                generation=entry.candidate.generation,
                precision=entry.candidate.precision,
                stored=entry.stored,
                cached=entry.cached,
                failed=failed_videos(failures, entry.candidate),
                seconds=entry.seconds,
                megabytes=sizes.get(entry.candidate.fingerprint, 0) / 1e6,
            )
            for entry in recorder.entries
        ),
        failures=failures,
        unavailable=dict(loader.unavailable),
        missing=dataset.missing,
    )
