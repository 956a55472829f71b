"""Score videos with a bundle, as the command line does: many, into a file, and on from where a run was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vqa.errors import VqaError
from vqa.pipeline.effort import settings_of
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.score_files import FORMATS, ScoreFile
from vqa.pipeline.scorer import Scorer, ignore_score
from vqa.pipeline.scores import ScoreReport, VideoScore
from vqa.pipeline.versions import library_versions
from vqa.urls import Place
from vqa.workspace import FILE_NAME, open_workspace

OnScore = Callable[[VideoScore], None]


def load_scorer(
    model: str | Path | None = None,
    *,
    folder: Path = Path(),
    cache: str | Place | None = None,
    cached: bool = True,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> Scorer:
    """Return a scorer as a workspace has it.

    Args:
        model: A bundle; by default the workspace's.
        folder: A workspace, for its bundle, its cache and what a run may take; need not be one where `model` is given.
        cache: A cache folder, a path or a URL, whose features are used and added to. Without it those in
            the workspace's cache are used, for files that it remembers, and nothing is added.
        cached: Whether features in the workspace's cache are used.
        overrides: Settings of this run that differ from `[extract]`, by the names of `ExtractSettings`; models, frames
            and precision are the bundle's.
        progress: Told what a user should know of the bundle, as `info.note` says it.

    Raises:
        BundleError: the bundle can't be read.
        CacheError: the cache can't be used.
        WorkspaceError: the workspace's vqa.toml can't be read.
    """
    settings = settings_of(folder, overrides)
    workspace = open_workspace(folder) if (folder / FILE_NAME).is_file() else None
    if model is None:
        model = folder / "scorer.vqa" if workspace is None else workspace.bundle_file
    if cache is None and cached and workspace is not None:
        scorer = Scorer.load(model, cache=workspace.cache_dir, adding=False, settings=settings)
    else:
        scorer = Scorer.load(model, cache=cache, settings=settings)
    if scorer.info.note:
        progress.note(scorer.info.note)
    return scorer


def score_videos(
    videos: Sequence[str | Path],
    model: str | Path | None = None,
    *,
    folder: Path = Path(),
    cache: str | Place | None = None,
    output: Path | None = None,
    output_format: str | None = None,
    retry_failed: bool = False,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    on_score: OnScore | None = None,
    progress: Progress = SILENT,
) -> ScoreReport:
    """Score videos with a trained bundle.

    Args:
        videos: The files.
        model: A bundle that `train_regressor` wrote; by default the workspace's.
        folder: As of `load_scorer`.
        cache: As of `load_scorer`.
        output: A file of scores that is written while they come. What it holds of an earlier run with the same bundle
            is not scored again, unless the video's file has changed.
        output_format: `csv`, `json` or `jsonl`; by default as the file's suffix says.
        retry_failed: Score videos again that failed, as the output file says.
        overrides: As of `load_scorer`.
        on_score: Told of each row as soon as it is there, in whatever order they come.
        progress: Told how far the run is.

    Returns:
        A row for each video, in the order given.

    Raises:
        BundleError: the bundle can't be read, or this installation gives other features than it was trained on.
        ProbeError: a backbone's features are not finite.
        WeightsError: a backbone's weights can't be had.
        VqaError: the output file holds something else.
    """
    scorer = load_scorer(model, folder=folder, cache=cache, overrides=overrides, progress=progress)
    return score_into(
        scorer,
        videos,
        output,
        output_format=output_format,
        retry_failed=retry_failed,
        on_score=on_score,
        progress=progress,
    )


def score_into(
    scorer: Scorer,
    videos: Sequence[str | Path],
    output: Path | None,
    *,
    output_format: str | None = None,
    retry_failed: bool = False,
    on_score: OnScore | None = None,
    progress: Progress = SILENT,
) -> ScoreReport:
    """Do what `score_videos` does with a scorer that is loaded; arguments and errors as there."""
    names = list(dict.fromkeys(map(str, videos)))
    tell = on_score or ignore_score
    if output is None:
        return _in_order(scorer.score_many(names, on_score=tell, progress=progress), names, {})
    kind = format_of(output, output_format)
    with ScoreFile(output, kind, scorer.info, library_versions()) as file:
        known = {name: found for name in names if (found := file.known(name, retry_failed=retry_failed)) is not None}

        def take(row: VideoScore) -> None:
            file.add(row)
            tell(row)

        for row in known.values():
            tell(row)
        report = scorer.score_many([name for name in names if name not in known], on_score=take, progress=progress)
        file.finish(names)
    return _in_order(report, names, known)


def _in_order(report: ScoreReport, names: Sequence[str], known: Mapping[str, VideoScore]) -> ScoreReport:
    """Return a report with the rows of before in their places."""
    rows = {**known, **{row.video: row for row in report.scores}}
    return replace(report, scores=tuple(rows[name] for name in names), resumed=len(known))


def format_of(output: Path, given: str | None) -> str:
    """Return the format of an output file: the one given, else as its suffix says.

    Raises:
        VqaError: neither says one.
    """
    found = given or output.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise VqaError(f"{output}: its suffix says no format; end it in .csv, .json or .jsonl, or give --format")
    return found
