"""SlowFast R50 8 x 8, a network that recognises actions; here its features of one clip.

Paper: C. Feichtenhofer, H. Fan, J. Malik, K. He, "SlowFast Networks for Video Recognition", ICCV 2019, section 3 and
table 1. Weights and the names of their tensors: the model zoo of facebookresearch/pytorchvideo, Apache-2.0 licence.

    clip, 32 frames ──► fast pathway: all of them, an eighth of the channels ──────────────────────► pool ─┐
                     │        │ every fourth frame of its maps, after the stem and each stage but the last  ├─► 2304
                     └► slow pathway: 8 frames ──► joined with them ───────────────────────────────► pool ─┘

What differs from the paper: the lateral convolutions span 7 frames instead of 5, as they do in the published weights.
What differs from pytorchvideo: the classifier is left out, and the slow pathway's frames are taken inside the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLIP_FRAMES = 32
FEATURES = 2304

_SLOW_EVERY = 4
"""Alpha of the paper: the fast pathway sees this many times the slow one's frames."""
_CHANNEL_RATIO = 8
"""One over beta of the paper: the slow pathway has this many times the fast one's channels."""
_STEM_CHANNELS = 64
_EXPANSION = 4
_STAGE_DEPTHS = (3, 4, 6, 3)
_SLOW_SPANS = (1, 1, 3, 3)
"""Frames that the first convolution of a block looks at, by stage: the slow pathway waits until objects are formed."""
_FAST_SPANS = (3, 3, 3, 3)
_LATERAL_SPAN = 7
_POOLED_SIDE = 7
"""Side of the window of the last pooling, 224 / 32: larger inputs give the mean over all its places."""


def slow_frames(count: int) -> Tensor:
    """Return the frames that the slow pathway sees: a quarter of them, spread from the first to the last.

        count = 32:  0 4 8 13 17 22 26 31

    Args:
        count: Frames of the clip, 4 or more.

    Returns:
        Indices, shape (count // 4,).
    """
    return torch.linspace(0, count - 1, count // _SLOW_EVERY).long()


class SlowFast(nn.Module):
    """Maps normalised clips (B, 3, 32, H, W), H and W at least 193, to features (B, 2304): 2048 slow, then 256 fast."""

    def __init__(self) -> None:
        super().__init__()
        fused = _STEM_CHANNELS
        blocks: list[nn.Module] = [
            _FusedPair(_Stem(_STEM_CHANNELS, span=1), _Stem(_STEM_CHANNELS // _CHANNEL_RATIO, span=5), fused)
        ]
        for stage, depth in enumerate(_STAGE_DEPTHS):
            inner = _STEM_CHANNELS << stage
            last = stage == len(_STAGE_DEPTHS) - 1
            stride = 1 if stage == 0 else 2
            slow = _Stage(fused + _lateral_channels(fused), inner, depth, span=_SLOW_SPANS[stage], stride=stride)
            fast = _Stage(
                fused // _CHANNEL_RATIO, inner // _CHANNEL_RATIO, depth, span=_FAST_SPANS[stage], stride=stride
            )
            fused = inner * _EXPANSION
            blocks.append(_FusedPair(slow, fast, 0 if last else fused))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, clips: Tensor) -> Tensor:
        """Return features (B, 2304), all of them 0 or more."""
        slow, fast = clips[:, :, slow_frames(clips.shape[2]).to(clips.device)], clips
        for block in self.blocks:
            slow, fast = block(slow, fast)
        return torch.cat([_pooled(slow), _pooled(fast)], dim=1)


def _lateral_channels(slow_channels: int) -> int:
    """Return how many channels come over from the fast pathway: twice its own."""
    return 2 * slow_channels // _CHANNEL_RATIO


def _pooled(maps: Tensor) -> Tensor:
    """Average maps (B, C, T, h, w) over windows of all frames and 7 x 7 places, then over the windows: (B, C)."""
    windows = functional.avg_pool3d(maps, (maps.shape[2], _POOLED_SIDE, _POOLED_SIDE), stride=1)
    return windows.mean(dim=(2, 3, 4))


class _FusedPair(nn.Module):
    """A stem or stage of both pathways; but for the last one, the slow maps then get the fast ones beside them."""

    def __init__(self, slow: nn.Module, fast: nn.Module, slow_channels: int) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = _Lateral(slow_channels) if slow_channels else None

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        slow, fast = self.multipathway_blocks[0](slow), self.multipathway_blocks[1](fast)
        if self.multipathway_fusion is not None:
            slow = torch.cat([slow, self.multipathway_fusion(fast)], dim=1)
        return slow, fast


class _Lateral(nn.Module):
    """Brings fast maps to the slow pathway's frame rate, by a convolution over time."""

    def __init__(self, slow_channels: int) -> None:
        super().__init__()
        given = _lateral_channels(slow_channels)
        self.conv_fast_to_slow = nn.Conv3d(
            slow_channels // _CHANNEL_RATIO,
            given,
            (_LATERAL_SPAN, 1, 1),
            stride=(_SLOW_EVERY, 1, 1),
            padding=(_LATERAL_SPAN // 2, 0, 0),
            bias=False,
        )
        self.norm = nn.BatchNorm3d(given)

    def forward(self, fast: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv_fast_to_slow(fast)))


class _Stem(nn.Module):
    """Frames to maps of a quarter of their side."""

    def __init__(self, channels: int, *, span: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, channels, (span, 7, 7), stride=(1, 2, 2), padding=(span // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, frames: Tensor) -> Tensor:
        maps = functional.relu(self.norm(self.conv(frames)))
        return functional.max_pool3d(maps, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))


class _Stage(nn.Module):
    """Blocks one after the other, the first of which halves the maps' side where `stride` is 2."""

    def __init__(self, channels: int, inner: int, depth: int, *, span: int, stride: int) -> None:
        super().__init__()
        outer = inner * _EXPANSION
        self.res_blocks = nn.Sequential(
            _ShortcutBlock(channels, inner, span=span, stride=stride),
            *(_Block(outer, inner, span=span) for _ in range(depth - 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.res_blocks(x)
        return maps


class _Block(nn.Module):
    """A bottleneck with a shortcut around it."""

    def __init__(self, channels: int, inner: int, *, span: int, stride: int = 1) -> None:
        super().__init__()
        self.branch2 = _Bottleneck(channels, inner, span=span, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.shortcut(x) + self.branch2(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """Return what goes around the bottleneck: the input itself."""
        return x


class _ShortcutBlock(_Block):
    """The first block of a stage, whose shortcut brings the input to the new width and side."""

    def __init__(self, channels: int, inner: int, *, span: int, stride: int) -> None:
        super().__init__(channels, inner, span=span, stride=stride)
        outer = inner * _EXPANSION
        self.branch1_conv = nn.Conv3d(channels, outer, 1, stride=(1, stride, stride), bias=False)
        self.branch1_norm = nn.BatchNorm3d(outer)

    def shortcut(self, x: Tensor) -> Tensor:
        """Return the input, projected."""
        projected: Tensor = self.branch1_norm(self.branch1_conv(x))
        return projected


class _Bottleneck(nn.Module):
    """Three convolutions: over time into few channels, over space, and back to many channels."""

    def __init__(self, channels: int, inner: int, *, span: int, stride: int) -> None:
        super().__init__()
        outer = inner * _EXPANSION
        self.conv_a = nn.Conv3d(channels, inner, (span, 1, 1), padding=(span // 2, 0, 0), bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = nn.Conv3d(inner, inner, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = nn.Conv3d(inner, outer, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(outer)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm_a(self.conv_a(x)))
        x = functional.relu(self.norm_b(self.conv_b(x)))
        restored: Tensor = self.norm_c(self.conv_c(x))
        return restored
