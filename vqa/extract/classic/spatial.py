"""What one frame shows: detail, blur, noise, blocks, colour and exposure. Sources stand at each measure.

Sums are float64: pixels are whole numbers, so the variance of a flat area is exactly zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vqa.extract.classic.planes import strips

SPATIAL_NAMES = (
    "spatial_information",
    "gradient_mean",
    "laplacian_variance",
    "noise",
    "blur",
    "blockiness_horizontal",
    "blockiness_vertical",
    "flat_share",
    "colourfulness",
    "brightness",
    "contrast",
    "dynamic_range",
    "entropy",
    "dark_share",
    "bright_share",
)
"""The features in their order."""

_BLOCK = 8
_BEFORE, _AFTER = 4, 5
_BLUR_TAPS = _BEFORE + _AFTER
_BLOCK_FLOOR = 0.1
_DARK, _BRIGHT = 4, 251
_SPREAD = (0.05, 0.95)


def measure_frame(plane: Tensor, frame: Tensor) -> Tensor:
    """Measure one frame.

    Args:
        plane: Its luma, uint8, shape (H, W).
        frame: R'G'B', uint8, shape (3, H, W).

    Returns:
        float64, in the order of `SPATIAL_NAMES`.
    """
    across, along = _lines(plane, dim=1), _lines(plane, dim=0)
    blur = torch.maximum(across.blur(), along.blur())
    blocks = torch.stack([across.blockiness(), along.blockiness()])
    flat = (across.flat / across.count)[None]
    return torch.cat([_detail(plane), blur[None], blocks, flat, _colourfulness(frame)[None], _exposure(plane)])


def _detail(plane: Tensor) -> Tensor:
    """Return spatial information, mean gradient, log10(1 + variance of the Laplacian) and noise.

    The outermost pixels are left out. Spatial information: ITU-T P.910 (04/2008), the standard deviation of the
    Sobel magnitude. Laplacian (4 neighbours): J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000. Noise: J. Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996, in levels.
    """
    height, width = plane.shape
    sums = torch.zeros(5, dtype=torch.float64)
    for start, stop in strips(height - 2, width):
        block = plane[start : stop + 2].float()
        rows = block[:-2] + 2 * block[1:-1] + block[2:]
        sobel_x = rows[:, 2:] - rows[:, :-2]
        step = block[2:] - block[:-2]
        sobel_y = step[:, :-2] + 2 * step[:, 1:-1] + step[:, 2:]
        squares = sobel_x.square_().add_(sobel_y.square_())
        bend = rows - 4 * block[1:-1]  # second difference down the columns
        mask = bend[:, :-2] - 2 * bend[:, 1:-1] + bend[:, 2:]
        centre = block[1:-1]
        laplacian = bend[:, 1:-1] + (centre[:, :-2] - 2 * centre[:, 1:-1] + centre[:, 2:])
        values = (squares, squares.sqrt(), laplacian * laplacian, laplacian, mask.abs_())
        sums += torch.stack([value.sum(dtype=torch.float64) for value in values])
    square, magnitude, bent_square, bent, masked = sums / ((height - 2) * (width - 2))
    variance = (bent_square - bent**2).clamp(min=0)
    return torch.stack(
        [
            (square - magnitude**2).clamp(min=0).sqrt(),
            magnitude,
            torch.log10(1 + variance),
            math.sqrt(math.pi / 2) / 6 * masked,
        ]
    )


class _Lines:
    """Sums over the steps from each pixel to the next along one dimension.

    position    k-4 .. k  k+1 .. k+5        k runs over all pixels that have these neighbours
    step                |-->|
    blurred     |------------------->|      the same step after a mean of nine: one ninth of this difference
    """

    def __init__(self, positions: int) -> None:
        self.steps = torch.zeros(positions, dtype=torch.float64)
        """Sum of |step| at each position along the dimension."""
        self.lost = 0.0
        """Sum of what blurring takes from the steps."""
        self.flat = torch.zeros((), dtype=torch.float64)
        """Pixels whose step is zero."""
        self.count = 0

    def blur(self) -> Tensor:
        """Return 0 where blurring takes all steps away, towards 1 where it takes nothing; 1 where there are no steps.

        F. Crete, T. Dolmiere, P. Ladret and M. Nicolas, "The blur effect: perception and estimation with a new
        no-reference perceptual blur metric", SPIE 6492, 2007.
        """
        total = self.steps.sum()
        return 1 - self.lost / torch.where(total > 0, total, 1)

    def blockiness(self) -> Tensor:
        """Return the log of the mean step at the strongest of the 8 phases of an 8-pixel grid over that at the others.

        Boundaries against insides as in Z. Wang, H. R. Sheikh and A. C. Bovik, "No-reference perceptual quality
        assessment of JPEG compressed images", ICIP 2002; the search for the phase, the ratio and the .1 level that is
        added to both sides are ours. 0 for flat frames.
        """
        phases = torch.arange(len(self.steps)) % _BLOCK
        zeros = torch.zeros(_BLOCK, dtype=torch.float64)
        sums, counts = zeros.index_add(0, phases, self.steps), torch.bincount(phases, minlength=_BLOCK)
        lines = self.count / len(self.steps)
        best = int((sums / counts.clamp(min=1)).argmax())
        on_grid = sums[best] / counts[best] / lines
        off_grid = (sums.sum() - sums[best]) / (counts.sum() - counts[best]) / lines
        return torch.log((on_grid + _BLOCK_FLOOR) / (off_grid + _BLOCK_FLOOR))


def _lines(plane: Tensor, *, dim: int) -> _Lines:
    """Take the steps along the columns (dim 0) or the rows (dim 1) of a plane."""
    height, width = plane.shape
    positions = plane.shape[dim] - _BLUR_TAPS
    lines = _Lines(positions)
    for start, stop in strips(height if dim else positions, width):
        block = plane[start : stop + (0 if dim else _BLUR_TAPS)].float()
        length = block.shape[dim] - _BLUR_TAPS
        here, following, far, farther = (block.narrow(dim, at, length) for at in (_BEFORE, _BEFORE + 1, 0, _BLUR_TAPS))
        steps = (following - here).abs_()
        blurred = (farther - far).abs_()
        place = slice(None) if dim else slice(start, stop)
        lines.steps[place] += steps.sum(1 - dim)
        lines.flat += steps.numel() - torch.count_nonzero(steps)
        lines.lost += float(steps.sub_(blurred, alpha=1 / _BLUR_TAPS).clamp_(min=0).sum())
        lines.count += steps.numel()
    return lines


def _colourfulness(frame: Tensor) -> Tensor:
    """Return colourfulness: 0 for grey, from about 109 on extremely colourful to raters.

    D. Hasler and S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003, their M(3): of
    R' - G' and (R' + G') / 2 - B', the joint deviation plus .3 of the distance of the means from grey.
    """
    _, height, width = frame.shape
    sums = torch.zeros(4, dtype=torch.float64)
    for start, stop in strips(height, width):
        red, green, blue = frame[:, start:stop].float()
        red_green = red - green
        yellow_blue = ((red + green) / 2).sub_(blue)
        values = (red_green, red_green * red_green, yellow_blue, yellow_blue * yellow_blue)
        sums += torch.stack([value.sum(dtype=torch.float64) for value in values])
    red_green_mean, red_green_square, yellow_blue_mean, yellow_blue_square = sums / (height * width)
    means = red_green_mean**2 + yellow_blue_mean**2
    variance = (red_green_square + yellow_blue_square - means).clamp(min=0)
    return torch.add(variance.sqrt(), means.sqrt(), alpha=0.3)


def _exposure(plane: Tensor) -> Tensor:
    """Return mean, deviation, spread of the middle 90 %, entropy in bits, dark and bright share of a luma plane.

    Contrast is the deviation: E. Peli, "Contrast in complex images", JOSA A 7(10), 1990. Dark: up to level 4; bright:
    from level 251 on; both bounds are ours.
    """
    counts = torch.bincount(plane.reshape(-1), minlength=256).double()
    share = counts / counts.sum()
    levels = torch.arange(256, dtype=torch.float64)
    mean = (share * levels).sum()
    variance = (share * (levels - mean) ** 2).sum()
    low, high = (torch.searchsorted(share.cumsum(0), part).double() for part in _SPREAD)
    entropy = torch.special.entr(share).sum() / math.log(2)
    dark, bright = share[: _DARK + 1].sum(), share[_BRIGHT:].sum()
    return torch.stack([mean, variance.sqrt(), high - low, entropy, dark, bright])
