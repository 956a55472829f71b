"""Trains regressors: every split and every restart is one replica of a batched computation."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import joblib
from threadpoolctl import threadpool_limits

from vqa.rlimits import usable_cores
from vqa.train.assembling import assemble
from vqa.train.fitted import FittedRegressor
from vqa.train.job import TrainJob, prepare
from vqa.train.restarts import train_networks
from vqa.train.settings import TrainSettings

__all__ = ["FittedRegressor", "TrainJob", "TrainSettings", "fit_many"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

_FEWEST_STEPS = 4
_FEWEST_ROWS_A_STEP = 16
_NUMBERS_AT_ONCE = 1 << 19
"""Most outputs of one layer in replicas that train together: bounds memory; fewer are slower."""


def fit_many(jobs: Sequence[TrainJob], *, settings: TrainSettings) -> list[FittedRegressor]:
    """Train a regressor for each job, many at a time.

    What a job gives does not depend on the jobs beside it, up to rounding. Scalers, principal directions, MOS bins,
    fusion weights and the inner validation part come from the job's own rows. Neither numpy's nor torch's global random
    state is read or changed.

    Raises:
        DegenerateDataError: the scores of a job are equal or not finite.
    """
    rows = sum(len(job.mos) for job in jobs)
    _log.info("training %d regressor(s), paths %s, on %d rows in all", len(jobs), ", ".join(settings.paths), rows)
    fitted: dict[int, FittedRegressor] = {}
    # One thread of linear algebra: its results then do not depend on the machine's cores, and jobs share those.
    with threadpool_limits(1):
        for chunk in _chunks(jobs, settings):
            prepared = list(_each(partial(prepare, settings=settings), [jobs[index] for index in chunk]))
            networks = train_networks(prepared, settings, steps=_steps(jobs[chunk[0]], settings))
            fitted |= dict(zip(chunk, _each(partial(assemble, settings=settings), prepared, networks), strict=True))
    _log.info("training ended")
    return [fitted[index] for index in range(len(jobs))]


def _each(function: Callable[..., T], *arguments: Sequence[Any]) -> list[T]:
    """Call a function on each job, as many at a time as there are cores."""
    calls = [joblib.delayed(function)(*values) for values in zip(*arguments, strict=True)]
    return list(joblib.Parallel(n_jobs=min(len(calls), usable_cores()), prefer="threads")(calls))


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
