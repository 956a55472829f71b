"""The network path of many jobs: every restart of every job is one replica of a batched computation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, ShuffleSplit

from vqa.train.fitted import NetworkPath
from vqa.train.job import Prepared, TrainJob
from vqa.train.replicas import Replica, TrainedReplica, train_replicas
from vqa.train.rowwise import Floats
from vqa.train.settings import TrainSettings

_FEWEST_ROWS_TO_HOLD_OUT = 200
"""Ours, measured: on 50 training rows stopping by a few held-out ones cost .03 SROCC against using all of them."""
_FEWEST_GROUPS_TO_HOLD_OUT = 4
_FOLDS = 4

Parts = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows to fit, and rows held out."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """One job's network path, and what its parts say of rows that they have not seen."""

    path: NetworkPath
    unseen: Floats
    """Standardised scores, shape (N,); NaN for rows that were never held out."""


def train_networks(
    prepared: Sequence[Prepared], settings: TrainSettings, *, steps: int
) -> Sequence[TrainedNetwork | None]:
    """Train the networks of all jobs together.

    Args:
        prepared: The jobs; all of as many steps.
        settings: The same for all.
        steps: Optimiser steps in an epoch.

    Returns:
        For each job its networks, or None where the settings have no such path.
    """
    if "network" not in settings.paths:
        return [None] * len(prepared)
    replicas = [_replicas(each, settings) for each in prepared]
    trained = iter(train_replicas([replica for own in replicas for replica in own], settings, steps=steps))
    return [
        _join(each, own, [next(trained) for _ in own], settings.restarts)
        for each, own in zip(prepared, replicas, strict=True)
    ]


def _replicas(prepared: Prepared, settings: TrainSettings) -> list[Replica]:
    """Make a job's restarts, each with its own start and its own inner validation part.

    More replicas follow that only say how good networks are on unseen rows, where rows are too few to hold any out, and
    where contents repeat: the few contents that restarts hold out, and stop by, do not stand for all.
    """
    job = prepared.job
    seeds = np.random.SeedSequence(job.random_state).generate_state(settings.restarts + _FOLDS).tolist()
    parts = [_hold_out(job, settings.validation_fraction, seed) for seed in seeds[: settings.restarts]]
    if prepared.repeats or not any(len(held_out) for _, held_out in parts):
        parts += _folds(job, seeds[0])
    numbered = enumerate(zip(parts, seeds, strict=False))
    return [
        Replica(prepared.rows, fitting, held_out, seed, stops_early=place < settings.restarts)
        for place, ((fitting, held_out), seed) in numbered
    ]


def _hold_out(job: TrainJob, fraction: float, seed: int) -> Parts:
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


def _folds(job: TrainJob, seed: int) -> list[Parts]:
    """Part a job's rows several times, so that each is held out once; none where there are too few contents."""
    count = len(job.mos) if job.groups is None else len(set(job.groups))
    if count < 2 * _FOLDS:
        return []
    kind = KFold if job.groups is None else GroupKFold
    labels = None if job.groups is None else np.asarray(job.groups)
    return list(kind(_FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(job.mos)), groups=labels))


def _join(
    prepared: Prepared, replicas: Sequence[Replica], trained: Sequence[TrainedReplica], restarts: int
) -> TrainedNetwork:
    """Join a job's restarts to one path, and gather what was said of held-out rows."""
    own = trained[:restarts]
    path = NetworkPath(
        fusion_weights=prepared.rows.fusion_weights,
        parameters={name: torch.cat([each.parameters[name] for each in own]).numpy() for name in own[0].parameters},
        epochs=tuple(each.epochs for each in own),
    )
    sums, counts = np.zeros(len(prepared.targets)), np.zeros(len(prepared.targets))
    # Where contents repeat, what restarts say of the contents that they stop by is left out.
    for replica, each in list(zip(replicas, trained, strict=True))[restarts if prepared.repeats else 0 :]:
        sums[replica.validation] += each.held_out
        counts[replica.validation] += 1
    return TrainedNetwork(path, np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))
