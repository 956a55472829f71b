from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqa.extract.sampling import sample_dense_clips, sample_frames, sample_runs


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


RAMP = np.arange(8.0)
"""Eight frames of a second each."""


def test_runs_begin_with_the_frame_on_screen_and_stay_whole() -> None:
    assert sample_runs(RAMP, 8.0, count=2, run=3).tolist() == [[2, 3, 4], [5, 6, 7]]
    assert sample_runs(RAMP, 8.0, count=4, run=1).tolist() == [[1], [3], [5], [7]]


def test_equal_runs_are_given_once_and_a_short_video_repeats_its_last_frame() -> None:
    assert sample_runs(RAMP[:2], 2.0, count=4, run=3).tolist() == [[0, 1, 1]]
    assert sample_runs(RAMP[:3], 3.0, count=8, run=3).tolist() == [[0, 1, 2]]


def test_dense_clips_have_the_networks_rate_whatever_the_videos() -> None:
    pts = np.arange(80) / 10  # 8 s at 10 frames a second; clips of 4 frames at 5 a second last .8 s
    found = sample_dense_clips(pts, 8.0, clips=2, clip_frames=4, fps=5.0)
    assert found.tolist() == [[17, 19, 21, 23], [57, 59, 61, 63]]
    faster = sample_dense_clips(np.arange(240) / 30, 8.0, clips=2, clip_frames=4, fps=5.0)
    assert faster.tolist() == [[51, 57, 63, 69], [171, 177, 183, 189]]


def test_dense_clips_at_the_ends_are_shifted_inwards() -> None:
    pts = np.arange(20) / 10
    found = sample_dense_clips(pts, 2.0, clips=3, clip_frames=3, fps=2.0)  # 1.5 s of 2 s
    assert found.tolist() == [[2, 7, 12], [5, 10, 15], [7, 12, 17]]


def test_a_video_shorter_than_a_clip_is_one_clip_over_all_of_it() -> None:
    assert sample_dense_clips(RAMP, 8.0, clips=4, clip_frames=4, fps=0.25).tolist() == [[1, 3, 5, 7]]


@given(
    st.lists(st.floats(0.001, 2), min_size=1, max_size=60),
    st.integers(1, 6),
    st.integers(1, 20),
    st.floats(0.2, 60),
)
def test_dense_clips_never_leave_the_video(gaps: list[float], clips: int, clip_frames: int, fps: float) -> None:
    pts = np.concatenate([[0.0], np.cumsum(gaps)])
    found = sample_dense_clips(pts, float(pts[-1]) + 0.04, clips=clips, clip_frames=clip_frames, fps=fps)
    assert 1 <= len(found) <= clips
    assert found.shape[1] == clip_frames
    assert found.min() >= 0
    assert found.max() < len(pts)
    assert (np.diff(found, axis=1) >= 0).all()
