from __future__ import annotations

import numpy as np
import pytest
from plotly import graph_objects

from vqa.report.drawing import digits_for, numbers, short
from vqa.report.figures import cost_bars, feature_map, rating_histogram, similarity_map
from vqa.report.result_figures import Predicted, error_plot, prediction_plot, split_boxes

MOS = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 5.0])
IDS = ("a", "b", "c", "d", "e", "f")
PREDICTED = Predicted(
    ids=IDS,
    mos=MOS,
    scores=np.array([1.25, 1.5, 2.5, 3.0, 3.0, 3.5]),
    low=MOS - 1,
    high=np.array([np.nan, 2.0, 3.0, 4.0, 5.0, 6.0]),
    tests=np.array([1, 2, 3, 4, 5, 6]),
)
CKA = np.array([[1.0, 0.25, 0.5], [0.25, 1.0, 0.75], [0.5, 0.75, 1.0]])


def every_plot():
    return (
        rating_histogram(MOS, borders=(1.0, 3.0, 5.0)),
        rating_histogram(MOS, borders=()),
        feature_map("m", IDS, MOS, np.zeros((6, 2)), dbi=1.5, mos_range=(1.0, 5.0)),
        similarity_map(("m", "n", "o"), CKA),
        cost_bars(("m", "n"), np.array([3.0, 20.0])),
        prediction_plot(PREDICTED, (np.array([1.0, 3.5]), np.array([1.0, 5.0]))),
        error_plot(PREDICTED, PREDICTED.worst(2)),
        split_boxes({"blend": (0.5, 0.7), "ridge": (0.4, 0.6)}),
    )


@pytest.mark.parametrize("plot", every_plot(), ids=lambda plot: plot.title)
def test_every_figure_is_plotlys_has_a_sentence_and_leaves_the_colours_of_paper_and_text_to_the_page(plot):
    figure = graph_objects.Figure(plot.figure)  # raises for what plotly does not know
    assert figure.layout.paper_bgcolor is None
    assert figure.layout.plot_bgcolor is None
    assert figure.layout.font.color is None
    assert plot.reading.endswith(".")
    assert plot.reading.count(". ") == 0
    assert {len(row) for row in plot.table.rows} == {len(plot.table.columns)}


def test_the_bars_of_each_cluster_hold_its_videos_and_lines_part_them():
    plot = rating_histogram(MOS, borders=(1.0, 3.0, 5.0))
    assert [sum(trace["y"]) for trace in plot.figure["data"]] == [3, 3]  # a score on the border is the better one's
    assert [line["x0"] for line in plot.figure["layout"]["shapes"]] == [3.0]
    assert sum(row[2] for row in plot.table.rows) == 6


def test_a_map_has_the_dbi_in_its_title_and_one_scale_of_colours_for_all_maps():
    plot = feature_map("m", IDS, MOS, np.full((6, 2), 1.234567), dbi=4.9709, mos_range=(0.0, 10.0))
    (trace,) = plot.figure["data"]
    assert plot.title == "m: DBI 4.97"
    assert trace["x"] == [1.23] * 6
    assert trace["marker"]["color"] == MOS.tolist()
    assert (trace["marker"]["cmin"], trace["marker"]["cmax"]) == (0.0, 10.0)
    assert plot.table.rows[3] == ("d", 3.0, 1.23, 1.23)


def test_pairs_of_models_stand_with_the_most_alike_first():
    assert similarity_map(("m", "n", "o"), CKA).table.rows == (("n", "o", 0.75), ("m", "o", 0.5), ("m", "n", 0.25))


def test_errors_are_predicted_minus_rated_and_the_largest_are_marked():
    assert PREDICTED.errors.tolist() == [0.25, 0.0, 0.5, 0.0, -1.0, -1.5]
    assert PREDICTED.worst(2).tolist() == [5, 4]
    others, marked = error_plot(PREDICTED, PREDICTED.worst(2)).figure["data"]
    assert (others["text"], marked["text"]) == (["a", "b", "c", "d"], ["e", "f"])
    assert marked["y"] == [-1.0, -1.5]


def test_an_unknown_interval_is_a_gap_in_the_table():
    rows = prediction_plot(PREDICTED, (MOS, MOS)).table.rows
    assert rows[0] == ("a", 1.0, 1.25, 0.25, 0.0, None, 1)


def test_what_models_cost_stands_with_the_dearest_on_top():
    plot = cost_bars(("m", "n"), np.array([3.0, 20.04]))
    assert plot.figure["data"][0]["y"] == ["m", "n"]  # plotly draws upwards
    assert plot.table.rows == (("n", 20.04), ("m", 3.0))


def test_each_split_is_a_dot_and_a_row():
    plot = split_boxes({"blend": (0.5, 0.7), "ridge": (0.4, 0.6)})
    assert plot.table.rows == ((1, 0.5, 0.4), (2, 0.7, 0.6))
    assert plot.figure["data"][1]["y"] == [0.4, 0.6]


def test_numbers_are_as_long_as_their_range_asks_for_and_long_names_lose_their_middle():
    assert digits_for(np.array([1.0, 5.0])) == 3
    assert digits_for(np.array([0.0, 100.0])) == 2
    assert digits_for(np.array([3.0, 3.0])) == 2
    assert numbers([1.23456, np.inf], 2) == [1.23, None]
    assert short("x" * 60) == "x" * 60
    assert short("y" * 500 + "z" * 500) == "y" * 39 + "…" + "z" * 20
