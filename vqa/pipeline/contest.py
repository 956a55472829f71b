"""Several methods on the same training and test rows: ours, the paper's, and what one would write in five lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.training import make_job
from vqa.records import FeatureTable, Ranking
from vqa.rlimits import usable_cores
from vqa.train.baselines import BASELINES, Baseline
from vqa.train.fitted import Predictions
from vqa.train.fitting import fit_many
from vqa.train.methods import DEFAULT_METHOD, METHODS, Method, find_method
from vqa.train.metrics import Metrics, score_predictions
from vqa.train.table import join_blocks
from vqa.workspace import TrainSettings

_BYTES_AT_ONCE = 1 << 29
"""Features of splits that train together."""


@dataclass(frozen=True, eq=False)
class Round:
    """One split. It holds row numbers and names, so that many of them share one table's features."""

    source: FeatureTable
    train_rows: NDArray[np.intp]
    target: FeatureTable
    """The table of the test rows; the source, unless it is another dataset."""
    test_rows: NDArray[np.intp]
    ranking: Ranking
    """Of the candidates, on the training rows."""
    chosen: tuple[str, ...]
    """Those that were selected."""
    random_state: int

    @property
    def usable(self) -> tuple[str, ...]:
        """All candidates that could be ranked."""
        return tuple(row.name for row in self.ranking.rows)

    @property
    def dbis(self) -> tuple[float, ...]:
        """Of the chosen candidates, on the training rows."""
        dbis = {row.name: row.dbi for row in self.ranking.rows}
        return tuple(dbis[name] for name in self.chosen)

    @property
    def test_ids(self) -> tuple[str, ...]:
        """Ids of the test rows."""
        return self.target.keep(()).take(self.test_rows).ids

    @property
    def test_mos(self) -> NDArray[np.float64]:
        """MOS of the test rows, for the figures alone."""
        return self.target.mos[self.test_rows]

    def train(self, names: tuple[str, ...]) -> FeatureTable:
        """Return the training rows of some candidates."""
        return self.source.keep(names).take(self.train_rows)

    def test_features(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """Return the test rows' features of some candidates, side by side."""
        return join_blocks(self.target.keep(names).take(self.test_rows)).features


@dataclass(frozen=True)
class Entrants:
    """Who takes part."""

    methods: tuple[Method, ...]
    """Ours; the others are compared with the first."""
    baselines: tuple[Baseline, ...]

    @property
    def titles(self) -> dict[str, str]:
        """One line for tables, by name."""
        return {each.name: each.title for each in self.methods} | {each.name: each.title for each in self.baselines}


def find_entrants(settings: TrainSettings, methods: Sequence[str], *, baselines: bool) -> Entrants:
    """Return the methods of some names, by default that of the workspace, and all baselines or none."""
    names = dict.fromkeys(methods or (settings.method,))
    used = tuple(find_method(name, settings.overrides) for name in names)
    return Entrants(used, tuple(BASELINES.values()) if baselines else ())


def measure(rounds: Sequence[Round], said: Sequence[Predictions]) -> tuple[Metrics, ...]:
    """Compare what a method says with the MOS of each round's test rows."""
    return tuple(score_predictions(each.test_mos, own.scores) for each, own in zip(rounds, said, strict=True))


def share_covered(rounds: Sequence[Round], said: Sequence[Predictions]) -> float | None:
    """Return the share of test MOS in their interval over all rounds, None where intervals are unknown."""
    inside = [
        (own.low <= each.test_mos) & (each.test_mos <= own.high)
        for each, own in zip(rounds, said, strict=True)
        if np.isfinite(own.low).all()
    ]
    return float(np.concatenate(inside).mean()) if inside else None


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
    # Networks train on one core; baselines are fitted beside them. One limit around all, so that none lifts another's.
    with threadpool_limits(1), ThreadPoolExecutor(1) as beside:
        for batch in _batches(rounds):
            fitted = [beside.submit(_predict_baseline, baseline, batch) for baseline in baselines]
            for method in methods:
                said[method.name] += _predict_method(method, batch, coverage)
                done += len(batch)
                progress.update("training", done, total)
            for baseline, future in zip(baselines, fitted, strict=True):
                said[baseline.name] += future.result()
                done += len(batch)
                progress.update("training", done, total)
    return said


def _predict_method(method: Method, rounds: Sequence[Round], coverage: float) -> list[Predictions]:
    """Train one of our methods on all rounds at once."""
    jobs = [make_job(each.train(each.chosen), method, each.dbis, each.random_state) for each in rounds]
    fitted = fit_many(jobs, settings=method.settings)
    return [
        regressor.predict_intervals(each.test_features(each.chosen), coverage=coverage)
        for each, regressor in zip(rounds, fitted, strict=True)
    ]


def _batches(rounds: Sequence[Round]) -> Iterator[list[Round]]:
    """Group rounds so that their features take bounded memory."""
    batch: list[Round] = []
    size = 0
    for each in rounds:
        columns = sum(block.shape[1] for block in each.source.keep(each.chosen).blocks.values())
        own = 4 * columns * len(each.train_rows)
        if batch and size + own > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += own
    yield batch


def _predict_baseline(baseline: Baseline, rounds: Sequence[Round]) -> list[Predictions]:
    """Fit a baseline on each round, as many at a time as there are cores."""
    calls = [joblib.delayed(_fit_baseline)(baseline, each) for each in rounds]
    return list(joblib.Parallel(n_jobs=min(len(calls), usable_cores()), prefer="threads")(calls))


def _fit_baseline(baseline: Baseline, each: Round) -> Predictions:
    names = each.usable if baseline.sees_all else each.chosen
    job = make_job(each.train(names), METHODS[DEFAULT_METHOD], each.dbis, each.random_state)
    scores = baseline.predict(job, each.test_features(names))
    unknown = np.full(len(scores), np.nan)
    return Predictions(scores, unknown, unknown)
