"""Frames -> model input: a view turns a decoded frame into the network's pixels.

`resize` is the evaluation transform of the weights' own library: resize, then centre crop. It is computed on uint8
tensors with antialiasing, which agrees with PIL's to a feature cosine of .99999 and is several times faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from vqa.extract.spec import Candidate, InputSpec

_MODES = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}


@dataclass(frozen=True)
class View:
    """All that decides a view's pixels; candidates with equal views share them."""

    name: str
    resize: tuple[int, ...]
    crop: tuple[int, int]
    interpolation: str
    antialias: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame of this view."""
        return 3 * self.crop[0] * self.crop[1]


def view_of(candidate: Candidate) -> View:
    """Return the view a candidate looks at."""
    spec = candidate.input
    return View(candidate.spec.view, spec.resize, spec.crop, spec.interpolation, spec.antialias)


def render(rgb: NDArray[np.uint8], view: View) -> Tensor:
    """Compute a view of one frame.

    Args:
        rgb: Pixels of shape (H, W, 3), 0 to 255.
        view: What to make of them.

    Returns:
        Pixels of shape (3, h, w), uint8.
    """
    # A (H, W, C) array seen as (C, H, W) is channels-last, for which torch resizes uint8 fastest.
    frame = torch.from_numpy(rgb).permute(2, 0, 1)
    frame = transforms.resize(
        frame, list(view.resize), interpolation=_MODES[view.interpolation], antialias=view.antialias
    )
    cropped: Tensor = transforms.center_crop(frame, list(view.crop))
    return cropped.contiguous()


def normalise(frames: Tensor, spec: InputSpec) -> Tensor:
    """Bring uint8 frames (B, 3, h, w) to the network's scale: / 255, - mean, / std, in float32."""
    mean = torch.tensor(spec.mean, device=frames.device).view(1, 3, 1, 1)
    std = torch.tensor(spec.std, device=frames.device).view(1, 3, 1, 1)
    return (frames.float() / 255 - mean) / std
