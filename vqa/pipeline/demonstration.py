"""Demo: the whole main job on free clips, with labels that a full-reference metric measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqa.demo.clips import DemoClips, make_demo_clips
from vqa.pipeline.evaluation import EvaluationReport
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.setting_up import init_workspace
from vqa.pipeline.whole_job import RunReport, run_workspace
from vqa.workspace import DatasetSettings


@dataclass(frozen=True)
class ContentOrder:
    """How the scorer ordered the lightest- and heaviest-compressed clip of contents it was not trained on."""

    right: tuple[str, ...]
    """Contents whose lightest version scored above the heaviest, averaged over the splits that held them out."""
    wrong: tuple[str, ...]
    never_tested: tuple[str, ...]
    """Contents that no split held out."""


@dataclass(frozen=True)
class DemoReport:
    """All results of the demonstration."""

    folder: Path
    clips: DemoClips
    results: RunReport
    order: ContentOrder


def label_note(metric: str) -> str:
    """Say what the demonstration's labels are."""
    return f"{metric}, a full-reference metric measured against the undistorted clip; not human opinion"


def run_demo(folder: Path, *, progress: Progress = SILENT) -> DemoReport:
    """Make the sample clips and run the whole main job on them; running it again goes on where it stopped.

    Args:
        folder: The demonstration's workspace; made if missing.
        progress: Told how far each step is.

    Raises:
        VqaError: FFmpeg, a source clip or a model's weights can't be had.
    """
    clips = make_demo_clips(folder, report=progress.update)
    if not (folder / "vqa.toml").is_file():
        settings = DatasetSettings(
            videos=str(clips.clips_dir),
            labels=str(clips.labels_file),
            scale=clips.scale,
            note=label_note(clips.metric),
        )
        init_workspace(folder, settings)
    results = run_workspace(folder, progress=progress)
    return DemoReport(folder, clips, results, order_of_contents(results.evaluation, clips))


def order_of_contents(evaluation: EvaluationReport, clips: DemoClips) -> ContentOrder:
    """Compare the two extreme versions of each content, by predictions of splits that held the content out."""
    predictions: dict[str, list[float]] = {}
    for split in evaluation.splits:
        for video, predicted in zip(split.test_ids, split.predicted.tolist(), strict=True):
            predictions.setdefault(video, []).append(predicted)
    right, wrong, never = [], [], []
    for content in clips.contents:
        light, heavy = (predictions.get(versions[content]) for versions in (clips.lightest, clips.heaviest))
        if not light or not heavy:
            never.append(content)
        elif np.mean(light) > np.mean(heavy):
            right.append(content)
        else:
            wrong.append(content)
    return ContentOrder(tuple(right), tuple(wrong), tuple(never))
