"""Scores along several videos, and the reasons for several scores; a video that fails costs a line of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vqa.errors import VideoError, VqaError
from vqa.files import check_writable, write_text
from vqa.pipeline.explaining import Explanation
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.scorer import Scorer
from vqa.pipeline.scores import BundleInfo
from vqa.pipeline.scoring import format_of
from vqa.pipeline.timeline_files import timelines_page, timelines_text
from vqa.pipeline.timelines import DEFAULT_STEP_SECONDS, DEFAULT_WINDOW_SECONDS, ScoreTimeline
from vqa.pipeline.versions import library_versions
from vqa.report.page import render_page


@dataclass(frozen=True)
class TimelineReport:
    """What `score_timelines` did."""

    timelines: tuple[ScoreTimeline, ...]
    failures: Mapping[str, str]
    """Videos without a timeline, each with the reason."""
    files: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether every window of every video has a score."""
        return not self.failures and all(each.complete for each in self.timelines)


@dataclass(frozen=True)
class ExplanationReport:
    """What `explain_videos` did."""

    explanations: tuple[Explanation, ...]
    failures: Mapping[str, str]
    """Videos without a score, each with the reason."""
    files: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether every video has a score."""
        return not self.failures


def score_timelines(
    scorer: Scorer,
    videos: Sequence[str],
    output: Path | None = None,
    *,
    output_format: str | None = None,
    plot: Path | None = None,
    window_seconds: float = DEFAULT_WINDOW_SECONDS,
    step_seconds: float = DEFAULT_STEP_SECONDS,
    progress: Progress = SILENT,
) -> TimelineReport:
    """Score windows along videos.

    Args:
        scorer: Scores them.
        videos: The files.
        output: A file for all windows, written anew after each video; an older one is replaced.
        output_format: `csv`, `json` or `jsonl`; by default as the file's suffix says.
        plot: An .html file for a page with a plot of each; an older one is replaced.
        window_seconds: Length of each window.
        step_seconds: From the beginning of one window to that of the next.
        progress: Told how far each video is.

    Raises:
        BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        VqaError: windows of these lengths can't be made, a format is not known, or a file can't be written.
    """
    kind = "" if output is None else format_of(output, None if output_format == "table" else output_format)
    _check_targets(scorer, videos, (output, ()), (plot, (".html", ".htm")))
    timelines: list[ScoreTimeline] = []
    failures: dict[str, str] = {}
    for video in videos:
        try:
            timelines.append(
                scorer.timeline(video, window_seconds=window_seconds, step_seconds=step_seconds, progress=progress)
            )
        except VideoError as error:
            failures[video] = _without_name(error, video)
        if output is not None:
            write_text(output, timelines_text(timelines, failures, scorer.info, kind))
    if plot is not None:
        write_text(plot, render_page(timelines_page(timelines, scorer.info)))
    return TimelineReport(tuple(timelines), failures, tuple(file for file in (output, plot) if file is not None))


def explain_videos(
    scorer: Scorer, videos: Sequence[str], output: Path | None = None, *, progress: Progress = SILENT
) -> ExplanationReport:
    """Say why videos have their scores.

    Args:
        scorer: Scores them.
        videos: The files.
        output: A .json file for all of it, written anew after each video; an older one is replaced.
        progress: Told how far the run is.

    Raises:
        BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        VqaError: the bundle has too many backbones, or the file can't be written.
    """
    _check_targets(scorer, videos, (output, (".json",)))
    explanations: list[Explanation] = []
    failures: dict[str, str] = {}
    for done, video in enumerate(videos, start=1):
        try:
            explanations.append(scorer.explain(video))
        except VideoError as error:
            failures[video] = _without_name(error, video)
        progress.update("explaining", done, len(videos))
        if output is not None:
            write_text(output, explanations_text(explanations, failures, scorer.info))
    return ExplanationReport(tuple(explanations), failures, () if output is None else (output,))


def explanations_text(explanations: Sequence[Explanation], failures: Mapping[str, str], bundle: BundleInfo) -> str:
    """Return why videos have their scores as one JSON document."""
    document = {
        "bundle": asdict(bundle),
        "versions": dict(library_versions()),
        "explanations": [asdict(each) for each in explanations],
        "failures": dict(failures),
    }
    return json.dumps(document, indent=2) + "\n"


def _without_name(error: VideoError, video: str) -> str:
    """Return why a video failed; its name, which may stand before the reason, stands beside it."""
    return str(error).removeprefix(f"{video}: ")


def _check_targets(scorer: Scorer, videos: Sequence[str], *targets: tuple[Path | None, tuple[str, ...]]) -> None:
    """Refuse files to write that would take the place of a video or of the bundle, before anything is computed.

    Args:
        scorer: Whose bundle.
        videos: What is to be scored.
        targets: Files, each with the suffixes that it may have; any where there are none.

    Raises:
        VqaError: names the file.
    """
    inputs = {os.path.realpath(name) for name in (*videos, scorer.info.file)}
    given = [(target, suffixes) for target, suffixes in targets if target is not None]
    for target, suffixes in given:
        if suffixes and target.suffix.lower() not in suffixes:
            raise VqaError(f"{target}: can't be written there; end its name in {' or '.join(suffixes)}")
        if os.path.realpath(target) in inputs:
            raise VqaError(f"{target}: is a video or the bundle, and would be lost; name another file to write")
        check_writable(target)
    if len({os.path.realpath(target) for target, _ in given}) < len(given):
        raise VqaError(f"{given[0][0]}: is named twice; name two files")
