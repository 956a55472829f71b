"""Published feature tables as rounds of training and test rows, and methods measured on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from vqa.pipeline.contest import Round, measure, predict_rounds, share_covered
from vqa.records import FeatureTable
from vqa.select.ranking import rank_candidates
from vqa.train.baselines import Baseline
from vqa.train.fitted import DEFAULT_COVERAGE, Predictions
from vqa.train.methods import METHODS, Method
from vqa.train.metrics import summarise
from vqa.train.paired import compare_paired
from vqa.train.splits import content_splits

BLEND = METHODS["blend"]

Choose = Callable[[FeatureTable, int], tuple[str, ...]]
"""Names of the chosen sets, from training rows and the number of the split."""


def read_pool(path: Path) -> FeatureTable:
    """Read a table of features; what is not finite is missing."""
    with np.load(path, allow_pickle=False) as file:
        sets = {name.removeprefix("feat__"): file[name] for name in file.files if name.startswith("feat__")}
        blocks = {name: np.where(np.isfinite(block), block, np.nan) for name, block in sets.items()}
        groups = tuple(file["group"].tolist()) if "group" in file.files else None
        return FeatureTable(tuple(file["ids"].tolist()), file["mos"].astype(np.float64), groups, blocks)


def training_rows(table: FeatureTable) -> FeatureTable:
    """Return the training rows of the first benchmark split: what defaults were chosen on."""
    return table.take(content_splits(table.groups, len(table.ids), count=1)[0].train)


def make_rounds(
    table: FeatureTable, splits: int, choose: Choose | None = None, *, by_content: bool = True
) -> list[Round]:
    """Part a table several times, and choose sets on each split's training rows; all of them by default."""
    parts = content_splits(table.groups if by_content else None, len(table.ids), count=splits)
    rounds = []
    for number, split in enumerate(parts):
        train = table.take(split.train)
        ranking = rank_candidates(train)
        usable = {row.name for row in ranking.rows}
        chosen = choose(train, number) if choose else tuple(name for name in table.blocks if name in usable)
        rounds.append(
            Round(
                source=table,
                train_rows=split.train,
                target=table,
                test_rows=split.test,
                ranking=ranking,
                chosen=chosen,
                random_state=number,
            )
        )
    return rounds


def sroccs(rounds: Sequence[Round], said: Sequence[Predictions]) -> list[float]:
    """Return each split's SROCC."""
    return [metrics.srocc for metrics in measure(rounds, said)]


def run(rounds: Sequence[Round], contender: Method | Baseline) -> tuple[list[Predictions], float]:
    """Return a contender's predictions, and seconds for each split."""
    started = time.perf_counter()
    methods, baselines = ([contender], []) if isinstance(contender, Method) else ([], [contender])
    said = predict_rounds(rounds, methods, baselines, coverage=DEFAULT_COVERAGE)
    return said[contender.name], (time.perf_counter() - started) / len(rounds)


def table_of(rounds: Sequence[Round], contenders: dict[str, Method | Baseline], *, first: str | None = None) -> None:
    """Print a markdown table: every contender's figures, and the first against it, split by split."""
    measured, rows = {}, []
    for label, contender in contenders.items():
        said, seconds = run(rounds, contender)
        metrics = measure(rounds, said)
        measured[label] = [each.srocc for each in metrics]
        rows.append((label, summarise(metrics), covered(rounds, said), seconds))
    leader = first or next(iter(measured))
    click.echo(f"| regressor | SROCC | KROCC | PLCC fitted | RMSE fitted | {leader} better | p | in 90 % | s a split |")
    click.echo("|---|---|---|---|---|---|---|---|---|")
    for label, summary, share, seconds in rows:
        figures = [
            f"{getattr(summary.median, name):.3f} ({getattr(summary.std, name):.3f})"
            for name in ("srocc", "krocc", "plcc_fitted", "rmse_fitted")
        ]
        paired = compare_paired(measured[leader], measured[label])
        beside = ("", "") if label == leader else (f"{paired.better} of {paired.splits}", f"{paired.p_value:.2g}")
        click.echo(f"| {label} | {' | '.join([*figures, *beside, share])} | {seconds:.2f} |")


def covered(rounds: Sequence[Round], said: Sequence[Predictions]) -> str:
    """Say how many of the test MOS lie in their interval."""
    share = share_covered(rounds, said)
    return "-" if share is None else f"{100 * share:.1f}"


def named(base: Method, name: str, **settings: object) -> Method:
    """Return a method with other settings."""
    return replace(base, name=name, settings=replace(base.settings, **settings))  # type: ignore[arg-type]


pool_and_splits = [
    click.argument("pool", type=click.Path(path_type=Path, exists=True)),
    click.option("--splits", default=10, show_default=True),
]


def with_pool(command: Callable[..., None]) -> Callable[..., None]:
    """Add the pool and the number of splits."""
    for decorate in reversed(pool_and_splits):
        command = decorate(command)
    return command
