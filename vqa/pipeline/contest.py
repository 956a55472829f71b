"""Several methods on the same training and test rows: ours, the paper's, and what one would write in five lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import joblib
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.training import make_job
from vqa.records import FeatureTable
from vqa.train.baselines import Baseline
from vqa.train.fitted import Predictions
from vqa.train.fitting import fit_many
from vqa.train.methods import DEFAULT_METHOD, METHODS, Method
from vqa.train.table import join_blocks

_BYTES_AT_ONCE = 1 << 29
"""Features of splits that train together."""


@dataclass(frozen=True, eq=False)
class Round:
    """One split: its training and test rows, of the chosen candidates alone."""

    train: FeatureTable
    test: FeatureTable
    dbis: tuple[float, ...]
    """Of the chosen candidates, on the training rows."""
    random_state: int


def predict_rounds(
    rounds: Sequence[Round],
    methods: Sequence[Method],
    baselines: Sequence[Baseline],
    *,
    coverage: float,
    progress: Progress = SILENT,
) -> dict[str, list[Predictions]]:
    """Fit every method on the training rows of every round, and predict its test rows.

    Args:
        rounds: The splits.
        methods: Ours.
        baselines: Others; their intervals are unknown.
        coverage: Of the intervals.
        progress: Told how far the work is.

    Returns:
        By the name of the method, predictions for each round.
    """
    names = [*(method.name for method in methods), *(baseline.name for baseline in baselines)]
    said: dict[str, list[Predictions]] = {name: [] for name in names}
    done, total = 0, len(rounds) * len(said)
    for batch in _batches(rounds):
        tests = [join_blocks(each.test).features for each in batch]
        for method in methods:
            jobs = [make_job(each.train, method, each.dbis, each.random_state) for each in batch]
            fitted = fit_many(jobs, settings=method.settings)
            pairs = zip(fitted, tests, strict=True)
            said[method.name] += [each.predict_intervals(test, coverage=coverage) for each, test in pairs]
            done += len(batch)
            progress.update("training", done, total)
        for baseline in baselines:
            said[baseline.name] += _predict_baseline(baseline, batch, tests)
            done += len(batch)
            progress.update("training", done, total)
    return said


def _batches(rounds: Sequence[Round]) -> Iterator[list[Round]]:
    """Group rounds so that their features take bounded memory."""
    batch: list[Round] = []
    size = 0
    for each in rounds:
        own = sum(block.nbytes for block in each.train.blocks.values())
        if batch and size + own > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += own
    yield batch


def _predict_baseline(
    baseline: Baseline, rounds: Sequence[Round], tests: Sequence[NDArray[np.float32]]
) -> list[Predictions]:
    """Fit a baseline on each round, as many at a time as there are cores."""
    calls = [
        joblib.delayed(partial(_fit_baseline, baseline))(each, test) for each, test in zip(rounds, tests, strict=True)
    ]
    with threadpool_limits(1):
        return list(joblib.Parallel(n_jobs=min(len(calls), joblib.cpu_count()), prefer="threads")(calls))


def _fit_baseline(baseline: Baseline, each: Round, test: NDArray[np.float32]) -> Predictions:
    job = make_job(each.train, METHODS[DEFAULT_METHOD], each.dbis, each.random_state)
    scores = baseline.predict(job, test)
    unknown = np.full(len(scores), np.nan)
    return Predictions(scores, unknown, unknown)
