"""XFeat, a light network for keypoints and their descriptors; here its dense descriptors, averaged.

Paper: G. Potje et al., "XFeat: Accelerated Features for Lightweight Image Matching", CVPR 2024, arXiv 2404.19174,
section 3.1. Original code and weights: verlab/accelerated_features, Apache-2.0 licence.

What differs: the heads for keypoints and reliability and the fine matcher are left out; the map of 64-dimensional
descriptors, one per 8 x 8 pixels and before their normalisation to unit length, is averaged over space.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 64


class XFeat(nn.Module):
    """Maps frames (B, 3, H, W), H and W multiples of 32, to features (B, 64).

    Frames are turned to grey and each is normalised to mean 0 and variance 1, so that the scale of the input does
    not matter.
    """

    def __init__(self) -> None:
        super().__init__()
        self.skip1 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(_layer(1, 4), _layer(4, 8, stride=2), _layer(8, 8), _layer(8, 24, stride=2))
        self.block2 = nn.Sequential(_layer(24, 24), _layer(24, 24))
        self.block3 = nn.Sequential(_layer(24, 64, stride=2), _layer(64, 64), _layer(64, 64, kernel=1))
        self.block4 = nn.Sequential(_layer(64, 64, stride=2), _layer(64, 64), _layer(64, 64))
        self.block5 = nn.Sequential(
            _layer(64, 128, stride=2), _layer(128, 128), _layer(128, 128), _layer(128, 64, kernel=1)
        )
        self.block_fusion = nn.Sequential(_layer(64, 64), _layer(64, 64), nn.Conv2d(64, FEATURES, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Return features (B, 64)."""
        return self.descriptors(frames).mean(dim=(2, 3))

    def descriptors(self, frames: Tensor) -> Tensor:
        """Return the map of descriptors, shape (B, 64, H / 8, W / 8)."""
        grey = functional.instance_norm(frames.mean(dim=1, keepdim=True))
        eighth = self.block3(self.block2(self.block1(grey) + self.skip1(grey)))
        sixteenth = self.block4(eighth)
        thirty_second = self.block5(sixteenth)
        size = eighth.shape[2:]
        fused: Tensor = self.block_fusion(eighth + _enlarge(sixteenth, size) + _enlarge(thirty_second, size))
        return fused


def _layer(channels: int, out: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out, affine=False),
        nn.ReLU(),
    )


def _enlarge(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bring a map to a larger size."""
    return functional.interpolate(x, size=list(size), mode="bilinear")
