"""ResNet-50-thin: a ResNet-50 with half the channels, as Yahoo's Open NSFW model uses it.

Papers: K. He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385, table 1, for the layout;
K. He, J. Sun, "Convolutional Neural Networks at Constrained Time Cost", arXiv 1412.1710, for the thinner widths.
Original code and weights: yahoo/open_nsfw, BSD-2-Clause licence.

What differs from common ResNet-50s: a stage's stride stands in its first 1 x 1 convolution, as in the first paper; the
pooling after the stem has no padding but takes in a last part-window, as in Caffe. What differs from the original:
batch normalisation is folded into the convolutions, and the classifier is left out.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1024
BLOCKS = (3, 4, 6, 3)

_STEM = 64
_WIDTHS = (32, 64, 128, 256)
_EXPANSION = 4


class ResNet50Thin(nn.Module):
    """Maps frames (B, 3, H, W) to features (B, 1024), all of them 0 or more."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 7, stride=2, padding=3)
        channels = _STEM
        stages = []
        for number, (width, count) in enumerate(zip(_WIDTHS, BLOCKS, strict=True)):
            first = _Bottleneck(channels, width, stride=1 if number == 0 else 2, project=True)
            channels = width * _EXPANSION
            stages.append(nn.Sequential(first, *(_Bottleneck(channels, width) for _ in range(count - 1))))
        self.stages = nn.Sequential(*stages)

    def forward(self, frames: Tensor) -> Tensor:
        """Return features (B, 1024)."""
        x = functional.max_pool2d(functional.relu(self.stem(frames)), kernel_size=3, stride=2, ceil_mode=True)
        maps: Tensor = self.stages(x)
        return maps.mean(dim=(2, 3))


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""

    def __init__(self, channels: int, width: int, *, stride: int = 1, project: bool = False) -> None:
        super().__init__()
        out = width * _EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, stride=stride)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, out, 1)
        self.shortcut: nn.Module = nn.Conv2d(channels, out, 1, stride=stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        return functional.relu(self.conv3(inner) + self.shortcut(x))
