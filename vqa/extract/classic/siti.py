"""Spatial and temporal information by ITU-T P.910, and measures of blur, noise, blocks, colour, light and freezes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqa.extract.classic.planes import luma
from vqa.extract.classic.spatial import SPATIAL_NAMES, measure_frame
from vqa.extract.classic.temporal import TEMPORAL_NAMES, measure_change

SITI_NAMES = (*SPATIAL_NAMES, *TEMPORAL_NAMES)
"""The features in their order, 22."""


class SpatialTemporalInformation(nn.Module):
    """Measures the first frame of each run, and the change over the run."""

    def forward(self, runs: Tensor) -> Tensor:
        """Measure runs of consecutive frames.

        Args:
            runs: R'G'B', uint8, shape (B, 3, 3, H, W).

        Returns:
            float32, shape (B, 22), in the order of `SITI_NAMES`; all between 0 and 1100. Frames of one colour give a
            blur of 1, and 0 for all but blur, colour, brightness and shares.

        Raises:
            VideoError: frames are less than 16 pixels wide or high.
        """
        return torch.stack([_measure(frames) for frames in runs]).float()


def _measure(frames: Tensor) -> Tensor:
    """Return the 22 features of a run (3, 3, H, W), float64."""
    planes = [luma(frame) for frame in frames]
    return torch.cat([measure_frame(planes[0], frames[0]), measure_change(planes)])
