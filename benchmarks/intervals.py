"""How many MOS of new contents lie in their 90 % interval, where a content has several videos.

    python benchmarks/intervals.py simulated             sets made here, content effects of three sizes
    python benchmarks/intervals.py published POOL.npz    content splits of a table of features with `group`

A simulated video has three causes of quality, which its features tell, twelve marks of its content, which they tell
too, an effect of its content on its MOS, which they do not, and noise. The effect's standard deviation is a multiple of
the noise's. Test videos are of contents of their own. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from pools import BLEND, make_rounds, read_pool, run

from vqa.pipeline.contest import share_covered
from vqa.train.fitting import fit_many
from vqa.train.job import TrainJob

SHAPES = ((12, 18), (16, 6), (30, 8), (60, 5))
"""Contents, and videos of each."""
SIZES = (0.5, 1.0, 2.0)
"""Standard deviation of the content effect, as a multiple of the noise's."""
_WIDTHS = (48, 96)
_NOISE = 5.0


@click.group()
def main() -> None:
    """Coverage of intervals on new contents."""


@main.command()
@click.option("--sets", default=12, show_default=True, help="Training sets of each shape and size.")
@click.option("--seed", default=1000, show_default=True, help="Of the first of them.")
def simulated(sets: int, seed: int) -> None:
    """Sets made here: mean coverage (standard deviation over sets), and median length of the intervals."""
    click.echo("| contents x videos | effect / noise | in 90 % | length | s a set |")
    click.echo("|---|---|---|---|---|")
    for contents, videos in SHAPES:
        for size in SIZES:
            seeds = range(seed, seed + sets)
            jobs = [make_job(contents, videos, size, each) for each in seeds]
            started = time.perf_counter()
            fitted = fit_many(jobs, settings=BLEND.settings)
            seconds = (time.perf_counter() - started) / sets
            inside, lengths = [], []
            for regressor, each in zip(fitted, seeds, strict=True):
                new = make_job(60, 4, size, each + 10**6)
                said = regressor.predict_intervals(new.features)
                inside.append(100 * np.mean((said.low <= new.mos) & (new.mos <= said.high)))
                lengths.append(np.median(said.high - said.low))
            share = f"{np.mean(inside):.1f} ({np.std(inside):.1f})"
            click.echo(f"| {contents} x {videos} | {size:g} | {share} | {np.mean(lengths):.1f} | {seconds:.2f} |")


@main.command()
@click.argument("pool", type=click.Path(path_type=Path, exists=True))
@click.option("--splits", default=20, show_default=True)
def published(pool: Path, splits: int) -> None:
    """Content splits of a table of features: coverage over all test rows, and median length of the intervals."""
    rounds = make_rounds(read_pool(pool), splits)
    said, seconds = run(rounds, BLEND)
    share = share_covered(rounds, said)
    inside = "-" if share is None else f"{100 * share:.1f}"
    length = np.mean([np.median(each.high - each.low) for each in said])
    click.echo(f"{pool.stem}, {splits} splits: {inside} % in 90 %, length {length:.1f}, {seconds:.2f} s a split")


def make_job(contents: int, videos: int, size: float, seed: int) -> TrainJob:
    """Make a set of contents; the way from causes and marks to features is the same for all seeds."""
    fixed, drawn = np.random.default_rng(2), np.random.default_rng(seed)
    causes = drawn.normal(size=(contents, videos, 3))
    marks = drawn.normal(size=(contents, 1, 12)).repeat(videos, 1)
    effects = size * _NOISE * drawn.normal(size=(contents, 1))
    mos = 50 + causes @ np.array([10.0, 5.0, 3.0]) + effects + _NOISE * drawn.normal(size=(contents, videos))
    blocks = [_features(causes, marks, width, fixed, drawn) for width in _WIDTHS]
    groups = [str(content) for content in range(contents) for _ in range(videos)]
    features = np.concatenate(blocks, axis=2).reshape(contents * videos, -1)
    return TrainJob(features, mos.ravel(), groups, _WIDTHS, None, seed)


def _features(
    causes: NDArray[np.float64],
    marks: NDArray[np.float64],
    width: int,
    fixed: np.random.Generator,
    drawn: np.random.Generator,
) -> NDArray[np.float64]:
    told = causes @ fixed.normal(size=(3, width)) + marks @ fixed.normal(size=(12, width))
    noisy: NDArray[np.float64] = np.tanh(told / 3) + 0.3 * drawn.normal(size=told.shape)
    return noisy


if __name__ == "__main__":
    main()
