from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError, SelectionError
from vqa.records import FeatureTable
from vqa.select.ranking import rank_candidates

MOS = np.linspace(1, 5, 60)


def make_table(**blocks):
    ids = tuple(f"v{i}" for i in range(len(MOS)))
    return FeatureTable(ids, MOS, None, {name: np.asarray(block, dtype=np.float32) for name, block in blocks.items()})


def seeing(noise, width=20):
    rng = np.random.default_rng(3)
    return MOS[:, None] + noise * rng.normal(size=(60, width))


def test_a_candidate_that_sees_quality_ranks_before_one_that_sees_less_of_it_and_noise_comes_last():
    table = make_table(blind=seeing(1000.0), sharp=seeing(0.1), dull=seeing(2.0))
    ranking = rank_candidates(table)
    assert [row.name for row in ranking.rows] == ["sharp", "dull", "blind"]
    assert ranking.best(2) == ("sharp", "dull")
    assert ranking.cluster_sizes == (10, 10, 10, 10, 10, 10)
    assert ranking.common_width == 16


def test_the_width_a_candidate_was_ranked_on_stands_beside_its_own():
    ranking = rank_candidates(make_table(narrow=seeing(1, width=3), wide=seeing(1, width=40)))
    assert {row.name: (row.width, row.ranked_width) for row in ranking.rows} == {"narrow": (3, 3), "wide": (40, 16)}


def test_equal_candidates_stand_in_the_order_of_their_names():
    ranking = rank_candidates(make_table(b=seeing(1), a=seeing(1)))
    assert ranking.best(2) == ("a", "b")


def test_a_constant_candidate_and_one_missing_for_half_the_rows_are_refused_by_name_and_the_others_ranked():
    holed = seeing(1)
    holed[:30] = np.nan
    ranking = rank_candidates(make_table(good=seeing(1), constant=np.ones((60, 4)), holed=holed))
    assert ranking.best(3) == ("good",)
    assert ranking.refused == {
        "constant": "features are the same for all 60 videos",
        "holed": "600 of 1200 feature values are missing; half or more is too many",
    }


def test_a_few_missing_cells_move_the_index_little():
    holed = seeing(1)
    holed[5, 3] = np.nan
    whole, filled = (rank_candidates(make_table(a=block)).rows[0].dbi for block in (seeing(1), holed))
    assert whole != filled
    assert filled == pytest.approx(whole, rel=0.02)


def test_nothing_left_to_rank_is_one_line_with_a_reason():
    with pytest.raises(DegenerateDataError) as caught:
        rank_candidates(make_table(a=np.ones((60, 4)), b=np.ones((60, 4))))
    assert str(caught.value) == (
        "no candidate can be ranked; a: features are the same for all 60 videos, and so on for 1 more; "
        "extract other candidates, or check the videos"
    )


def test_too_few_videos_are_refused_politely():
    with pytest.raises(DegenerateDataError, match="7 labelled videos are too few for 6 MOS bins"):
        rank_candidates(make_table(a=seeing(1)).take(np.arange(7)))


def priced(**options):
    table = make_table(sharp=seeing(0.1), good=seeing(0.5), dull=seeing(2.0), blind=seeing(1000.0))
    costs = {"sharp": 90.0, "good": 30.0, "dull": 20.0, "blind": 5.0}
    return rank_candidates(table, **{"cost_ms": costs, **options})


def test_by_default_the_value_is_the_davies_bouldin_index():
    assert [row.value for row in priced().rows] == [row.dbi for row in priced().rows]


@pytest.mark.parametrize("criterion", ["dbi-count", "logme", "ridge", "knn"])
def test_other_criteria_rank_by_their_own_value_and_keep_the_index_beside_it(criterion):
    ranking, by_dbi = priced(criterion=criterion), {row.name: row.dbi for row in priced().rows}
    assert (ranking.criterion, ranking.best(1), ranking.best(9)[-1]) == (criterion, ("sharp",), "blind")
    assert {row.name: row.dbi for row in ranking.rows} == by_dbi
    values = [row.value for row in ranking.rows]
    assert values == sorted(values, reverse=criterion != "dbi-count")


def test_greedy_ranks_its_picks_in_their_order_then_the_others():
    ranking = priced(criterion="greedy", top_k=2)
    assert ranking.best(1) == ("sharp",)
    assert len(ranking.rows) == 4


def test_within_a_budget_candidates_that_do_not_fit_are_passed_over():
    assert priced(budget_ms=200).best(4) == ("sharp", "good", "dull", "blind")
    assert priced(budget_ms=100).best(4) == ("sharp", "blind")
    assert priced(budget_ms=60).best(2) == ("good", "dull")
    assert priced(budget_ms=90).best(4) == ("sharp",)


def test_the_budget_of_greedy_is_spent_on_what_adds_most():
    assert priced(criterion="greedy", budget_ms=40, top_k=2).best(2) == ("good", "blind")


def test_a_budget_below_the_cheapest_names_it():
    with pytest.raises(SelectionError) as caught:
        priced(budget_ms=4)
    assert str(caught.value) == (
        "no candidate costs at most 4 ms a video; the cheapest is blind with 5.0 ms; raise --budget-ms"
    )


def test_a_candidate_of_unknown_cost_is_refused_under_a_budget_only():
    costs = {"good": 30.0, "dull": 20.0, "blind": 5.0}
    assert "sharp" in priced(cost_ms=costs).best(4)
    assert priced(cost_ms=costs, budget_ms=100).refused == {
        "sharp": "what it costs is not known, so it can't be chosen within a budget"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "dbj"}, "there is no criterion 'dbj'; did you mean dbi"),
        ({"top_k": 0}, "0 candidates can't be chosen"),
        ({"budget_ms": 0.0}, "a budget of 0 ms a video buys nothing"),
        ({"budget_ms": float("nan")}, "a budget of nan ms a video buys nothing"),
    ],
)
def test_options_that_can_not_be_used_are_refused(options, message):
    with pytest.raises(SelectionError, match=message):
        priced(**options)


def test_one_content_can_be_ranked_by_the_index_and_not_by_held_out_scores():
    table = make_table(sharp=seeing(0.1), dull=seeing(2.0))
    one_content = FeatureTable(table.ids, MOS, ("a",) * 60, table.blocks)
    assert rank_candidates(one_content).best(1) == ("sharp",)
    for criterion in ("ridge", "knn", "greedy"):
        with pytest.raises(DegenerateDataError, match=r"^all videos show one content"):
            rank_candidates(one_content, criterion=criterion)


def test_equal_scores_are_refused():
    table = make_table(a=seeing(1))
    with pytest.raises(DegenerateDataError, match="all 60 videos have the MOS 3"):
        rank_candidates(FeatureTable(table.ids, np.full(60, 3.0), None, table.blocks))


def test_the_same_table_is_ranked_alike_twice():
    assert priced(criterion="greedy") == priced(criterion="greedy")
