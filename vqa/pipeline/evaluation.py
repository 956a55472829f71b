"""Evaluate: repeated splits by content, selection and training anew inside each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqa.files import write_text
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.ranking import rank_table, read_training_table
from vqa.pipeline.training import data_sha256, make_job
from vqa.records import FeatureTable, Split
from vqa.train.fitting import TrainJob, TrainSettings, fit_many
from vqa.train.metrics import Metrics, Summary, score_predictions, summarise
from vqa.train.splits import content_splits, write_splits
from vqa.train.table import join_blocks
from vqa.train.weights import dbi_weights
from vqa.workspace import Workspace, open_workspace


@dataclass(frozen=True, eq=False)
class SplitResult:
    """One split: who was chosen on its training rows, and how its test rows came out."""

    chosen: tuple[str, ...]
    test_ids: tuple[str, ...]
    mos: NDArray[np.float64]
    predicted: NDArray[np.float64]
    metrics: Metrics


@dataclass(frozen=True)
class EvaluationReport:
    """What `evaluate_workspace` measured."""

    splits: tuple[SplitResult, ...]
    summary: Summary
    videos: int
    groups: int
    """Source contents, or 0 where they are not known and splits are by video."""
    test_fraction: float
    note: str
    """What the labels are, where they are not people's opinion."""
    splits_sha256: str
    files: tuple[Path, ...]
    """Where the splits, the metrics of each and all predictions were written."""


def evaluate_workspace(
    folder: Path, *, splits: int | None = None, top_k: int | None = None, progress: Progress = SILENT
) -> EvaluationReport:
    """Measure selection and training on videos (and contents) that they have not seen.

    In each split candidates are ranked and chosen on its training rows, the regressor is fitted on them, and the test
    rows are read once, for the figures.

    Args:
        folder: The workspace; its cache holds the features.
        splits: How many; by default what `vqa.toml` says.
        top_k: How many candidates to select in each; by default what `vqa.toml` says.
        progress: Told how far the run is.

    Raises:
        CacheMissError: videos have no features yet.
        DegenerateDataError: too few videos or contents to split.
    """
    workspace = open_workspace(folder)
    settings, count = workspace.train, splits or workspace.train.splits
    ranked = read_training_table(workspace)
    table = ranked.table
    parts = content_splits(
        table.groups,
        len(table.ids),
        count=count,
        test_fraction=settings.test_fraction,
        random_state=settings.random_state,
    )
    chosen, jobs = _choose(workspace, table, parts, top_k or workspace.select.top_k, progress)
    results = tuple(_results(table, parts, chosen, jobs))
    summary = summarise([result.metrics for result in results])
    splits_file = workspace.results_dir / "splits.json"
    splits_sha256 = write_splits(splits_file, parts, table.ids)
    report = EvaluationReport(
        splits=results,
        summary=summary,
        videos=len(table.ids),
        groups=len(set(table.groups)) if table.groups else 0,
        test_fraction=settings.test_fraction,
        note=workspace.dataset.note,
        splits_sha256=splits_sha256,
        files=(splits_file, workspace.results_dir / "metrics.csv", workspace.results_dir / "predictions.csv"),
    )
    _write(report, data_sha256(table, [stored.record.fingerprint for stored in ranked.candidates.values()]))
    return report


def _choose(
    workspace: Workspace, table: FeatureTable, parts: Sequence[Split], top_k: int, progress: Progress
) -> tuple[list[tuple[str, ...]], list[TrainJob]]:
    """Rank and choose on each split's training rows, and make the job that trains on them."""
    chosen, jobs = [], []
    for number, split in enumerate(parts):
        train = table.take(split.train)
        ranking = rank_table(workspace, train)
        names = ranking.best(top_k)
        weights = dbi_weights([row.dbi for row in ranking.rows[: len(names)]])
        jobs.append(make_job(train.keep(names), weights, workspace.train.random_state + number))
        chosen.append(names)
        progress.update("selecting in each split", number + 1, len(parts))
    return chosen, jobs


def _results(
    table: FeatureTable, parts: Sequence[Split], chosen: Sequence[tuple[str, ...]], jobs: Sequence[TrainJob]
) -> list[SplitResult]:
    fitted = fit_many(jobs, settings=TrainSettings())
    results = []
    for split, names, regressor in zip(parts, chosen, fitted, strict=True):
        test = table.take(split.test).keep(names)
        predicted = regressor.predict(join_blocks(test).features)
        results.append(SplitResult(names, test.ids, test.mos, predicted, score_predictions(test.mos, predicted)))
    return results


def _write(report: EvaluationReport, data_hash: str) -> None:
    _, metrics_file, predictions_file = report.files
    metrics = [
        {"split": number, **asdict(result.metrics), "models": " ".join(result.chosen)}
        for number, result in enumerate(report.splits, start=1)
    ]
    predictions = [
        {"split": number, "id": video, "mos": float(mos), "predicted": float(predicted)}
        for number, result in enumerate(report.splits, start=1)
        for video, mos, predicted in zip(result.test_ids, result.mos, result.predicted, strict=True)
    ]
    write_text(metrics_file, _csv(metrics))
    write_text(predictions_file, _csv(predictions))
    about = {"data_sha256": data_hash, "splits_sha256": report.splits_sha256, "labels": report.note}
    summary = {**about, "videos": report.videos, "groups": report.groups, **asdict(report.summary)}
    write_text(metrics_file.with_name("evaluation.json"), json.dumps(summary, indent=2) + "\n")


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
