"""The whole job on one workspace: extract, select, train, evaluate, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vqa.pipeline.evaluation import EvaluationReport, evaluate_workspace
from vqa.pipeline.extraction import ExtractionReport, extract_features
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.ranking import Selection, rank_models
from vqa.pipeline.reporting import PageReport, build_report
from vqa.pipeline.training import TrainingReport, train_regressor
from vqa.workspace import open_workspace


@dataclass(frozen=True)
class RunReport:
    """What `run_workspace` did, step by step."""

    extraction: ExtractionReport | None
    """None for a workspace of imported features only."""
    selection: Selection
    training: TrainingReport
    evaluation: EvaluationReport
    page: PageReport

    @property
    def complete(self) -> bool:
        """Whether no video or model failed, now or earlier."""
        return (self.extraction is None or self.extraction.complete) and not self.selection.failures


def run_workspace(
    folder: str | Path,
    models: Sequence[str] = ("all",),
    *,
    top_k: int | None = None,
    splits: int | None = None,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> RunReport:
    """Do all that is to be done with a workspace; what is in its cache is not computed again.

    Args:
        folder: The workspace.
        models: What to extract, as of `extract_features`.
        top_k: How many candidates to select; by default what `vqa.toml` says.
        splits: How many to evaluate on; by default what `vqa.toml` says.
        overrides: Settings of the extraction that differ from `[extract]` in `vqa.toml`.
        progress: Told how far each step is.

    Raises:
        VqaError: a step can't be done; what the steps before it wrote stays.
    """
    extraction = None
    if open_workspace(folder).dataset.videos:
        extraction = extract_features(folder, models, overrides=overrides, progress=progress)
    unavailable = {} if extraction is None else extraction.unavailable
    for name, reason in unavailable.items():  # now, for a later step may fail for want of them
        progress.note(f"not run: {name}: {reason}")
    progress.update("selecting", 0, 1)
    selection = rank_models(folder, top_k=top_k)
    progress.update("selecting", 1, 1)
    training = train_regressor(folder, cached=True, progress=progress)
    evaluation = evaluate_workspace(folder, splits=splits, top_k=top_k, progress=progress)
    page = build_report(folder, unavailable=unavailable, progress=progress)
    return RunReport(extraction, selection, training, evaluation, page)
