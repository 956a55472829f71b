"""The 13 convolutions of VGG16, without its 3 dense layers of 120 million parameters, which features do not need.

Paper: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556,
table 1, configuration D. Parameters are named as in torchvision's and timm's `vgg16().features`.

What differs: the fifth pooling is left out, since edge detection (S. Xie, Z. Tu, "Holistically-Nested Edge Detection",
ICCV 2015, section 4) reads the last convolutions before it; their map is averaged over space.
"""

from __future__ import annotations

from torch import Tensor, nn

FEATURES = 512

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class Vgg16(nn.Module):
    """Maps frames (B, 3, H, W) to features (B, 512), all of them 0 or more."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in _BLOCKS:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])

    def forward(self, frames: Tensor) -> Tensor:
        """Return features (B, 512)."""
        maps: Tensor = self.features(frames)
        return maps.mean(dim=(2, 3))
