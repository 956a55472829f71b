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
    # Times are sums of ticks: an instant that falls on a frame's first tick must not slip to the frame before.
    shown = np.searchsorted(pts_seconds, instants + 1e-9, side="right") - 1
    inside: NDArray[np.intp] = np.clip(shown, 0, len(pts_seconds) - 1)
    return inside
