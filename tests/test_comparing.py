from __future__ import annotations

import numpy as np
import pytest

from vqa.records import FeatureTable
from vqa.select import measuring
from vqa.select.comparing import compare_candidates
from vqa.select.criteria import CRITERIA
from vqa.select.measuring import sample_rows
from vqa.select.ranking import RankingOptions, rank_candidates

MOS = np.linspace(1, 5, 60)
IDS = tuple(f"v{i}" for i in range(60))


def seeing(noise, seed=3):
    return (MOS[:, None] + noise * np.random.default_rng(seed).normal(size=(60, 20))).astype(np.float32)


BLOCKS = {"blind": seeing(1000.0), "sharp": seeing(0.1), "dull": seeing(2.0), "twin": seeing(0.1) + 1e-3}
TABLE = FeatureTable(IDS, MOS, None, {})


def compare(blocks=BLOCKS, table=TABLE, **options):
    return compare_candidates(table, blocks.items(), options=RankingOptions(**options))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_ranking_is_that_of_the_chosen_criterion_alone(criterion):
    alone = rank_candidates(FeatureTable(IDS, MOS, None, BLOCKS), criterion=criterion)
    assert compare(criterion=criterion).ranking == alone


def test_every_candidate_has_a_figure_by_every_criterion():
    comparison = compare()
    assert {name: set(values) for name, values in comparison.values.items()} == {name: set(CRITERIA) for name in BLOCKS}
    assert comparison.values["sharp"]["ridge"] > 0.99
    assert comparison.values["blind"]["ridge"] < 0.5


def test_intervals_hold_the_rank_and_clear_differences_stay_clear():
    comparison = compare(criterion="ridge")
    for place, row in enumerate(comparison.ranking.rows, start=1):
        low, high = comparison.intervals[row.name]
        assert low <= place <= high
    assert comparison.intervals["blind"] == (4, 4)
    assert comparison.intervals["sharp"][1] <= 2


def test_greedy_has_no_intervals():
    assert compare(criterion="greedy").intervals == {}


def test_candidates_that_say_the_same_are_told_by_their_cka():
    comparison = compare()
    place = {row.name: number for number, row in enumerate(comparison.ranking.rows)}
    assert comparison.cka[place["sharp"], place["twin"]] == pytest.approx(1, abs=1e-4)
    assert comparison.cka[place["sharp"], place["blind"]] < 0.5


def test_with_one_content_what_needs_held_out_contents_is_left_open_with_the_reason():
    comparison = compare(table=FeatureTable(IDS, MOS, ("a",) * 60, {}))
    assert set(comparison.values["sharp"]) == {"dbi", "dbi-count", "dbi-kmeans", "silhouette", "logme"}
    assert set(comparison.unmeasured) == {"ridge", "knn", "greedy"}
    assert comparison.unmeasured["greedy"].startswith("all videos show one content")
    assert comparison.picks == ()


def test_no_more_than_two_candidates_are_held_while_the_next_is_read(monkeypatch):
    held, most = set(), []
    measure = measuring.Measurer.measure

    def released(self, name, block):
        line = measure(self, name, block)
        held.discard(name)
        return line

    def stream():
        for number in range(6):
            held.add(f"c{number}")
            most.append(len(held))
            yield f"c{number}", seeing(1.0, seed=number)

    monkeypatch.setattr(measuring.Measurer, "measure", released)
    compare_candidates(TABLE, stream())
    assert len(most) == 6
    assert max(most) <= 3  # one measured, one waiting, one just read


def test_an_error_while_reading_comes_out_as_it_is():
    def broken():
        yield "a", seeing(1.0)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        compare_candidates(TABLE, broken())


def test_of_many_rows_a_sample_is_seen_where_cost_grows_with_their_square(monkeypatch):
    whole = compare()
    monkeypatch.setattr(measuring, "SAMPLE_ROWS", 30)
    comparison = compare()
    assert (whole.sampled, comparison.sampled, comparison.videos) == (60, 30, 60)
    for name in CRITERIA:
        same = comparison.values["dull"][name] == whole.values["dull"][name]
        assert same == (name in {"dbi", "dbi-count", "logme", "ridge"})


def test_the_sample_is_drawn_by_the_seed_without_repeats():
    rows = sample_rows(28_000, 5)
    assert (len(rows), len(set(rows.tolist()))) == (2000, 2000)
    assert np.array_equal(rows, sample_rows(28_000, 5))
    assert not np.array_equal(rows, sample_rows(28_000, 6))
    assert np.array_equal(sample_rows(7, 0), np.arange(7))
