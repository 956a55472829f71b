"""A trained regressor: everything that turns features into scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError
from vqa.train.network import fuse, score, transform
from vqa.train.scaling import BlockScaler

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class FittedRegressor:
    """What training leaves: scalers, networks of all restarts, and the MOS scale."""

    scalers: tuple[BlockScaler, ...]
    """One for each of the K backbones."""
    fusion_weights: tuple[float, ...]
    """w_n of each backbone."""
    parameters: Mapping[str, NDArray[np.float32]]
    """Of the networks, see `vqa.train.network`; the leading axis is the restarts, whose scores are averaged."""
    mos_mean: float
    mos_std: float
    """Mean and standard deviation of the training MOS, which turn network output into scores."""
    mos_range: tuple[float, float]
    """Lowest and highest training MOS; scores may go beyond it."""
    epochs: tuple[int, ...]
    """Epochs that each restart kept, by its inner validation rows."""

    @property
    def block_widths(self) -> tuple[int, ...]:
        """D of each backbone."""
        return tuple(len(scaler.means) for scaler in self.scalers)

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return a score on the MOS scale for each row.

        Computed in double precision, so that a video's score does not depend on those scored beside it.

        Args:
            features: The backbones' features side by side, shape (N, sum of block_widths); what is not finite is
                missing.

        Raises:
            DegenerateDataError: the width is another.
        """
        if features.ndim != 2 or features.shape[1] != sum(self.block_widths):
            raise DegenerateDataError(
                f"features of shape {features.shape} do not fit a regressor of {sum(self.block_widths)} columns; "
                "use the features it was trained on"
            )
        parts = [self._predict_rows(features[at : at + _ROWS_AT_ONCE]) for at in range(0, len(features), _ROWS_AT_ONCE)]
        return np.concatenate([np.empty(0), *parts])

    def _predict_rows(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        parameters = {name: torch.from_numpy(value).double() for name, value in self.parameters.items()}
        restarts = len(parameters["score.bias"])
        inputs = torch.from_numpy(scale_blocks(self.scalers, features)).transpose(0, 1)
        weights = torch.tensor(self.fusion_weights, dtype=torch.float64)
        with torch.inference_mode():
            hidden = transform(parameters, inputs.expand(restarts, *inputs.shape))
            scores = score(parameters, fuse(hidden, weights.expand(restarts, -1))).mean(0)
        return scores.numpy() * self.mos_std + self.mos_mean


def scale_blocks(scalers: tuple[BlockScaler, ...], features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return network input of shape (N, K, P), P the widest block's; narrower ones are filled up with zeros."""
    edges = np.cumsum([0, *(len(scaler.means) for scaler in scalers)])
    inputs = np.zeros((len(features), len(scalers), max(scaler.width for scaler in scalers)))
    for index, scaler in enumerate(scalers):
        inputs[:, index, : scaler.width] = scaler.apply(features[:, edges[index] : edges[index + 1]])
    return inputs
