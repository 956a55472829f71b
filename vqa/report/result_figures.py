"""Figures of results: arrays in, a plot out, with one sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vqa.report.content import Column, Plot, Table
from vqa.report.drawing import EDGE, digits_for, dots, numbers, shorts, titled

_PARTS = 5
"""Of the MOS range, for the mean error in each."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What test rows were predicted as, one row for each of N videos: means over the splits that tested it."""

    ids: tuple[str, ...]
    mos: Floats
    scores: Floats
    low: Floats
    high: Floats
    """Ends of the intervals; NaN where they are unknown."""
    tests: NDArray[np.intp]
    """Splits that tested the video, 1 or more."""

    @property
    def errors(self) -> Floats:
        """Predicted minus MOS."""
        result: Floats = self.scores - self.mos
        return result

    def worst(self, count: int) -> NDArray[np.intp]:
        """Return the rows with the largest errors, the largest first."""
        rows: NDArray[np.intp] = np.argsort(-np.abs(self.errors), kind="stable")[:count]
        return rows


def prediction_plot(found: Predicted, curve: tuple[Floats, Floats]) -> Plot:
    """Show predictions against ratings.

    Args:
        found: The videos.
        curve: Predictions in ascending order, and what the logistic fit makes of each.
    """
    digits = digits_for(found.mos)
    videos = {
        "type": "scatter",
        "mode": "markers",
        "name": "a video",
        "x": numbers(found.scores, digits),
        "y": numbers(found.mos, digits),
        "text": shorts(found.ids),
        "hovertemplate": "%{text}<br>predicted %{x}<br>MOS %{y}<extra></extra>",
        "marker": dots(len(found.ids)),
    }
    across, up = curve
    fit = {
        "type": "scatter",
        "mode": "lines",
        "name": "logistic fit",
        "x": numbers(across, digits),
        "y": numbers(up, digits),
        "line": {"width": 3},
        "hoverinfo": "skip",
    }
    return Plot(
        "Predicted against rated",
        "Each dot is a video that its predictor was not trained on; the nearer the dots lie to the curve, the "
        "better the prediction follows the ratings.",
        {
            "data": [videos, fit],
            "layout": {"xaxis": titled("predicted"), "yaxis": titled("MOS"), "height": 480},
        },
        _predicted_table(found, digits),
    )


def _predicted_table(found: Predicted, digits: int) -> Table:
    columns = (
        Column("video"),
        Column("MOS", digits, "the label"),
        Column("predicted", digits, "mean over the splits that tested the video"),
        Column("error", digits, "predicted minus MOS; 0 is best"),
        Column("low", digits, "mean lower end of the interval"),
        Column("high", digits, "mean upper end of the interval"),
        Column("tests", 0, "splits that tested the video"),
    )
    values = (found.mos, found.scores, found.errors, found.low, found.high)
    rows = zip(found.ids, *(numbers(value, digits) for value in values), found.tests.tolist(), strict=True)
    return Table("Each video's rating and prediction", columns, tuple(rows))


def error_plot(found: Predicted, worst: NDArray[np.intp]) -> Plot:
    """Show each video's error over its rating, and which are the largest.

    Args:
        found: The videos.
        worst: Rows to mark.
    """
    digits = digits_for(found.mos)
    marked = np.isin(np.arange(len(found.ids)), worst)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": numbers(found.mos[rows], digits),
            "y": numbers(found.errors[rows], digits),
            "text": shorts([found.ids[row] for row in np.flatnonzero(rows)]),
            "hovertemplate": "%{text}<br>MOS %{x}<br>error %{y}<extra></extra>",
            "marker": dots(len(found.ids)) | {"symbol": symbol},
        }
        for name, rows, symbol in (
            ("a video", ~marked, "circle"),
            (f"the {len(worst)} largest errors", marked, "diamond"),
        )
    ]
    return Plot(
        "Errors over ratings",
        "A dot above the line of 0 was predicted too good, one below it too bad; errors without a pattern around 0 are "
        "what is hoped for, while a slope means that scores keep too close to the middle.",
        {
            "data": traces,
            "layout": {
                "xaxis": titled("MOS"),
                "yaxis": titled("predicted minus MOS", zeroline=False),
                "shapes": [
                    {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": EDGE | {"width": 2}}
                ],
            },
        },
        _parts_table(found, digits),
    )


def _parts_table(found: Predicted, digits: int) -> Table:
    """Return the errors in each fifth of the MOS range."""
    edges = np.linspace(found.mos.min(), found.mos.max(), _PARTS + 1)
    parts = np.searchsorted(edges[1:-1], found.mos, side="right")
    rows = []
    for part, (low, high) in enumerate(pairwise(edges.tolist())):
        errors = found.errors[parts == part]
        means = (float(errors.mean()), float(np.abs(errors).mean())) if len(errors) else (None, None)
        rows.append((low, high, len(errors), *means))
    columns = (
        Column("from", digits, "lowest MOS of this fifth of the range"),
        Column("to", digits, "highest MOS of this fifth of the range"),
        Column("videos", 0),
        Column("mean error", digits, "above 0: predicted too good"),
        Column("mean size", digits, "of the errors, whatever their sign; 0 is best"),
    )
    return Table(
        "Errors in each fifth of the MOS range; those of each video stand with the plot before", columns, tuple(rows)
    )


def split_boxes(sroccs: Mapping[str, Sequence[float]]) -> Plot:
    """Show the rank correlation of each method in each split.

    Args:
        sroccs: For each method its SROCC, a figure for each of S splits.
    """
    traces = [
        {
            "type": "box",
            "name": name,
            "y": numbers(values, 4),
            "boxpoints": "all",
            "jitter": 0.4,
            "pointpos": 0,
            "marker": {"size": 5, "opacity": 0.7},
            "text": [f"split {split}" for split in range(1, len(values) + 1)],
            "hovertemplate": "%{text}<br>SROCC %{y}<extra></extra>",
        }
        for name, values in sroccs.items()
    ]
    columns = (Column("split", 0), *(Column(name, 4) for name in sroccs))
    rows = zip(range(1, len(next(iter(sroccs.values()))) + 1), *sroccs.values(), strict=True)
    return Plot(
        "Rank correlation in each split",
        "Each dot is one split of the videos into seen and unseen ones, and the line in a box is the middle one; the "
        "higher, the better a method puts unseen videos in the order of their ratings (1 is perfect, 0 is chance).",
        {"data": traces, "layout": {"yaxis": titled("SROCC"), "showlegend": False, "height": 440}},
        Table("SROCC of each method in each split", columns, tuple(rows)),
    )
