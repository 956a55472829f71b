"""Natural scene statistics: the 36 features of BRISQUE.

A. Mittal, A. K. Moorthy and A. C. Bovik, "No-reference image quality assessment in the spatial domain", IEEE TIP
21(12), 2012, sections III-A and III-B. Where we differ from the authors' released code:

- neighbours are paired inside the picture only, where the code pairs the last column with the first;
- the fit of the MSCN coefficients is the symmetric one of the paper;
- odd last rows and columns are no part of the half-size picture, and its edge repeats the outermost pixels;
- window weights are rounded to 1/1024. All figures of a flat area are then exact in float32: it is zero, not noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad as pad_edges

from vqa.extract.classic.fits import Moments, fit_asymmetric, fit_symmetric
from vqa.extract.classic.planes import luma, strips

_SCALES = ("full", "half")
_PAIRS = ("horizontal", "vertical", "diagonal", "antidiagonal")
_FIT = ("shape", "mean", "left_variance", "right_variance")
NSS_NAMES = tuple(
    f"{scale}_{name}"
    for scale in _SCALES
    for name in ("mscn_shape", "mscn_variance", *(f"{pair}_{value}" for pair in _PAIRS for value in _FIT))
)
"""The features in their order, 36."""

_MIDDLE = 128.0
"""Subtracted from luma: squares stay small, so that float32 holds the sums of a flat area exactly."""
_REACH = 3
_SIGMA = 7 / 6
_STABILISER = 1.0
_HALF_TAPS = (111 / 256, 29 / 256, -9 / 256, -3 / 256)
"""Keys' bicubic (a = -1/2) stretched to two pixels, at 1/2, 3/2, 5/2 and 7/2 pixels: exact fractions."""


def _window() -> tuple[float, ...]:
    """Return the Gaussian's weights at distance 0 to 3 in units of 1/1024; both sides together sum to 1."""
    raw = [math.exp(-(distance**2) / (2 * _SIGMA**2)) for distance in range(_REACH + 1)]
    total = raw[0] + 2 * sum(raw[1:])
    sides = [round(1024 * value / total) / 1024 for value in raw[1:]]
    return (1 - 2 * sum(sides), *sides)


_WINDOW = _window()


class SceneStatistics(nn.Module):
    """Measures single frames at full and half size."""

    def forward(self, runs: Tensor) -> Tensor:
        """Measure frames.

        Args:
            runs: R'G'B', uint8, shape (B, 1, 3, H, W).

        Returns:
            float32, shape (B, 36), in the order of `NSS_NAMES`; shapes 0.2 to 10, means -8 to 8, variances 0 to 56.
            A frame of one colour gives shapes of 0.2, and 0 for all else.

        Raises:
            VideoError: frames are less than 16 pixels wide or high.
        """
        return torch.stack([_measure(frame) for (frame,) in runs]).float()


def _measure(frame: Tensor) -> Tensor:
    """Return the 36 features of a frame (3, H, W), float64."""
    full = luma(frame)
    return torch.cat([_scale_features(full), _scale_features(_halve(full))])


def _scale_features(plane: Tensor) -> Tensor:
    """Return the 18 features of a plane (H, W): uint8 luma, or float32 with the middle level taken off."""
    height, width = plane.shape
    sums = torch.zeros(1 + len(_PAIRS), 6, dtype=torch.float64)
    for start, stop in strips(height, width):
        below = min(stop + 1, height)  # one row more, for the pairs that reach down
        coefficients = mscn(_block(plane, start - _REACH, below + _REACH))
        own = coefficients[: stop - start]
        products = (
            own[:, :-1] * own[:, 1:],
            coefficients[:-1] * coefficients[1:],
            coefficients[:-1, :-1] * coefficients[1:, 1:],
            coefficients[:-1, 1:] * coefficients[1:, :-1],
        )
        sums += torch.stack([_sums(samples) for samples in (own, *products)])
    single, pairs = _moments(sums[0]), _moments(sums[1:])
    return torch.cat([fit_symmetric(single), fit_asymmetric(pairs).flatten()])


def mscn(block: Tensor) -> Tensor:
    """Return mean-subtracted contrast-normalised coefficients, (x - mean) / (deviation + 1) under the 7 x 7 window.

    Args:
        block: Luma less 128, float32, shape (h + 6, w + 6).

    Returns:
        float32, shape (h, w), between -2.8 and 2.8: the window gives the middle pixel .117 of the weight.
    """
    both = torch.stack([block, block * block])
    for dim in (2, 1):
        both = _weigh(both, dim)
    mean, square = both
    deviation = square.sub_(mean * mean).clamp_(min=0).sqrt_()
    centre = block[_REACH:-_REACH, _REACH:-_REACH]
    return torch.div(centre - mean, deviation.add_(_STABILISER))


def _weigh(planes: Tensor, dim: int) -> Tensor:
    """Average under the Gaussian along a dimension, which loses 3 at each end."""
    length = planes.shape[dim] - 2 * _REACH
    result = planes.narrow(dim, _REACH, length) * _WINDOW[0]
    for distance, weight in enumerate(_WINDOW[1:], start=1):
        before, after = (planes.narrow(dim, _REACH + step, length) for step in (-distance, distance))
        result.add_(before + after, alpha=weight)
    return result


def _halve(plane: Tensor) -> Tensor:
    """Return uint8 luma (H, W) at half size, antialiased bicubic, less 128: float32 (H // 2, W // 2).

    pixel        0   1   2   3   4   5   6   7   8
    half size      0       1       2       3          each from the four pixels on either side of it
    """
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    half = torch.empty((height, width))
    for start, stop in strips(height, 4 * width):
        block = _block(plane[: 2 * height, : 2 * width], 2 * start - _REACH, 2 * stop + _REACH)
        half[start:stop] = _decimate(_decimate(block, 0), 1)
    return half


def _decimate(block: Tensor, dim: int) -> Tensor:
    """Halve along a dimension that stands out by 3 at each end."""
    lines = block.movedim(dim, 0)
    ends = len(lines) - 2 * _REACH - 1
    result = torch.zeros(())
    for step, weight in enumerate(_HALF_TAPS):
        before, after = (lines[first : ends + first : 2] for first in (_REACH - step, _REACH + 1 + step))
        result = result + (before + after) * weight
    return result.movedim(0, dim)


def _block(plane: Tensor, start: int, stop: int) -> Tensor:
    """Return rows start to stop and 3 columns more on each side, float32, the outermost pixels repeated."""
    height = plane.shape[0]
    rows = plane[max(start, 0) : min(stop, height)].float()
    if plane.dtype == torch.uint8:
        rows -= _MIDDLE
    edges = (_REACH, _REACH, max(-start, 0), max(stop - height, 0))
    return pad_edges(rows[None], edges, mode="replicate")[0]


def _sums(samples: Tensor) -> Tensor:
    """Return count, sum of magnitudes and of squares, squares above zero, and how many are above and below; float64.

    Args:
        samples: float32, contiguous; used up.
    """
    flat = samples.view(-1)
    above = flat.clamp(min=0)
    magnitude = 2 * above.sum() - flat.sum()
    squares, squares_above = torch.dot(flat, flat), torch.dot(above, above)
    count_above = above.sign_().sum()
    count_below = count_above - flat.sign_().sum()
    count = torch.tensor(float(flat.numel()))
    return torch.stack([count, magnitude, squares, squares_above, count_above, count_below]).double()


def _moments(sums: Tensor) -> Moments:
    """Turn sums (..., 6) into moments (...)."""
    count, magnitude, squares, squares_above, count_above, count_below = sums.unbind(-1)
    return Moments(
        mean_magnitude=magnitude / count,
        mean_square=squares / count,
        left_variance=(squares - squares_above).clamp(min=0) / count_below.clamp(min=1),
        right_variance=squares_above / count_above.clamp(min=1),
    )
