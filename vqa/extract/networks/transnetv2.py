"""TransNet V2, a network that finds shot boundaries; here its features of one clip.

Paper: T. Souček, J. Lokoč, "TransNet V2: An effective deep network architecture for fast shot transition detection",
arXiv 2008.04838, figure 1. Original code and weights: soCzech/TransNetV2, MIT licence.

What differs: the two classifiers are left out; the 1024 values per frame that they would read (the last dense layer,
after ReLU) are averaged over the clip. Frames come as 0 to 1 rather than as bytes; the colour histograms round them
back to bytes. Dropout does nothing at inference and is left out. The network was trained on 100 consecutive frames,
not on frames spread over a whole video.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLIP_FRAMES = 100
HEIGHT, WIDTH = 27, 48
FEATURES = 1024

_FILTERS = (16, 32, 64)
_DILATIONS = (1, 2, 4, 8)
_WINDOW = 101
_SIMILARITIES = 128
_LEVELS = 8
"""Histogram bins per colour channel: the upper three bits of each byte."""


class TransNetV2(nn.Module):
    """Maps clips (B, 3, T, 27, 48) of RGB in 0 to 1 to features (B, 1024)."""

    def __init__(self) -> None:
        super().__init__()
        channels = [filters * len(_DILATIONS) for filters in _FILTERS]
        self.stages = nn.ModuleList(
            _Stage(before, filters) for before, filters in zip([3, *channels], _FILTERS, strict=False)
        )
        self.similarity = _FrameSimilarity(sum(channels))
        self.histograms = _ColourHistograms()
        cells = (HEIGHT // 8) * (WIDTH // 8)
        self.dense = nn.Linear(2 * _SIMILARITIES + channels[-1] * cells, FEATURES)

    def forward(self, clips: Tensor) -> Tensor:
        """Return features (B, 1024), all of them 0 or more."""
        maps = []
        x = clips
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        per_frame = x.permute(0, 2, 3, 4, 1).flatten(2)
        histograms = self.histograms(clips).to(x.dtype)
        joined = torch.cat([histograms, self.similarity(maps), per_frame], dim=2)
        return functional.relu(self.dense(joined)).mean(dim=1)


class _Stage(nn.Module):
    """Two blocks of dilated convolutions with a shortcut around the second, then pooling over space."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        width = filters * len(_DILATIONS)
        self.blocks = nn.ModuleList([_DilatedBlock(channels, filters), _DilatedBlock(width, filters)])

    def forward(self, x: Tensor) -> Tensor:
        first = functional.relu(self.blocks[0](x))
        second = functional.relu(self.blocks[1](first))
        return functional.avg_pool3d(first + second, kernel_size=(1, 2, 2))


class _DilatedBlock(nn.Module):
    """Four convolutions side by side that look 1, 2, 4 and 8 frames away, each split into space and time."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_convolution(channels, filters, dilation) for dilation in _DILATIONS)
        self.norm = nn.BatchNorm3d(filters * len(_DILATIONS), eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.norm(torch.cat([branch(x) for branch in self.branches], dim=1))
        return joined


def _convolution(channels: int, filters: int, dilation: int) -> nn.Sequential:
    """Return a 3 x 3 convolution over space, then one of 3 frames, `dilation` apart, over time."""
    return nn.Sequential(
        nn.Conv3d(channels, 2 * filters, (1, 3, 3), padding=(0, 1, 1), bias=False),
        nn.Conv3d(2 * filters, filters, (3, 1, 1), padding=(dilation, 0, 0), dilation=(dilation, 1, 1), bias=False),
    )


class _FrameSimilarity(nn.Module):
    """Learned likeness of each frame to its 50 neighbours on either side, shape (B, T, 128)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, _SIMILARITIES)
        self.dense = nn.Linear(_WINDOW, _SIMILARITIES)

    def forward(self, maps: list[Tensor]) -> Tensor:
        pooled = torch.cat([x.mean(dim=(3, 4)) for x in maps], dim=1).transpose(1, 2)
        return functional.relu(self.dense(_likeness_to_neighbours(self.projection(pooled))))


class _ColourHistograms(nn.Module):
    """Likeness of each frame's colours to those of its 50 neighbours on either side, shape (B, T, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(_WINDOW, _SIMILARITIES)

    def forward(self, clips: Tensor) -> Tensor:
        likeness = _likeness_to_neighbours(colour_histograms(clips))
        return functional.relu(self.dense(likeness.to(self.dense.weight.dtype)))


def colour_histograms(clips: Tensor) -> Tensor:
    """Count each frame's pixels in 8 x 8 x 8 bins of red, green and blue.

    Args:
        clips: RGB in 0 to 1, shape (B, 3, T, H, W). Values outside, as bicubic resizing leaves them, are clipped.

    Returns:
        Counts, shape (B, T, 512), float32.
    """
    levels = (clips.float() * 255).round().clamp(0, 255).long() // (256 // _LEVELS)
    red, green, blue = levels.flatten(3).unbind(dim=1)
    bins = (red * _LEVELS + green) * _LEVELS + blue
    counts = torch.zeros(*bins.shape[:2], _LEVELS**3, device=clips.device)
    return counts.scatter_add(2, bins, torch.ones_like(bins, dtype=counts.dtype))


def _likeness_to_neighbours(rows: Tensor) -> Tensor:
    """Return the cosine of each frame's row with those of the frames around it, 0 beyond the clip's ends.

        frame t against frames  t - 50 ... t ... t + 50   ->  101 values

    Args:
        rows: Shape (B, T, D).

    Returns:
        Shape (B, T, 101).
    """
    unit = functional.normalize(rows, dim=2)
    cosines = functional.pad(unit @ unit.transpose(1, 2), (_WINDOW // 2, _WINDOW // 2))
    return cosines.unfold(2, _WINDOW, 1).diagonal(dim1=1, dim2=2).transpose(1, 2)
