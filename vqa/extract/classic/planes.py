"""Luma planes, and walking over them in strips that fit a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vqa.errors import VideoError

MIN_SIDE = 16
"""Frames narrower or lower than this are refused: the half-size picture would be smaller than two of its windows."""

_RED, _GREEN, _BLUE = 306 / 1024, 601 / 1024, 117 / 1024  # BT.601's, in 1/1024: their sum is 1, all products exact
_STRIP_PIXELS = 1 << 16


def luma(frame: Tensor) -> Tensor:
    """Return a frame's luma Y' = .299 R' + .587 G' + .114 B', rounded to whole levels of the full range.

    The weights are those of BT.601 whatever the source's matrix was, so that a figure means the same for every video.
    Grey of level v has luma v exactly.

    Args:
        frame: R'G'B', uint8, shape (3, H, W).

    Returns:
        uint8, shape (H, W), 0 to 255.

    Raises:
        VideoError: the frame is less than 16 pixels wide or high.
    """
    _, height, width = frame.shape
    if min(height, width) < MIN_SIDE:
        raise VideoError(
            f"a frame of {width} x {height} pixels is too small to be measured; "
            f"leave the classic models out, or use videos of at least {MIN_SIDE} x {MIN_SIDE}"
        )
    plane = torch.empty((height, width), dtype=torch.uint8, device=frame.device)
    for start, stop in strips(height, width):
        red, green, blue = frame[:, start:stop].float()
        plane[start:stop] = (red * _RED).add_(green, alpha=_GREEN).add_(blue, alpha=_BLUE).add_(0.5)  # cuts off
    return plane


def strips(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of each strip, together all rows, each strip small enough for the cache.

    rows = 5, two to a strip:  (0, 2) (2, 4) (4, 5)
    """
    height = max(MIN_SIDE, _STRIP_PIXELS // width)
    for start in range(0, rows, height):
        yield start, min(start + height, rows)
