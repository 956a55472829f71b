"""What `vqa evaluate` leaves on the disk: figures of each split, predictions, and a summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vqa.escaping import csv_text
from vqa.files import write_text

if TYPE_CHECKING:
    from vqa.pipeline.evaluation import EvaluationReport


def write_evaluation(report: EvaluationReport, data_hash: str) -> None:
    """Write a row for each split and method, a row for each prediction, and the summary beside them."""
    _, metrics_file, predictions_file = report.files
    write_text(metrics_file, _csv(_metrics_rows(report)))
    write_text(predictions_file, _csv(_prediction_rows(report)))
    summary = {
        "data_sha256": data_hash,
        "splits_sha256": report.splits_sha256,
        "labels": report.note,
        "videos": report.videos,
        "groups": report.groups,
        "by_content": report.by_content,
        "leaking": report.leaking,
        "selected": report.selected,
        "criterion": report.criterion,
        "top_k": report.top_k,
        "left_out": dict(report.left_out),
        "interval": {"coverage": report.coverage, "covered": report.covered},
        "methods": {
            each.name: {"title": each.title, **asdict(each.summary), "paired": each.paired and asdict(each.paired)}
            for each in report.contenders
        },
    }
    write_text(metrics_file.with_name("evaluation.json"), json.dumps(summary, indent=2) + "\n")


def _metrics_rows(report: EvaluationReport) -> list[dict[str, object]]:
    return [
        {"split": number, "method": each.name, **asdict(metrics), "models": " ".join(result.chosen)}
        for each in report.contenders
        for number, (metrics, result) in enumerate(zip(each.metrics, report.splits, strict=True), start=1)
    ]


def _prediction_rows(report: EvaluationReport) -> list[dict[str, object]]:
    return [
        {"split": number, "id": video, "mos": mos, "predicted": predicted, "low": low, "high": high}
        for number, result in enumerate(report.splits, start=1)
        for video, mos, predicted, low, high in zip(
            result.test_ids,
            *(each.tolist() for each in (result.mos, result.predicted, result.low, result.high)),
            strict=True,
        )
    ]


def _csv(rows: Sequence[dict[str, object]]) -> str:
    return csv_text([tuple(rows[0]), *(row.values() for row in rows)])
