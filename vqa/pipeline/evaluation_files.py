"""What `vqa evaluate` leaves on the disk: one record of all that was measured, and tables of it for other programs.

The record, `evaluation.json`, is what later commands read; it carries a digest. The CSV files are never read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vqa.escaping import csv_text
from vqa.files import write_text
from vqa.pipeline.documents import EVALUATION_FILE, EVALUATION_SCHEMA, write_document
from vqa.train.metrics import Metrics

if TYPE_CHECKING:
    from vqa.pipeline.evaluation import Contender, EvaluationReport


def write_evaluation(report: EvaluationReport, data_hash: str) -> None:
    """Write a row for each split and method, a row for each prediction, and the record of both and of the summary."""
    _, metrics_file, predictions_file = report.files
    write_text(metrics_file, _csv(_metrics_rows(report)))
    write_text(predictions_file, _csv(_prediction_rows(report)))
    write_document(metrics_file.with_name(EVALUATION_FILE), EVALUATION_SCHEMA, _record(report, data_hash))


def _record(report: EvaluationReport, data_hash: str) -> dict[str, Any]:
    return {
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
        "methods": {each.name: _method(each) for each in report.contenders},
        **_predictions(report),
    }


def _method(contender: Contender) -> dict[str, Any]:
    return {
        "title": contender.title,
        **asdict(contender.summary),
        "paired": contender.paired and asdict(contender.paired),
        "metrics": {field.name: [getattr(one, field.name) for one in contender.metrics] for field in fields(Metrics)},
    }


def _predictions(report: EvaluationReport) -> dict[str, Any]:
    """Return each test video once, and for each split the numbers of those in it, from 0, with what was predicted."""
    mos = {
        video: score
        for result in report.splits
        for video, score in zip(result.test_ids, result.mos.tolist(), strict=True)
    }
    places = {video: place for place, video in enumerate(mos)}
    return {
        "tested": {"ids": list(mos), "mos": list(mos.values())},
        "predictions": [
            {
                "models": list(result.chosen),
                "tested": [places[video] for video in result.test_ids],
                "predicted": result.predicted.tolist(),
                "low": _or_null(result.low),
                "high": _or_null(result.high),
            }
            for result in report.splits
        ],
    }


def _or_null(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers as JSON takes them: null where one is unknown."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


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
