"""Scores along several videos, and the reasons for several scores; a video that fails costs a line of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vqa.errors import VideoError
from vqa.files import write_text
from vqa.pipeline.explaining import Explanation
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.scorer import Scorer
from vqa.pipeline.scoring import format_of
from vqa.pipeline.timeline_files import timelines_page, timelines_text
from vqa.pipeline.timelines import DEFAULT_STEP_SECONDS, DEFAULT_WINDOW_SECONDS, ScoreTimeline
from vqa.report.page import render_page


@dataclass(frozen=True)
class TimelineReport:
    """What `score_timelines` did."""

    timelines: tuple[ScoreTimeline, ...]
    failures: tuple[str, ...]
    """A line for each video without a timeline."""
    files: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether every window of every video has a score."""
        return not self.failures and all(each.complete for each in self.timelines)


@dataclass(frozen=True)
class ExplanationReport:
    """What `explain_videos` did."""

    explanations: tuple[Explanation, ...]
    failures: tuple[str, ...]
    """A line for each video without a score."""
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
        output: A file for all windows; an older one is replaced.
        output_format: `csv`, `json` or `jsonl`; by default as the file's suffix says.
        plot: A file for an HTML page with a plot of each.
        window_seconds: Length of each window.
        step_seconds: From the beginning of one window to that of the next.
        progress: Told how far each video is.

    Raises:
        BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        VqaError: windows of these lengths can't be made, or a format is not known.
    """
    kind = "" if output is None else format_of(output, None if output_format == "table" else output_format)
    timelines: list[ScoreTimeline] = []
    failures: list[str] = []
    for video in videos:
        try:
            timelines.append(
                scorer.timeline(video, window_seconds=window_seconds, step_seconds=step_seconds, progress=progress)
            )
        except VideoError as error:
            failures.append(str(error))
    files = []
    if output is not None:
        write_text(output, timelines_text(timelines, scorer.info, kind))
        files.append(output)
    if plot is not None:
        write_text(plot, render_page(timelines_page(timelines, scorer.info)))
        files.append(plot)
    return TimelineReport(tuple(timelines), tuple(failures), tuple(files))


def explain_videos(
    scorer: Scorer, videos: Sequence[str], output: Path | None = None, *, progress: Progress = SILENT
) -> ExplanationReport:
    """Say why videos have their scores.

    Args:
        scorer: Scores them.
        videos: The files.
        output: A file for all of it, JSON; an older one is replaced.
        progress: Told how far the run is.

    Raises:
        BundleError, WeightsError, ProbeError: a backbone can't be had as it was in training.
        VqaError: the bundle has too many backbones.
    """
    explanations: list[Explanation] = []
    failures: list[str] = []
    for done, video in enumerate(videos, start=1):
        try:
            explanations.append(scorer.explain(video))
        except VideoError as error:
            failures.append(str(error))
        progress.update("explaining", done, len(videos))
    report = ExplanationReport(tuple(explanations), tuple(failures), () if output is None else (output,))
    if output is not None:
        write_text(output, json.dumps({"bundle": asdict(scorer.info), **asdict(report), "files": []}, indent=2) + "\n")
    return report
