"""Scores along videos as CSV, JSON and JSON Lines, and as a page with a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vqa.escaping import csv_text
from vqa.pipeline.scores import BundleInfo
from vqa.pipeline.timelines import ScoreTimeline
from vqa.pipeline.versions import library_versions
from vqa.report.content import Cell, Column, Page, Plot, Section, Table

COLUMNS = ("video", "begin_seconds", "end_seconds", "score", "low", "high", "reason")


def timelines_text(
    timelines: Sequence[ScoreTimeline], failures: Mapping[str, str], bundle: BundleInfo, kind: str
) -> str:
    """Return scores along videos, a row for each window, and one for each video without any; numbers are exact.

    Args:
        timelines: Of one bundle.
        failures: Videos without a timeline, each with the reason.
        bundle: What it says of itself.
        kind: `csv`, `json` or `jsonl`.
    """
    rows = [row for each in timelines for row in _rows(each)]
    rows += [(video, None, None, None, None, None, reason) for video, reason in failures.items()]
    if kind == "csv":
        return csv_text([COLUMNS, *rows])
    if kind == "jsonl":
        return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
    document = {
        "bundle": asdict(bundle),
        "versions": dict(library_versions()),
        "timelines": [_summary(each) for each in timelines],
        "failures": dict(failures),
    }
    return json.dumps(document, indent=1) + "\n"


def _rows(each: ScoreTimeline) -> Iterator[tuple[Cell, ...]]:
    numbers = (each.begin_seconds, each.end_seconds, each.scores, each.low, each.high)
    for *row, reason in zip(*(values.tolist() for values in numbers), each.reasons, strict=True):
        yield each.video, *(value if math.isfinite(value) else None for value in row), reason


def _summary(each: ScoreTimeline) -> dict[str, Any]:
    return {
        "video": each.video,
        "seconds": each.seconds,
        "window_seconds": each.window_seconds,
        "step_seconds": each.step_seconds,
        "scale": list(each.scale),
        "reading": None if each.reading is None else asdict(each.reading),
        "mean": each.mean if math.isfinite(each.mean) else None,
        "worst": [asdict(moment) for moment in each.worst()],
        "windows": [dict(zip(COLUMNS[1:], row[1:], strict=True)) for row in _rows(each)],
    }


def timelines_page(timelines: Sequence[ScoreTimeline], bundle: BundleInfo) -> Page:
    """Return a page with a plot for each video."""
    models = ", ".join(model.name for model in bundle.models)
    return Page(
        title="Scores along videos",
        subtitle=f"Bundle {bundle.sha256[:12]}, trained on {bundle.videos} videos; features of {models}",
        warning=f"The labels are {bundle.labels}." if bundle.labels else "",
        sections=tuple(
            Section(f"video-{number}", each.video, (_plot(each), _worst(each)))
            for number, each in enumerate(timelines, start=1)
        ),
    )


def _plot(each: ScoreTimeline) -> Plot:
    middles = [round(float(value), 3) for value in (each.begin_seconds + each.end_seconds) / 2]
    scores, low, high = (
        [round(value, 3) if math.isfinite(value) else None for value in values.tolist()]
        for values in (each.scores, each.low, each.high)
    )
    band = [] if all(value is None for value in low) else [_line(middles, high, "9 of 10 lie below", band=False)]
    band += [_line(middles, low, "9 of 10 lie above", band=True)] if band else []
    return Plot(
        title=f"Windows of {each.window_seconds:g} s, one every {each.step_seconds:g} s",
        reading=(
            "Each point is the score of one window of the video, drawn at its middle: where the line falls the video "
            "looks worse, diamonds are the worst moments, and the band is where the ratings of 9 of 10 such videos lie."
        ),
        figure={
            "data": [
                *band,
                {"type": "scatter", "mode": "lines+markers", "name": "score", "x": middles, "y": scores},
                _diamonds(each),
            ],
            "layout": {
                "xaxis": {"title": {"text": "seconds from the start"}},
                "yaxis": {"title": {"text": f"score, {each.scale[0]:g} (worst) to {each.scale[1]:g} (best)"}},
                "showlegend": False,
            },
        },
        table=Table(
            "All windows",
            (
                Column("from", 1, "seconds"),
                Column("to", 1, "seconds"),
                Column("score", 2),
                Column("low", 2, "lower end of the interval"),
                Column("high", 2, "upper end of the interval"),
            ),
            tuple(row[1:-1] for row in _rows(each)),
        ),
    )


def _line(x: Sequence[float], y: Sequence[float | None], name: str, *, band: bool) -> dict[str, Any]:
    """Return one border of the interval; the second one fills what lies between."""
    line = {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": {"width": 0}}
    return line | ({"fill": "tonexty", "fillcolor": "rgba(120,140,180,0.25)"} if band else {})


def _diamonds(each: ScoreTimeline) -> dict[str, Any]:
    """Return marks of the worst moments."""
    worst = each.worst()
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "worst",
        "x": [round((one.begin_seconds + one.end_seconds) / 2, 3) for one in worst],
        "y": [round(one.score, 3) for one in worst],
        "marker": {"symbol": "diamond", "size": 11, "color": "#c4622d"},
    }


def _worst(each: ScoreTimeline) -> Table:
    return Table(
        "Worst moments",
        (Column("from", 1, "seconds"), Column("to", 1, "seconds"), Column("score", 2)),
        tuple((one.begin_seconds, one.end_seconds, one.score) for one in each.worst()),
    )
