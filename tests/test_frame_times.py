"""Times of decoded frames put in order: absent, equal, falling, joined."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.extract.frame_times import ABSENT, Clock, FrameTimes, arrange_times

MS = Fraction(1, 1000)


def arranged(
    pts: list[int | None],
    *,
    duration: int = 40,
    rate: int = 25,
    may_restart: bool = False,
    paired: bool = False,
    time_base: Fraction = MS,
) -> FrameTimes:
    ticks = np.array([ABSENT if value is None else value for value in pts], np.int64)
    clock = Clock(time_base, Fraction(rate), may_restart=may_restart, paired=paired)
    none = np.full(len(pts), ABSENT, np.int64)
    return arrange_times(ticks, none, np.full(len(pts), duration, np.int64), clock)


def seconds(times: FrameTimes) -> list[float]:
    return [round(float((value - times.pts[0]) * times.time_base), 6) for value in [*times.pts.tolist(), times.end]]


def steps(count: int, of: float = 0.04) -> list[float]:
    return [round(of * place, 6) for place in range(count + 1)]


@pytest.mark.parametrize(
    "pts",
    [
        [0, 40, 80, 120, 160, 200],
        [-80, -40, 0, 40, 80, 120],
        [None, None, None, 120, 160, 200],
        [0, 40, 80, None, None, None],
        [0, None, None, None, 160, 200],
        [None, None, 80, None, None, 200],
        [None] * 6,
        [40, 160, 120, 200, 80, 320],
        [0] * 6,
        [600, 500, 400, 300, 200, 100],
        [1 << 62] * 6,
        [0, 40, 80, 120, 160, -(1 << 62)],
    ],
)
def test_six_frames_of_40_ms_whatever_they_say(pts: list[int | None]) -> None:
    assert seconds(arranged(pts)) == steps(6)


def test_the_first_time_stays_where_it_is_known() -> None:
    assert arranged([None, 3000, 3040]).pts.tolist() == [2960, 3000, 3040]


def test_variable_distances_are_kept() -> None:
    assert seconds(arranged([0, 33, 100, 133, 5000])) == [0, 0.033, 0.1, 0.133, 5, 5.04]


def test_frames_of_one_tick_share_it() -> None:
    per_second = arranged([0, 0, 0, 0, 1, 1, 1, 1], duration=1, rate=4, time_base=Fraction(1))
    assert seconds(per_second) == steps(8, 0.25)
    assert seconds(arranged([0, 40, 40, 80, 120])) == [0, 0.04, 0.06, 0.08, 0.12, 0.16]


def test_parts_stand_one_behind_the_other() -> None:
    first, second = [40 * i for i in range(40)], [40 * i + 7 for i in range(30)]
    for again in (second, [value + 600 for value in second]):  # from the start again; from amid the first on
        joined = arranged(first + again)
        assert seconds(joined) == steps(70)
        assert joined.parts.tolist() == [0, 40]
        assert joined.source == "decoded frames, 2 parts one behind the other"


def test_a_long_gap_begins_a_part_only_where_clocks_are_set_anew() -> None:
    pts = [*range(0, 400, 40), *range(3_600_000, 3_600_400, 40)]
    assert seconds(arranged(pts, may_restart=True)) == steps(20)
    assert seconds(arranged(pts))[10] == 3600
    slides = [0, 15_000, 30_000, 45_000]
    assert seconds(arranged(slides, may_restart=True))[:4] == [0, 15, 30, 45]


def test_the_last_frame_of_a_part_is_shown_for_its_own_duration() -> None:
    pts = np.array([0, 40, 80, *range(-5000, -4000, 40)], np.int64)
    durations = np.full(len(pts), 40, np.int64)
    durations[2] = 120
    assert arrange_times(pts, pts, durations, Clock(MS, Fraction(25))).pts[3] == 200


def test_two_packets_a_frame_say_nothing_of_its_duration() -> None:
    assert seconds(arranged([0, 40, 80], duration=20, paired=True)) == steps(3)
    assert seconds(arranged([None] * 3, duration=20, paired=True)) == steps(3)
    assert seconds(arranged([None] * 3, duration=20)) == steps(3, 0.02)


@given(
    pts=st.lists(st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 10_000)), min_size=1),
    durations=st.lists(st.integers(0, 1 << 40), min_size=100, max_size=100),
    may_restart=st.booleans(),
    paired=st.booleans(),
)
def test_times_ascend_from_whatever_they_were(
    pts: list[int | None], durations: list[int], may_restart: bool, paired: bool
) -> None:
    ticks = np.array([ABSENT if value is None else value for value in pts][:100], np.int64)
    clock = Clock(Fraction(1, 90_000), Fraction(30_000, 1001), may_restart=may_restart, paired=paired)
    times = arrange_times(ticks, np.sort(ticks), np.array(durations[: len(ticks)], np.int64), clock)
    assert len(times.pts) == len(ticks)
    assert (np.diff(times.pts) > 0).all()
    assert times.end > times.pts[-1]
    assert times.parts[0] == 0
