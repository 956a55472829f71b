from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError
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
