"""Generalised Gaussian fits by moments, symmetric and asymmetric.

Symmetric: K. Sharifi and A. Leon-Garcia, "Estimation of shape parameter for generalized Gaussian distributions in
subband decompositions of video", IEEE TCSVT 5(1), 1995. Asymmetric: N.-E. Lasmar, Y. Stitou and Y. Berthoumieu,
"Multiscale skewed heavy tailed model for texture analysis", ICIP 2009. The shape is looked up between the points of a
dense table of gamma ratios, 0.2 to 10, where Mittal et al. (TIP 2012) take the nearest point of one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

MIN_SHAPE, MAX_SHAPE = 0.2, 10.0
_TABLE_POINTS = 9801


@dataclass(frozen=True, eq=False)
class Moments:
    """What a fit needs to know of samples: float64, one entry of any shape for each set of samples."""

    mean_magnitude: Tensor
    """E|x|."""
    mean_square: Tensor
    """E x^2."""
    left_variance: Tensor
    """E x^2 over the samples below zero; 0 where there are none."""
    right_variance: Tensor
    """E x^2 over the samples above zero; 0 where there are none."""


def moment_ratio(shape: Tensor) -> Tensor:
    """Return (E|x|)^2 / E x^2 of a generalised Gaussian: G(2/a)^2 / (G(1/a) G(3/a)), rising with the shape a."""
    return torch.exp(2 * torch.lgamma(2 / shape) - torch.lgamma(1 / shape) - torch.lgamma(3 / shape))


def find_shape(ratio: Tensor) -> Tensor:
    """Return the shape whose moment ratio this is, within 0.2 to 10; 2 is a Gaussian's, 1 a Laplacian's.

    Args:
        ratio: (E|x|)^2 / E x^2, float64, any shape.
    """
    shapes, ratios = _table()
    upper = torch.searchsorted(ratios, ratio.contiguous()).clamp(1, _TABLE_POINTS - 1)
    low, high = ratios[upper - 1], ratios[upper]
    part = ((ratio - low) / (high - low)).clamp(0, 1)
    return torch.lerp(shapes[upper - 1], shapes[upper], part)


def fit_symmetric(moments: Moments) -> Tensor:
    """Fit a zero-mean generalised Gaussian.

    Returns:
        Shape and variance in a new last dimension. Samples that are all zero have shape 0.2 and variance 0: the limit
        of distributions ever more peaked.
    """
    shape = find_shape(_ratio(moments))
    return torch.stack([shape, moments.mean_square], dim=-1)


def fit_asymmetric(moments: Moments) -> Tensor:
    """Fit an asymmetric generalised Gaussian with its mode at zero.

    Returns:
        Shape, mean (right minus left scale, times G(2/a) / G(1/a)), left and right variance in a new last dimension.
        Samples that are all zero have shape 0.2, mean 0 and both variances 0.
    """
    left, right = moments.left_variance.sqrt(), moments.right_variance.sqrt()
    larger = torch.maximum(left, right)
    skew = torch.minimum(left, right) / torch.where(larger > 0, larger, 1)  # the correction is the same for its inverse
    correction = (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = find_shape(_ratio(moments) * correction)
    log_scale = (torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2
    mean = (right - left) * torch.exp(log_scale + torch.lgamma(2 / shape) - torch.lgamma(1 / shape))
    return torch.stack([shape, mean, moments.left_variance, moments.right_variance], dim=-1)


def _ratio(moments: Moments) -> Tensor:
    square = moments.mean_square
    return moments.mean_magnitude**2 / torch.where(square > 0, square, 1)


@functools.cache
def _table() -> tuple[Tensor, Tensor]:
    shapes = torch.linspace(MIN_SHAPE, MAX_SHAPE, _TABLE_POINTS, dtype=torch.float64)
    return shapes, moment_ratio(shapes)
