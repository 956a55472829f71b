"""Which frames of a video are looked at: by time, not by index, so that variable frame rate needs no special case."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_frames(pts_seconds: NDArray[np.float64], end_seconds: float, count: int) -> NDArray[np.intp]:
    """Return the index of the frame on screen at the centre of each of `count` equal parts of the duration.

        8 frames of 1 s, count = 4:   |0 1|2 3|4 5|6 7|   ->   [1, 3, 5, 7]
                                         ^   ^   ^   ^

    A frame is on screen from its own presentation time to the next frame's. A video with fewer frames than `count`
    gives some index more than once.

    Args:
        pts_seconds: Presentation times in ascending order, shape (N,), N >= 1.
        end_seconds: When the last frame leaves the screen.
        count: Number of instants, 1 or more.

    Returns:
        Indices in ascending order, shape (count,).
    """
    start = pts_seconds[0]
    instants = start + (end_seconds - start) * (np.arange(count) + 0.5) / count
    return _shown_at(pts_seconds, instants)


def _shown_at(pts_seconds: NDArray[np.float64], instants: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the index of the frame on screen at each instant."""
    # Times are sums of ticks: an instant that falls on a frame's first tick must not slip to the frame before.
    shown = np.searchsorted(pts_seconds, instants + 1e-9, side="right") - 1
    inside: NDArray[np.intp] = np.clip(shown, 0, len(pts_seconds) - 1)
    return inside


def sample_runs(pts_seconds: NDArray[np.float64], end_seconds: float, *, count: int, run: int) -> NDArray[np.intp]:
    """Return runs of consecutive frames, each from the frame on screen at one of `count` instants on.

        8 frames, count = 2, run = 3:   0 1 2 3 4 5 6 7   ->   [[2, 3, 4], [5, 6, 7]]
                                            ^       ^          the second begins one earlier, so that it is whole

    Equal runs are given once. A video with fewer frames than a run repeats its last.

    Args:
        pts_seconds: Presentation times in ascending order, shape (N,), N >= 1.
        end_seconds: When the last frame leaves the screen.
        count: Number of instants, 1 or more.
        run: Frames of each run, 1 or more.

    Returns:
        Indices, shape (I, run), 1 <= I <= count.
    """
    latest = max(0, len(pts_seconds) - run)
    starts = np.unique(np.minimum(sample_frames(pts_seconds, end_seconds, count), latest))
    runs: NDArray[np.intp] = np.minimum(starts[:, None] + np.arange(run), len(pts_seconds) - 1)
    return runs


def sample_dense_clips(
    pts_seconds: NDArray[np.float64], end_seconds: float, *, clips: int, clip_frames: int, fps: float
) -> NDArray[np.intp]:
    """Return clips at the frame rate a video network was trained on, centred on equal parts of the duration.

        |     part 1    |     part 2    |     clips = 2, clip_frames = 4: every clip lasts 4 / fps
        |     x x x x   |     x x x x   |     x: an instant; its frame is the one on screen

    A clip that would reach over an end is shifted inwards. A video shorter than a clip gives one clip spread over all
    of it, at whatever rate that is: nothing is shown that was not filmed. Equal clips are given once.

    Args:
        pts_seconds: Presentation times in ascending order, shape (N,), N >= 1.
        end_seconds: When the last frame leaves the screen.
        clips: How many, 1 or more.
        clip_frames: Frames of each.
        fps: Frames per second inside a clip, above 0.

    Returns:
        Indices, shape (I, clip_frames), 1 <= I <= clips.
    """
    start, lasts = pts_seconds[0], clip_frames / fps
    if end_seconds - start <= lasts:
        return sample_frames(pts_seconds, end_seconds, clip_frames)[None]
    centres = start + (end_seconds - start) * (np.arange(clips) + 0.5) / clips
    begins = np.clip(centres - lasts / 2, start, end_seconds - lasts)
    instants = begins[:, None] + (np.arange(clip_frames) + 0.5) / fps
    found: NDArray[np.intp] = np.unique(_shown_at(pts_seconds, instants), axis=0)
    return found
