"""What changes between three consecutive frames. Sources stand at each measure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from vqa.extract.classic.planes import strips

TEMPORAL_NAMES = (
    "temporal_information",
    "temporal_information_change",
    "difference_mean",
    "changed_share",
    "second_difference",
    "brightness_change",
    "frozen_share",
)
"""The features in their order."""

_CHANGED = 4.0
_FROZEN = 0.001 * 255


def measure_change(planes: Sequence[Tensor]) -> Tensor:
    """Measure the luma of three consecutive frames, two pairs.

    Temporal information: ITU-T P.910 (04/2008), the standard deviation of the difference of two frames, here of
    whole frames. A pair counts as frozen below the default bound of FFmpeg's filter freezedetect, a mean difference of
    .001 of the range. Changed: by more than 4 levels. Second difference: |y0 - 2 y1 + y2|, which steady motion
    leaves small and flicker does not. The last two, and the others' names, are ours.

    Args:
        planes: Three of uint8, shape (H, W).

    Returns:
        float64, in the order of `TEMPORAL_NAMES`.
    """
    height, width = planes[0].shape
    pairs = torch.zeros(2, 4, dtype=torch.float64)
    second = torch.zeros((), dtype=torch.float64)
    for start, stop in strips(height, width):
        frames = [plane[start:stop].float() for plane in planes]
        steps = [after - before for before, after in pairwise(frames)]
        second += (steps[1] - steps[0]).abs_().sum(dtype=torch.float64)
        pairs += torch.stack([_sums(step) for step in steps])
    pairs /= height * width
    mean, square, magnitude, changed = pairs.unbind(1)
    information = (square - mean**2).clamp(min=0).sqrt()
    return torch.stack(
        [
            information.mean(),
            (information[1] - information[0]).abs(),
            magnitude.mean(),
            changed.mean(),
            second / (height * width),
            mean.abs().mean(),
            (magnitude < _FROZEN).double().mean(),
        ]
    )


def _sums(step: Tensor) -> Tensor:
    """Return the sums of a difference, its square, its magnitude, and how many pixels changed; float64."""
    square, magnitude = step * step, step.abs()
    sums = [value.sum(dtype=torch.float64) for value in (step, square, magnitude)]
    return torch.stack([*sums, torch.count_nonzero(magnitude > _CHANGED)])
