"""A trained regressor: everything that turns features into scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError
from vqa.train.interval import IntervalScale, disagree
from vqa.train.kernel import KernelPath
from vqa.train.linear import LinearPath
from vqa.train.network import fuse, score, transform
from vqa.train.rowwise import Floats
from vqa.train.scaling import BlockScaler

_ROWS_AT_ONCE = 4096
DEFAULT_COVERAGE = 0.9
"""Share of new videos whose MOS should lie in their interval."""


@dataclass(frozen=True, eq=False)
class NetworkPath:
    """PTM-VQA's networks, one for each restart; their scores are averaged."""

    fusion_weights: tuple[float, ...]
    """w_n of each backbone."""
    parameters: Mapping[str, NDArray[np.float32]]
    """See `vqa.train.network`; the leading axis is the restarts."""
    epochs: tuple[int, ...]
    """Epochs that each restart kept, by its inner validation rows."""

    def predict(self, inputs: Floats) -> Floats:
        """Return standardised scores, shape (N,), of network inputs of shape (N, K, P).

        Computed in double precision and row by row, so that a video's score does not depend on those scored beside it.
        """
        parameters = {name: torch.from_numpy(value).double() for name, value in self.parameters.items()}
        weights = torch.tensor(self.fusion_weights, dtype=torch.float64).expand(len(self.epochs), -1)
        with torch.inference_mode():
            rows = [self._predict_row(parameters, weights, row) for row in inputs]
        return np.array(rows, dtype=np.float64)

    def _predict_row(self, parameters: Mapping[str, torch.Tensor], weights: torch.Tensor, row: Floats) -> float:
        """Return the mean score of the restarts for one row's network input, shape (K, P)."""
        block = torch.from_numpy(row.copy())[:, None]
        hidden = transform(parameters, block.expand(len(self.epochs), *block.shape))
        return float(score(parameters, fuse(hidden, weights)).mean())


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores with their intervals, all on the MOS scale and of shape (N,)."""

    scores: Floats
    low: Floats
    high: Floats
    """Ends of the interval; NaN where the training rows were too few to learn it."""


@dataclass(frozen=True, eq=False)
class FittedRegressor:
    """What training leaves: scalers, the paths from features to score, and the MOS scale.

    A score is the mean of what the paths say.
    """

    scalers: tuple[BlockScaler, ...]
    """One for each of the K backbones."""
    network: NetworkPath | None
    kernel: KernelPath | None
    linear: LinearPath | None
    mos_mean: float
    mos_std: float
    """Mean and standard deviation of the training MOS, which turn what the paths say into scores."""
    mos_range: tuple[float, float]
    """Lowest and highest training MOS; scores may go beyond it."""
    interval: IntervalScale | None
    """None where the training rows were too few to learn it."""

    @property
    def block_widths(self) -> tuple[int, ...]:
        """D of each backbone."""
        return tuple(len(scaler.means) for scaler in self.scalers)

    @property
    def fusion_weights(self) -> tuple[float, ...]:
        """w_n of each backbone in the network; equal ones without a network."""
        return self.network.fusion_weights if self.network else (1 / len(self.scalers),) * len(self.scalers)

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs that each network kept; empty without a network."""
        return self.network.epochs if self.network else ()

    def predict(self, features: NDArray[np.floating]) -> Floats:
        """Return a score on the MOS scale for each row.

        Args:
            features: The backbones' features side by side, shape (N, sum of block_widths); what is not finite is
                missing.

        Raises:
            DegenerateDataError: the width is another.
        """
        result: Floats = np.mean(np.stack(list(self.predict_paths(features).values())), axis=0)
        return result

    def predict_paths(self, features: NDArray[np.floating]) -> dict[str, Floats]:
        """Return what each path says, by its name and on the MOS scale; arguments and errors as of `predict`."""
        if features.ndim != 2 or features.shape[1] != sum(self.block_widths):
            raise DegenerateDataError(
                f"features of shape {features.shape} do not fit a regressor of {sum(self.block_widths)} columns; "
                "use the features it was trained on"
            )
        starts = range(0, max(len(features), 1), _ROWS_AT_ONCE)
        parts = [self._predict_rows(features[start : start + _ROWS_AT_ONCE]) for start in starts]
        return {
            name: np.concatenate([part[name] for part in parts]) * self.mos_std + self.mos_mean for name in parts[0]
        }

    def predict_intervals(self, features: NDArray[np.floating], *, coverage: float = DEFAULT_COVERAGE) -> Predictions:
        """Return scores with the interval in which the MOS of that share of new videos should lie."""
        parts = list(self.predict_paths(features).values())
        scores = np.mean(np.stack(parts), axis=0)
        if self.interval is None:
            unknown = np.full(len(scores), np.nan)
            return Predictions(scores, unknown, unknown)
        half = self.interval.half_width(disagree(parts) / self.mos_std, coverage) * self.mos_std
        return Predictions(scores, scores - half, scores + half)

    def _predict_rows(self, features: NDArray[np.floating]) -> dict[str, Floats]:
        """Return each path's standardised scores of some rows."""
        inputs = scale_blocks(self.scalers, features)
        parts: dict[str, Floats] = {}
        if self.network is not None:
            parts["network"] = self.network.predict(inputs)
        if self.kernel is not None:
            parts["kernel"] = self.kernel.predict(inputs)
        if self.linear is not None:
            parts["linear"] = self.linear.predict(features)
        return parts


def scale_blocks(scalers: tuple[BlockScaler, ...], features: NDArray[np.floating]) -> Floats:
    """Return network input of shape (N, K, P), P the widest block's; narrower ones are filled up with zeros."""
    edges = np.cumsum([0, *(len(scaler.means) for scaler in scalers)])
    inputs = np.zeros((len(features), len(scalers), max(scaler.width for scaler in scalers)))
    for index, scaler in enumerate(scalers):
        inputs[:, index, : scaler.width] = scaler.apply(features[:, edges[index] : edges[index + 1]])
    return inputs


def stack_spreads(scalers: tuple[BlockScaler, ...]) -> Floats:
    """Return the scalers' spreads in the shape (K, P) of one row's network input."""
    spreads = np.zeros((len(scalers), max(scaler.width for scaler in scalers)))
    for index, scaler in enumerate(scalers):
        spreads[index, : scaler.width] = scaler.spreads
    return spreads
