"""Figures of a dataset and of candidates: arrays in, a plot out, with one sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from vqa.report.content import Column, Plot, Table
from vqa.report.drawing import COLOURS, EDGE, digits_for, dots, numbers, shorts, titled

_BARS = 24
"""A multiple of six, so that bars end where six clusters of equal width do."""
_FEW_VIDEOS = 8
"""Of so many in the highest bar, each has a line of its own: between two there is nothing."""
_MOST_LABELLED = 12
"""Models whose similarity is written into its field; of more it would not fit."""
_MOST_PAIRS = 500


def rating_histogram(mos: NDArray[np.float64], *, borders: Sequence[float]) -> Plot:
    """Show how many videos have which rating, and where the MOS clusters meet.

    Args:
        mos: Shape (N,).
        borders: Ends of the clusters' intervals, ascending; empty where there are none.
    """
    digits = digits_for(mos)
    edges = np.histogram_bin_edges(mos, bins=_BARS)
    inner = np.array(borders[1:-1])
    clusters = np.searchsorted(inner, mos, side="right")
    counts = [np.histogram(mos[clusters == cluster], edges)[0] for cluster in range(len(inner) + 1)]
    colours = sample_colorscale(COLOURS, np.linspace(0, 1, len(counts)).tolist()) if len(counts) > 1 else [None]
    ends = [f"{low:.{digits}f} to {high:.{digits}f}" for low, high in pairwise(edges)]
    bars = [
        {
            "type": "bar",
            "x": numbers((edges[1:] + edges[:-1]) / 2, digits + 1),
            "y": counted.tolist(),
            "width": float(edges[1] - edges[0]) * 0.94,
            "name": f"cluster {number}",
            "customdata": ends,
            "hovertemplate": "MOS %{customdata}: %{y} videos",
            "marker": {"line": EDGE, **({"color": colour} if colour else {})},
        }
        for number, (counted, colour) in enumerate(zip(counts, colours, strict=True), start=1)
    ]
    lines = [
        {
            "type": "line",
            "x0": x,
            "x1": x,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"dash": "dot", **EDGE, "width": 1},
        }
        for x in inner.tolist()
    ]
    layout = {
        "barmode": "stack",
        "showlegend": False,
        "xaxis": titled("MOS"),
        "yaxis": titled("videos", **({"dtick": 1} if max(map(max, counts)) <= _FEW_VIDEOS else {})),
        "shapes": lines,
    }
    parts = "; dotted lines part the clusters of like rating that models are compared by" if len(inner) else ""
    return Plot(
        "Ratings",
        f"A bar is as high as there are videos of that mean opinion score (MOS), good ones to the right{parts}.",
        {"data": bars, "layout": layout},
        _counts_table(edges, counts, digits),
    )


def _counts_table(edges: NDArray[np.float64], counts: Sequence[NDArray[np.int64]], digits: int) -> Table:
    rows = [
        (low, high, int(counted[bar]), cluster)
        for bar, (low, high) in enumerate(pairwise(edges.tolist()))
        for cluster, counted in enumerate(counts, start=1)
        if counted[bar]
    ]
    columns = (
        Column("from", digits, "lowest MOS of the bar"),
        Column("to", digits, "highest MOS of the bar"),
        Column("videos", 0),
        Column("cluster", 0, "of like MOS, 1 being the worst"),
    )
    return Table("Videos by their rating; bars without any are left out", columns, tuple(rows))


def feature_map(
    name: str,
    ids: Sequence[str],
    mos: NDArray[np.float64],
    points: NDArray[np.float64],
    *,
    dbi: float | None,
    mos_range: tuple[float, float],
) -> Plot:
    """Show one candidate's features as points of a plane, coloured by rating.

    Args:
        name: The candidate's text form.
        ids: The M videos that are shown.
        mos: Their scores, shape (M,).
        points: Their places, shape (M, 2).
        dbi: Of all videos, where known.
        mos_range: Scores of the darkest and the brightest colour.
    """
    digits = digits_for(np.array(mos_range))
    scores, (across, down) = numbers(mos, digits), (numbers(column, 2) for column in points.T)
    low, high = mos_range
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": across,
        "y": down,
        "text": shorts(ids),
        "hovertemplate": "%{text}<br>MOS %{marker.color}<extra></extra>",
        "marker": {
            "size": dots(len(ids))["size"],
            "line": EDGE,
            "color": scores,
            "colorscale": COLOURS,
            "cmin": low,
            "cmax": high,
            "colorbar": {"title": {"text": "MOS"}, "thickness": 12},
        },
    }
    bare = {"showticklabels": False, "zeroline": False, "showgrid": False, "ticks": ""}
    columns = (Column("video"), Column("MOS", digits), Column("across", 2), Column("up", 2))
    return Plot(
        name if dbi is None else f"{name}: DBI {dbi:.2f}",
        "Each dot is a video, and videos that look alike to the model lie together; the model sees quality well where "
        "dark dots (bad) and bright ones (good) lie apart, and the smaller its DBI the better.",
        {"data": [trace], "layout": {"xaxis": bare, "yaxis": bare, "margin": dict.fromkeys("lrtb", 8)}},
        Table(f"Where the videos lie by {name}", columns, tuple(zip(ids, scores, across, down, strict=True))),
    )


def similarity_map(names: Sequence[str], cka: NDArray[np.float64]) -> Plot:
    """Show how much each two of K candidates say the same.

    Args:
        names: Text forms of the candidates.
        cka: Linear CKA, shape (K, K), 0 to 1.
    """
    shown = shorts(names)
    trace = {
        "type": "heatmap",
        "x": shown,
        "y": shown,
        "z": [numbers(row, 2) for row in cka],
        "zmin": 0,
        "zmax": 1,
        "colorscale": COLOURS,
        "colorbar": {"title": {"text": "CKA"}, "thickness": 12},
        "hovertemplate": "%{y}<br>%{x}<br>CKA %{z:.2f}<extra></extra>",
        **({"texttemplate": "%{z:.2f}"} if len(names) <= _MOST_LABELLED else {}),
    }
    pairs = sorted(
        ((names[one], names[other], float(cka[one, other])) for one, other in combinations(range(len(names)), 2)),
        key=lambda pair: (-pair[2], pair[0], pair[1]),
    )
    most = f"; the {_MOST_PAIRS} most alike of {len(pairs)}" if len(pairs) > _MOST_PAIRS else ""
    columns = (Column("model"), Column("other model"), Column("CKA", 3, "0: nothing in common, 1: the same"))
    layout = {
        "xaxis": {"tickangle": -40, "showgrid": False},
        "yaxis": {"autorange": "reversed", "showgrid": False},
        "height": 320 + 26 * len(names),
    }
    return Plot(
        "How much models say the same",
        "The brighter the field where two models meet, the more they say the same (1 for all, 0 for nothing), and the "
        "less the second adds to the first.",
        {"data": [trace], "layout": layout},
        Table(f"Linear CKA of each two models{most}", columns, tuple(pairs[:_MOST_PAIRS])),
    )


def cost_bars(names: Sequence[str], milliseconds: NDArray[np.float64]) -> Plot:
    """Show what each of K candidates costs, the dearest on top.

    Args:
        names: Text forms of the candidates.
        milliseconds: Time of the network for one video, shape (K,).
    """
    order = np.argsort(milliseconds, kind="stable")
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": shorts([names[row] for row in order]),
        "x": numbers(milliseconds[order], 1),
        "hovertemplate": "%{y}: %{x} ms a video<extra></extra>",
    }
    layout = {"xaxis": titled("ms a video"), "height": 160 + 30 * len(names), "showlegend": False}
    rows = [(names[row], float(milliseconds[row])) for row in order[::-1]]
    return Plot(
        "Time of the models",
        "The longer a bar, the longer that model works on one video, decoding not counted; a short bar is cheap.",
        {"data": [trace], "layout": layout},
        Table("Time of the models", (Column("model"), Column("ms a video", 1)), tuple(rows)),
    )
