"""Frames -> model input: a view turns a decoded frame into the network's pixels; docs/views.md draws them.

- `resize`: the evaluation transform of the weights' own library, resize then centre crop, the paper's. On uint8 tensors
  with antialiasing, which agrees with PIL's to a feature cosine of .99999 and is several times faster.
- `crop`: the middle of the frame at native resolution, of the network's input size.
- `fragments`: a grid of native-resolution patches, as in H. Wu et al., "FAST-VQA: Efficient end-to-end video quality
  assessment with fragment sampling", ECCV 2022, section 3.1: about 32 pixels a side, 7 x 7 for an input of 224. They
  draw each patch's place in its cell at random, for each video anew; ours is the middle of the cell, so that the
  frame's size alone decides it and all frames of a clip show the same patches.

A frame smaller than the input is first enlarged, its shape kept, until both sides reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from vqa.extract.spec import Candidate, InputSpec

_PATCH = 32
"""Pixels a side of a fragment that are aimed at."""


@dataclass(frozen=True)
class View:
    """All that decides a view's pixels; candidates with equal views share them."""

    name: str
    resize: tuple[int, ...]
    """Empty for the views of native resolution."""
    crop: tuple[int, int]
    interpolation: str
    antialias: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame of this view."""
        return 3 * self.crop[0] * self.crop[1]


def view_of(candidate: Candidate) -> View:
    """Return the view a candidate looks at; those of native resolution depend on the input's size alone."""
    spec = candidate.input
    assert isinstance(spec, InputSpec), "native candidates measure frames as they are"
    if candidate.spec.view in _NATIVE:
        return View(candidate.spec.view, (), spec.crop, "bicubic", antialias=True)
    return View(candidate.spec.view, spec.resize, spec.crop, spec.interpolation, spec.antialias)


def render(rgb: NDArray[np.uint8], view: View) -> Tensor:
    """Compute a view of one frame.

    Args:
        rgb: Pixels of shape (H, W, 3), 0 to 255.
        view: What to make of them.

    Returns:
        Pixels of shape (3, h, w), uint8.
    """
    # A batch of one (H, W, C) array seen as (C, H, W) is channels-last, for which torch resizes uint8 fastest.
    frame = torch.from_numpy(rgb)[None].permute(0, 3, 1, 2)
    if view.name in _NATIVE:
        return _NATIVE[view.name](_enlarged(frame, view), view.crop)[0]
    return _crop(_resized(frame, view.resize, view), view.crop)[0]


def _resized(frame: Tensor, size: Sequence[int], view: View) -> Tensor:
    """Resize a frame (1, 3, H, W) to a height and width, or its shorter side to one length, as torchvision does.

    Torchvision itself is not asked: importing it takes every decode worker longer than importing torch.
    """
    height, width = frame.shape[-2:]
    if len(size) == 1:
        shorter = min(height, width)
        size = (size[0] * height // shorter, size[0] * width // shorter)
    if tuple(size) == (height, width):
        return frame
    return interpolate(frame, tuple(size), mode=view.interpolation, align_corners=False, antialias=view.antialias)


def _enlarged(frame: Tensor, view: View) -> Tensor:
    """Enlarge a frame that does not cover the input, its shape kept, until it just does."""
    height, width = frame.shape[-2:]
    scale = max(view.crop[0] / height, view.crop[1] / width)
    if scale <= 1:
        return frame
    # Rounding up never falls short of the input, not even where the product is a hair too small.
    size = [max(need, round(side * scale)) for side, need in zip((height, width), view.crop, strict=True)]
    return _resized(frame, size, view)


def _crop(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the middle of a frame (1, 3, H, W): (1, 3, h, w); what it lacks is black."""
    (height, width), (high, wide) = frame.shape[-2:], size
    if height < high or width < wide:
        lacks = [max(0, wide - width), max(0, high - height)]
        frame = pad(frame, [part for lack in lacks for part in (lack // 2, (lack + 1) // 2)])
        height, width = frame.shape[-2:]
    top, left = round((height - high) / 2), round((width - wide) / 2)
    return frame[..., top : top + high, left : left + wide].contiguous()


def _fragments(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Put a grid of patches of a frame (1, 3, H, W) side by side: (1, 3, h, w)."""
    rows, columns = (fragment_positions(length, need) for length, need in zip(frame.shape[-2:], size, strict=True))
    return frame[..., rows, :][..., columns].contiguous()


def fragment_positions(length: int, size: int) -> Tensor:
    """Return which pixels along one side of a frame its fragments show.

        |   cell 0   |   cell 1   |   cell 2   |     length = 288, size = 96, three patches of 32
        |    xxxx    |    xxxx    |    xxxx    |     x: the patch in the middle of each cell
            32..63      128..159     224..255

    Args:
        length: Of the frame's side, at least `size`.
        size: Of the input's side. Its patches are as equal as can be, as near to 32 pixels as can be.

    Returns:
        Positions in ascending order, shape (size,), int64.
    """
    cells = max(1, round(size / _PATCH))
    bounds = [cell * size // cells for cell in range(cells + 1)]
    positions = []
    for cell, (begin, end) in enumerate(pairwise(bounds)):
        # What the frame has more than the input is shared out: half a cell's share before its patch, half behind it.
        first = begin + (2 * cell + 1) * (length - size) // (2 * cells)
        positions.append(torch.arange(first, first + end - begin))
    return torch.cat(positions)


_NATIVE: Mapping[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {"crop": _crop, "fragments": _fragments}
"""Views of native resolution, by the name they have in a spec."""


def normalise(frames: Tensor, spec: InputSpec) -> Tensor:
    """Bring uint8 frames (B, 3, h, w) to the network's scale: / 255, - mean, / std, in float32."""
    mean = torch.tensor(spec.mean, device=frames.device).view(1, 3, 1, 1)
    std = torch.tensor(spec.std, device=frames.device).view(1, 3, 1, 1)
    return (frames.float() / 255 - mean) / std
