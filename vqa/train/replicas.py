"""Trains replicas of the network together: one set of tensors with a leading axis S, one optimiser, one loop.

No replica sees another: each has its own random numbers, its own rows, its own best epoch, and a sum of losses whose
gradient parts by replica. So a replica comes out the same (up to rounding) whatever trains beside it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa.train.loss import inter_divisibility, intra_consistency, regression_loss
from vqa.train.network import (
    NetworkSize,
    Parameters,
    cut_replicas,
    fuse,
    initial_parameters,
    pad_stack,
    score,
    stack_replicas,
    transform,
)
from vqa.train.settings import TrainSettings


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """One job's training rows, ready for the network."""

    inputs: Tensor
    """Shape (N, K, P)."""
    targets: Tensor
    """Standardised MOS, shape (N,)."""
    clusters: Tensor
    """MOS pseudo cluster, shape (N,)."""
    size: NetworkSize
    fusion_weights: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Replica:
    """One network to train."""

    rows: TrainingRows
    fitting: NDArray[np.intp]
    """Rows that the network learns from."""
    validation: NDArray[np.intp]
    """Rows that only tell when to stop; may be empty."""
    seed: int
    stops_early: bool = True
    """Whether it is kept at its least validation loss; else after the last epoch, and those rows are only scored."""


@dataclass(frozen=True, eq=False)
class TrainedReplica:
    """One trained network."""

    parameters: Parameters
    """With S = 1."""
    epochs: int
    """Epochs it kept."""
    held_out: NDArray[np.float64]
    """What it says, standardised, of its validation rows, in their order."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some rows of every replica."""

    inputs: Tensor
    """Shape (S, K, B, P)."""
    targets: Tensor
    """Shape (S, B)."""
    clusters: Tensor
    """Shape (S, B)."""
    real: Tensor
    """Which rows count, shape (S, B); the others only fill up."""


def train_replicas(replicas: Sequence[Replica], settings: TrainSettings, *, steps: int) -> list[TrainedReplica]:
    """Train replicas together and return each at its best epoch.

    Args:
        replicas: At least one.
        settings: The same for all.
        steps: Optimiser steps in an epoch.
    """
    with _one_thread():
        training = _Training(replicas, settings, steps)
        for epoch in range(settings.epochs):
            training.run_epoch(epoch)
            training.keep_best(epoch + 1)
            if training.finished:
                break
        return training.results()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: on tensors this small several wait for each other, for ages on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Training:
    """The state of one batched computation."""

    def __init__(self, replicas: Sequence[Replica], settings: TrainSettings, steps: int) -> None:
        self.replicas, self.settings, self.steps = replicas, settings, steps
        self.generators = [torch.Generator().manual_seed(replica.seed) for replica in replicas]
        self._stack_rows()
        pairs = zip(replicas, self.generators, strict=True)
        self.parameters = stack_replicas([initial_parameters(replica.rows.size, own) for replica, own in pairs])
        self.optimiser = _optimiser(self.parameters, settings)
        self.best = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.best_scores = torch.zeros(self.validation.shape)
        self.best_loss = torch.full((len(replicas),), math.inf)
        self.best_epoch = torch.zeros(len(replicas), dtype=torch.long)
        self.stopping = torch.tensor([replica.stops_early for replica in replicas])
        self.stopped = torch.zeros(len(replicas), dtype=torch.bool)

    def _stack_rows(self) -> None:
        """Put the jobs' rows into common tensors; restarts of one job share theirs."""
        jobs = list({id(replica.rows): replica.rows for replica in self.replicas}.values())
        places = {id(rows): place for place, rows in enumerate(jobs)}
        self.job = torch.tensor([places[id(replica.rows)] for replica in self.replicas])[:, None]
        self.inputs = pad_stack([rows.inputs[None] for rows in jobs])
        self.targets = pad_stack([rows.targets[None] for rows in jobs])
        self.clusters = pad_stack([rows.clusters[None] for rows in jobs])
        weights = [torch.tensor([replica.rows.fusion_weights]) for replica in self.replicas]
        self.fusion_weights = pad_stack(weights)
        self.backbones = pad_stack([torch.ones_like(own, dtype=torch.bool) for own in weights])
        self.validation = pad_stack([torch.from_numpy(replica.validation)[None] + 1 for replica in self.replicas]) - 1

    def _batch(self, rows: Tensor) -> _Batch:
        """Gather rows (S, B); -1 fills up."""
        real, rows = rows >= 0, rows.clamp(min=0)
        inputs = self.inputs[self.job, rows].transpose(1, 2)
        return _Batch(inputs, self.targets[self.job, rows], self.clusters[self.job, rows], real)

    def run_epoch(self, epoch: int) -> None:
        """Go once over the fitting rows, each replica in its own order."""
        orders = []
        for replica, generator in zip(self.replicas, self.generators, strict=True):
            order = torch.randperm(len(replica.fitting), generator=generator)
            orders.append(torch.from_numpy(replica.fitting)[order][None] + 1)
        rows = pad_stack(orders) - 1
        for step in range(self.steps):
            self._set_learning_rate(epoch * self.steps + step)
            self._step(self._batch(rows[:, step :: self.steps]))

    def _set_learning_rate(self, step: int) -> None:
        """Let the learning rate fall along half a cosine, from its start to 0 after the last epoch."""
        share = step / (self.settings.epochs * self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def _step(self, batch: _Batch) -> None:
        settings = self.settings
        hidden = transform(self.parameters, batch.inputs, self._dropouts(batch.real))
        fused = fuse(hidden, self.fusion_weights)
        loss = regression_loss(score(self.parameters, fused), batch.targets, batch.real)
        if settings.intra_weight:
            loss = loss + settings.intra_weight * intra_consistency(hidden, self.backbones, batch.real)
        if settings.inter_weight:
            divisibility = inter_divisibility(fused, batch.clusters, batch.real, margin=settings.margin)
            loss = loss + settings.inter_weight * divisibility
        self.optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def _dropouts(self, real: Tensor) -> list[Tensor]:
        """Draw the dropout factors of both layers, each replica from its own generator and in its own size."""
        keep = 1 - self.settings.dropout
        if keep == 1:
            return []
        width, rows = self.settings.width, real.sum(1).tolist()
        drawn = pad_stack(
            [
                torch.rand((1, 2, len(replica.rows.fusion_weights), own, width), generator=generator)
                for replica, generator, own in zip(self.replicas, self.generators, rows, strict=True)
            ]
        )
        return list(((drawn < keep) / keep).unbind(1))

    @torch.no_grad()
    def keep_best(self, epoch: int) -> None:
        """Remember each replica's parameters at its least validation loss; without such rows, the latest."""
        batch = self._batch(self.validation)
        hidden = transform(self.parameters, batch.inputs)
        scores = score(self.parameters, fuse(hidden, self.fusion_weights))
        loss = regression_loss(scores, batch.targets, batch.real)
        judged = batch.real.any(1) & self.stopping
        better = ((loss < self.best_loss) | ~judged) & ~self.stopped
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_epoch[better] = epoch
        self.best_scores[better] = scores[better]
        for name, value in self.parameters.items():
            self.best[name][better] = value[better]
        self.stopped |= (epoch - self.best_epoch >= self.settings.patience) & self.stopping

    @property
    def finished(self) -> bool:
        """Whether every replica has been without progress for too long."""
        return bool(self.stopped.all())

    def results(self) -> list[TrainedReplica]:
        """Return each replica at its best epoch, in its own size."""
        return [
            TrainedReplica(
                cut_replicas(self.best, slice(index, index + 1), replica.rows.size),
                int(self.best_epoch[index]),
                self.best_scores[index, : len(replica.validation)].double().numpy(),
            )
            for index, replica in enumerate(self.replicas)
        ]


def _optimiser(parameters: Parameters, settings: TrainSettings) -> torch.optim.AdamW:
    """Make AdamW over all replicas; it works element by element, so they stay apart. Only weights decay."""
    for value in parameters.values():
        value.requires_grad_()
    decayed = [value for name, value in parameters.items() if name.endswith("weight")]
    others = [value for name, value in parameters.items() if not name.endswith("weight")]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
