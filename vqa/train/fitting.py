"""Trains regressors: every split and every restart is one replica of a batched computation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from vqa.clusters import mos_clusters
from vqa.errors import DegenerateDataError
from vqa.train.fitted import FittedRegressor, scale_blocks
from vqa.train.network import NetworkSize
from vqa.train.replicas import Replica, TrainedReplica, TrainingRows, train_replicas
from vqa.train.scaling import BlockScaler, fit_scaler
from vqa.train.settings import TrainSettings

__all__ = ["FittedRegressor", "TrainJob", "TrainSettings", "fit_many"]

_FEWEST_ROWS_TO_HOLD_OUT = 200
"""Ours, measured: on 50 training rows stopping by a few held-out ones cost .03 SROCC against using all of them."""
_FEWEST_GROUPS_TO_HOLD_OUT = 4
_FEWEST_STEPS = 4
_FEWEST_ROWS_A_STEP = 16
_NUMBERS_AT_ONCE = 1 << 19
"""Most outputs of one layer in replicas that train together: bounds memory; fewer are slower."""


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
    fusion_weights: tuple[float, ...]
    """w_n of each backbone."""
    random_state: int
    """0 or more; the same number gives the same regressor."""

    def __post_init__(self) -> None:
        rows = len(self.features)
        if self.features.ndim != 2 or self.features.shape[1] != sum(self.block_widths) or min(self.block_widths) < 1:
            raise DegenerateDataError(
                f"features of shape {self.features.shape} do not fit blocks of widths {self.block_widths}; "
                "widths must add up"
            )
        if len(self.fusion_weights) != len(self.block_widths):
            raise DegenerateDataError(
                f"{len(self.fusion_weights)} fusion weights for {len(self.block_widths)} backbones; give one for each"
            )
        if self.mos.shape != (rows,) or (self.groups is not None and len(self.groups) != rows):
            raise DegenerateDataError(f"{rows} rows of features but {len(self.mos)} scores; rows must agree")
        if rows < 2:
            raise DegenerateDataError(f"{rows} labelled videos are too few to train on; add labelled videos")


def fit_many(jobs: Sequence[TrainJob], *, settings: TrainSettings) -> list[FittedRegressor]:
    """Train a regressor for each job, many at a time.

    What a job gives does not depend on the jobs beside it, up to rounding. Scalers, principal directions, MOS bins and
    the inner validation part come from the job's own rows. Neither numpy's nor torch's global random state is read or
    changed.

    Raises:
        DegenerateDataError: the scores of a job are equal or not finite.
    """
    fitted: dict[int, FittedRegressor] = {}
    for chunk in _chunks(jobs, settings):
        prepared = [_prepare(jobs[index], settings) for index in chunk]
        replicas = [
            replica
            for index, (_, rows) in zip(chunk, prepared, strict=True)
            for replica in _replicas(jobs[index], rows, settings)
        ]
        trained = train_replicas(replicas, settings, steps=_steps(jobs[chunk[0]], settings))
        for place, (index, (scalers, _)) in enumerate(zip(chunk, prepared, strict=True)):
            own = trained[place * settings.restarts : (place + 1) * settings.restarts]
            fitted[index] = _assemble(jobs[index], scalers, own)
    return [fitted[index] for index in range(len(jobs))]


def _steps(job: TrainJob, settings: TrainSettings) -> int:
    """Return the optimiser steps in an epoch: about a batch of rows each, fewer where rows are few.

    They depend on the job alone, not on its restarts' validation rows.
    """
    rows = len(job.mos) * (1 - settings.validation_fraction)
    return max(1, round(max(rows / settings.batch_size, min(_FEWEST_STEPS, rows / _FEWEST_ROWS_A_STEP))))


def _chunks(jobs: Sequence[TrainJob], settings: TrainSettings) -> Iterator[list[int]]:
    """Group jobs of as many steps in chunks of bounded memory."""

    def steps(index: int) -> int:
        return _steps(jobs[index], settings)

    for _, equal in groupby(sorted(range(len(jobs)), key=steps), key=steps):
        chunk: list[int] = []
        for index in equal:
            job = jobs[index]
            batch = math.ceil(len(job.mos) / steps(index))
            numbers = settings.restarts * len(job.block_widths) * batch * settings.width
            if len(chunk) >= max(1, _NUMBERS_AT_ONCE // numbers):
                yield chunk
                chunk = []
            chunk.append(index)
        yield chunk


def _prepare(job: TrainJob, settings: TrainSettings) -> tuple[tuple[BlockScaler, ...], TrainingRows]:
    """Learn the scalers and bring the rows to what the network takes."""
    edges = np.cumsum([0, *job.block_widths])
    scalers = tuple(
        fit_scaler(job.features[:, start:stop], components=settings.components) for start, stop in pairwise(edges)
    )
    clusters = mos_clusters(job.mos, bins=min(settings.bins, len(job.mos) // 2)).labels
    targets = (job.mos - job.mos.mean()) / job.mos.std()
    rows = TrainingRows(
        inputs=torch.from_numpy(scale_blocks(scalers, job.features)).float(),
        targets=torch.from_numpy(targets).float(),
        clusters=torch.from_numpy(clusters),
        size=NetworkSize(tuple(scaler.width for scaler in scalers), settings.width),
        fusion_weights=job.fusion_weights,
    )
    return scalers, rows


def _replicas(job: TrainJob, rows: TrainingRows, settings: TrainSettings) -> list[Replica]:
    """Make a job's restarts, each with its own start and its own inner validation part."""
    seeds = np.random.SeedSequence(job.random_state).generate_state(settings.restarts)
    return [Replica(rows, *_hold_out(job, settings.validation_fraction, int(seed)), int(seed)) for seed in seeds]


def _hold_out(job: TrainJob, fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Part a job's rows in those to fit and those that tell when to stop; a group goes to one side as a whole.

    Of fewer than 200 rows or 4 groups none is held out: such a network trains for all epochs.
    """
    count = len(job.mos)
    few_groups = job.groups is not None and len(set(job.groups)) < _FEWEST_GROUPS_TO_HOLD_OUT
    if fraction == 0 or count < _FEWEST_ROWS_TO_HOLD_OUT or few_groups:
        return np.arange(count), np.arange(0)
    kind = ShuffleSplit if job.groups is None else GroupShuffleSplit
    labels = None if job.groups is None else np.asarray(job.groups)
    fitting, validation = next(kind(1, test_size=fraction, random_state=seed).split(np.zeros(count), groups=labels))
    return fitting, validation


def _assemble(job: TrainJob, scalers: tuple[BlockScaler, ...], restarts: Sequence[TrainedReplica]) -> FittedRegressor:
    """Join a job's restarts to one regressor."""
    names = restarts[0].parameters
    return FittedRegressor(
        scalers=scalers,
        fusion_weights=job.fusion_weights,
        parameters={name: torch.cat([each.parameters[name] for each in restarts]).numpy() for name in names},
        mos_mean=float(job.mos.mean()),
        mos_std=float(job.mos.std()),
        mos_range=(float(job.mos.min()), float(job.mos.max())),
        epochs=tuple(each.epochs for each in restarts),
    )
