"""Extract: every missing (video, candidate) pair, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vqa.cache.store import FeatureStore
from vqa.dataset import VideoRow
from vqa.errors import WeightsError
from vqa.extract.engine import run_jobs
from vqa.extract.model import choose_devices
from vqa.extract.pools import expand_models
from vqa.extract.spec import ModelSpec
from vqa.pipeline.candidates import CandidateLoader
from vqa.pipeline.cluster.connecting import RayOptions
from vqa.pipeline.cluster.extracting import Task, extract_on_cluster
from vqa.pipeline.effort import engine_options
from vqa.pipeline.features import other_rules
from vqa.pipeline.generations import settle_generations
from vqa.pipeline.opening import open_dataset, require_videos
from vqa.pipeline.outcome import CandidateWork, Outcome
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.recording import Recorder, failed_videos
from vqa.records import Failure
from vqa.urls import Place
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
    outdated: int = 0
    """Candidates in the cache with features of other decoding rules than this version's, which no command uses."""
    outdated_megabytes: float = 0.0

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
    cluster: RayOptions | None = None,
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
        cluster: Compute them on the nodes of a Ray cluster; they see the workspace's cache and videos under the same
            paths. None for this machine alone.
        progress: Told how far the run is.

    Raises:
        UnknownModelError: a name that does not exist; nothing was run.
        ProbeError: a model's numbers are no longer those in the cache; nothing was run.
        WeightsError: not one of the models could be loaded.
        WorkspaceError, LabelsError, CacheError: the workspace, labels or cache can't be used.
        VqaError: the cluster can't be used.
    """
    workspace = open_workspace(folder)
    require_videos(workspace)
    settings = replace(workspace.extract, **overrides)
    dataset = open_dataset(workspace)
    specs = expand_models(models, everything=settings.models, frames=settings.frames)
    task = Task(settings, retry_failed, new_generation)
    if cluster is None:
        outcome = _extract_here(workspace.cache_dir, dataset.rows, specs, task, progress=progress)
    else:
        outcome = extract_on_cluster(workspace.cache_dir, dataset.rows, specs, task, cluster, progress=progress)
    return _report(outcome, workspace.cache_dir, dataset.missing)


def _extract_here(
    cache_dir: Place, rows: Sequence[VideoRow], specs: Sequence[ModelSpec], task: Task, *, progress: Progress
) -> Outcome:
    """Extract features on this machine alone."""
    recorder = Recorder(cache_dir, rows, retry_failed=task.retry_failed, progress=progress)
    devices = choose_devices(task.settings.device)
    loader = CandidateLoader(recorder.store, task.settings.precision, devices[0])
    planned = loader.plan(specs)
    recorder.find_keys()
    progress.update("loading models", 0, len(planned))
    for done, candidate in enumerate(planned, start=1):
        recorder.add(candidate, loader, idle=task.new_generation)
        progress.update("loading models", done, len(planned))
    if loader.unavailable and not recorder.entries:
        raise WeightsError(next(iter(loader.unavailable.values())))
    settle_generations(recorder.entries, recorder.store, renew=recorder.renew if task.new_generation else None)
    with recorder.writing() as (jobs, loaded, sink):
        run_jobs(jobs, loaded, sink, engine_options(task.settings, devices))
    return Outcome(
        videos=len(set(recorder.keys.values())),
        decoded=recorder.decoded_videos,
        work=tuple(
            CandidateWork(entry.candidate, entry.stored, entry.cached, entry.seconds) for entry in recorder.entries
        ),
        failures=recorder.failures(),
        unavailable=dict(loader.unavailable),
    )


def _report(outcome: Outcome, cache_dir: Place, missing: tuple[str, ...]) -> ExtractionReport:
    held = FeatureStore(cache_dir).candidates()
    sizes = {stored.record.fingerprint: stored.bytes for stored in held}
    outdated = [stored.bytes for stored in held if other_rules(stored)]
    return ExtractionReport(
        videos=outcome.videos,
        decoded=outcome.decoded,
        candidates=tuple(
            CandidateResult(
                name=str(each.candidate),
                generation=each.candidate.generation,
                precision=each.candidate.precision,
                stored=each.stored,
                cached=each.cached,
                failed=failed_videos(outcome.failures, each.candidate),
                seconds=each.seconds,
                megabytes=sizes.get(each.candidate.fingerprint, 0) / 1e6,
            )
            for each in outcome.work
        ),
        failures=outcome.failures,
        unavailable=outcome.unavailable,
        missing=missing,
        outdated=len(outdated),
        outdated_megabytes=sum(outdated) / 1e6,
    )
