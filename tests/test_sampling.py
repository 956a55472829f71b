from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqa.extract.sampling import sample_frames


def test_takes_the_frames_at_the_centres_of_equal_parts() -> None:
    assert sample_frames(np.arange(8.0), 8.0, 4).tolist() == [1, 3, 5, 7]


def test_goes_by_time_where_the_frame_rate_varies() -> None:
    # Frame 0 stays for 7 s, then three frames follow within 1 s.
    assert sample_frames(np.array([0.0, 7.0, 7.3, 7.6]), 8.0, 4).tolist() == [0, 0, 0, 1]
    assert sample_frames(np.array([0.0, 7.0, 7.3, 7.6]), 8.0, 8).tolist() == [0, 0, 0, 0, 0, 0, 0, 2]


def test_a_frame_that_starts_at_the_instant_is_the_one_on_screen() -> None:
    # Twelve frames of 1/30 s, 3 parts: the centres are frames 2, 6 and 10 exactly, whatever the rounding.
    assert sample_frames(np.arange(12) / 30, 12 / 30, 3).tolist() == [2, 6, 10]


def test_a_start_other_than_zero_shifts_nothing() -> None:
    assert sample_frames(np.arange(8.0) + 100, 108.0, 4).tolist() == [1, 3, 5, 7]


def test_a_short_video_gives_frames_more_than_once() -> None:
    assert sample_frames(np.array([0.0, 1.0]), 2.0, 4).tolist() == [0, 0, 1, 1]


@given(st.lists(st.floats(1e-3, 10), min_size=1, max_size=30), st.integers(1, 40))
def test_every_index_exists_and_time_never_runs_back(gaps: list[float], count: int) -> None:
    pts = np.cumsum([0.0, *gaps[:-1]])
    chosen = sample_frames(pts, float(np.sum(gaps)), count)
    assert len(chosen) == count
    assert chosen.min() >= 0
    assert chosen.max() < len(pts)
    assert (np.diff(chosen) >= 0).all()
