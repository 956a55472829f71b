"""One regressor to train, and its rows as all paths take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from vqa.clusters import mos_clusters
from vqa.errors import DegenerateDataError
from vqa.train.fitted import scale_blocks, stack_spreads
from vqa.train.leaving_out import rows_by_group
from vqa.train.network import NetworkSize
from vqa.train.replicas import TrainingRows
from vqa.train.rowwise import Floats
from vqa.train.scaling import BlockScaler, fit_scaler
from vqa.train.settings import TrainSettings
from vqa.train.weights import srocc_weights


@dataclass(frozen=True, eq=False)
class TrainJob:
    """One regressor to train: training rows of one split, nothing else.

    Raises:
        DegenerateDataError: rows or widths do not agree, or there are fewer than 2 rows.
    """

    features: NDArray[np.floating]
    """The backbones' features side by side, shape (N, sum of block_widths); what is not finite is missing."""
    mos: NDArray[np.float64]
    """Shape (N,), on the dataset's own scale."""
    groups: Sequence[str] | None
    """Source content of each row, or None where it is not known."""
    block_widths: tuple[int, ...]
    """D of each of the K backbones."""
    fusion_weights: tuple[float, ...] | None
    """w_n of each backbone in the network; None for weights by SROCC, learned from these rows."""
    random_state: int
    """0 or more; the same number gives the same regressor."""

    def __post_init__(self) -> None:
        rows = len(self.features)
        if self.features.ndim != 2 or self.features.shape[1] != sum(self.block_widths) or min(self.block_widths) < 1:
            raise DegenerateDataError(
                f"features of shape {self.features.shape} do not fit blocks of widths {self.block_widths}; "
                "widths must add up"
            )
        if self.fusion_weights is not None and len(self.fusion_weights) != len(self.block_widths):
            raise DegenerateDataError(
                f"{len(self.fusion_weights)} fusion weights for {len(self.block_widths)} backbones; give one for each"
            )
        if self.mos.shape != (rows,) or (self.groups is not None and len(self.groups) != rows):
            raise DegenerateDataError(f"{rows} rows of features but {len(self.mos)} scores; rows must agree")
        if rows < 2:
            raise DegenerateDataError(f"{rows} labelled videos are too few to train on; add labelled videos")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A job's rows, scaled by what they themselves say."""

    job: TrainJob
    scalers: tuple[BlockScaler, ...]
    inputs: Floats
    """Network input, shape (N, K, P)."""
    spreads: Floats
    """Shape (K, P), see `BlockScaler`."""
    targets: Floats
    """Standardised MOS, shape (N,)."""
    groups: list[NDArray[np.intp]]
    """Rows of each source content; each row by itself where contents are not known."""
    rows: TrainingRows
    """The same for the network."""

    @property
    def repeats(self) -> bool:
        """Whether a source content is known to have several rows."""
        return len(self.groups) < len(self.targets)


def prepare(job: TrainJob, *, settings: TrainSettings) -> Prepared:
    """Learn a job's scalers and fusion weights, and bring its rows to what the paths take.

    Raises:
        DegenerateDataError: the scores are equal or not finite.
    """
    clusters = mos_clusters(job.mos, bins=min(settings.bins, len(job.mos) // 2)).labels
    edges = np.cumsum([0, *job.block_widths])
    scalers = tuple(
        fit_scaler(job.features[:, start:stop], components=settings.components, scaling=settings.scaling)
        for start, stop in pairwise(edges)
    )
    inputs, spreads = scale_blocks(scalers, job.features), stack_spreads(scalers)
    targets = (job.mos - job.mos.mean()) / job.mos.std()
    groups = rows_by_group(job.groups, len(job.mos))
    weights = job.fusion_weights
    if weights is None:
        weights = srocc_weights(inputs * spreads, targets, groups)
    rows = TrainingRows(
        inputs=torch.from_numpy(inputs).float(),
        targets=torch.from_numpy(targets).float(),
        clusters=torch.from_numpy(clusters),
        size=NetworkSize(tuple(scaler.width for scaler in scalers), settings.width),
        fusion_weights=weights,
    )
    return Prepared(job, scalers, inputs, spreads, targets, groups, rows)
