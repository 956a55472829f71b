from __future__ import annotations

import numpy as np

from vqa.errors import DegenerateDataError
from vqa.select.intervals import rank_intervals

EACH_ITS_OWN = np.arange(40)


def mean_of(values):
    return lambda rows: float(np.asarray(values)[rows].mean())


def test_candidates_far_apart_keep_their_ranks_in_all_resamples():
    keys = [mean_of(np.full(40, 1.0)), mean_of(np.full(40, 2.0)), mean_of(np.full(40, 3.0))]
    assert rank_intervals(keys, EACH_ITS_OWN) == ((1, 1), (2, 2), (3, 3))


def test_candidates_that_chance_can_swap_share_an_interval():
    random = np.random.default_rng(0)
    keys = [mean_of(random.normal(0, 1, 40)), mean_of(random.normal(0, 1, 40)), mean_of(np.full(40, 9.0))]
    assert rank_intervals(keys, EACH_ITS_OWN) == ((1, 2), (1, 2), (3, 3))


def test_contents_are_drawn_whole():
    groups, seen = np.repeat([0, 1, 2, 3], 10), []
    rank_intervals([lambda rows: seen.append(rows) or 0.0], groups, resamples=5)
    for rows in seen:
        assert len(rows) == 40
        assert set(np.bincount(groups[rows], minlength=4).tolist()) <= {0, 10, 20, 30, 40}
    assert len({tuple(rows) for rows in seen}) == 5


def test_a_resample_without_a_figure_is_left_out_and_without_any_there_is_no_interval():
    calls = iter(range(100))

    def sometimes(rows):
        if next(calls) % 2:
            raise DegenerateDataError("no figure")
        return 1.0

    def never(rows):
        raise DegenerateDataError("no figure")

    assert rank_intervals([sometimes], EACH_ITS_OWN, resamples=100) == ((1, 1),)
    assert rank_intervals([never], EACH_ITS_OWN) is None


def test_the_seed_decides():
    random = np.random.default_rng(0)
    keys = [mean_of(random.normal(0, 1, 40)) for _ in range(12)]
    first = rank_intervals(keys, EACH_ITS_OWN, random_state=1)
    assert first == rank_intervals(keys, EACH_ITS_OWN, random_state=1)
    assert first != rank_intervals(keys, EACH_ITS_OWN, random_state=2)
