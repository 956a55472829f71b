"""Selection and training on real human ratings, from tables of features that others published.

    python benchmarks/ratings.py methods POOL.npz         all sets: ours, its parts, the paper's, the baselines
    python benchmarks/ratings.py methods --inner POOL.npz the same on training rows alone, as choices were made
    python benchmarks/ratings.py icid POOL.npz            the network with and without each term of its loss
    python benchmarks/ratings.py defaults POOL.npz        how the constants were chosen, on training rows alone
    python benchmarks/ratings.py criteria POOL.npz        top-k for every criterion, random choice as the floor
    python benchmarks/ratings.py speed POOL.npz           nested selection and training against the field's SVR protocol
    python benchmarks/ratings.py permuted POOL.npz        labels dealt out at random
    python benchmarks/ratings.py leaking POOL.npz         by content, and by video although contents are known

A pool is an npz file with `ids`, `mos`, maybe `group`, and one matrix `feat__<set>` for each set. Splits are the UGC
benchmark's (seed ceil(8.8 i), 80/20), by content where contents are known. What is compared runs on the same splits in
one process. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from criteria import criteria
from numpy.typing import NDArray
from pools import BLEND, make_rounds, named, read_pool, run, sroccs, table_of, training_rows, with_pool
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVR

from vqa.pipeline.contest import predict_rounds
from vqa.select.ranking import rank_candidates
from vqa.train.baselines import BASELINES, Baseline
from vqa.train.fitted import DEFAULT_COVERAGE
from vqa.train.methods import METHODS, Method
from vqa.train.splits import content_splits

NETWORK = replace(BLEND, name="network", title="", settings=replace(BLEND.settings, paths=("network",)))


@click.group()
def main() -> None:
    """Selection and training on real human ratings."""


@main.command()
@with_pool
@click.option("--inner", is_flag=True, help="On splits of benchmark split 1's training rows, as choices were made.")
def methods(pool: Path, splits: int, *, inner: bool) -> None:
    """All sets: ours, its parts, the paper's method, and the baselines."""
    table = training_rows(read_pool(pool)) if inner else read_pool(pool)
    rounds = make_rounds(table, splits)
    of = f" of {len(table.ids)} training rows (of benchmark split 1)" if inner else ""
    click.echo(f"\n{pool.stem}, all {len(rounds[0].dbis)} sets, {splits} splits{of}:\n")
    table_of(
        rounds,
        {
            "**blend** (default)": BLEND,
            "blend without network": named(BLEND, "a", paths=("kernel", "linear")),
            "blend without kernel": named(BLEND, "b", paths=("network", "linear")),
            "blend without linear": named(BLEND, "c", paths=("network", "kernel")),
            "blend without ICID": named(BLEND, "d", intra_weight=0.0, inter_weight=0.0),
            "blend, standard scaling": named(BLEND, "e", scaling="standard"),
            "network alone": NETWORK,
            "kernel alone": named(BLEND, "f", paths=("kernel",)),
            "linear alone": named(BLEND, "g", paths=("linear",)),
            "ptm-vqa": METHODS["ptm-vqa"],
            "RidgeCV": BASELINES["ridge"],
            "RBF-SVR": BASELINES["svr"],
            "best single set, RidgeCV": BASELINES["best-single"],
        },
    )


@main.command()
@with_pool
def icid(pool: Path, splits: int) -> None:
    """The network alone with and without each term of its loss, and with other fusion weights."""
    rounds = make_rounds(read_pool(pool), splits)
    click.echo(f"\n{pool.stem}, all {len(rounds[0].dbis)} sets, {splits} splits, network alone:\n")
    ptm = METHODS["ptm-vqa"]
    table_of(
        rounds,
        {
            "network": NETWORK,
            "without ICID": named(NETWORK, "a", intra_weight=0.0, inter_weight=0.0),
            "without intra-consistency": named(NETWORK, "b", intra_weight=0.0),
            "without inter-divisibility": named(NETWORK, "c", inter_weight=0.0),
            "weights by inverse DBI": replace(NETWORK, name="d", fusion="inverse"),
            "weights by softmax of -DBI": replace(NETWORK, name="e", fusion="softmax"),
            "uniform weights": replace(NETWORK, name="f", fusion="uniform"),
            "one restart": named(NETWORK, "g", restarts=1),
        },
    )
    click.echo(f"\n{pool.stem}, {splits} splits, the paper's method:\n")
    table_of(
        rounds,
        {
            "ptm-vqa": ptm,
            "ptm-vqa without ICID": named(ptm, "a", intra_weight=0.0, inter_weight=0.0),
            "ptm-vqa, uniform weights": replace(ptm, name="b", fusion="uniform"),
        },
    )


VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "width 16": {"width": 16},
    "width 64": {"width": 64},
    "64 components": {"components": 64},
    "256 components": {"components": 256},
    "3 bins": {"bins": 3},
    "10 bins": {"bins": 10},
    "margin .1": {"margin": 0.1},
    "margin .6": {"margin": 0.6},
    "intra .1": {"intra_weight": 0.1},
    "intra 1": {"intra_weight": 1.0},
    "inter .3": {"inter_weight": 0.3},
    "inter 1": {"inter_weight": 1.0},
    "no intra": {"intra_weight": 0.0},
    "no inter": {"inter_weight": 0.0},
    "no ICID": {"intra_weight": 0.0, "inter_weight": 0.0},
    "no dropout": {"dropout": 0.0},
    "dropout .3": {"dropout": 0.3},
    "10 epochs": {"epochs": 10},
    "40 epochs": {"epochs": 40},
    "learning rate .001": {"learning_rate": 0.001},
    "standard scaling": {"scaling": "standard"},
}


@main.command()
@with_pool
def defaults(pool: Path, splits: int) -> None:
    """The network alone with each constant changed, on inner splits of the first benchmark split's training rows."""
    table = training_rows(read_pool(pool))
    rounds = make_rounds(table, splits)
    click.echo(
        f"\n{pool.stem}, {splits} splits of {len(table.ids)} training rows (of benchmark split 1), network alone:\n"
    )
    contenders = {label: named(NETWORK, label, **settings) for label, settings in VARIANTS.items()}
    rules = ("inverse", "softmax", "uniform")
    fusions = {f"weights: {rule}": replace(NETWORK, name=rule, fusion=rule) for rule in rules}
    table_of(rounds, contenders | fusions)


@main.command()
@with_pool
@click.option("--slow-splits", default=10, show_default=True, help="Splits of the slow protocol that are run.")
def speed(pool: Path, splits: int, slow_splits: int) -> None:
    """Nested selection and training, top 4, against the UGC benchmark's SVR search on its first set alone."""
    table = read_pool(pool)
    started = time.perf_counter()
    rounds = make_rounds(table, splits, lambda train, _: rank_candidates(train).best(4))
    chosen = time.perf_counter() - started
    _, ours = run(rounds, BLEND)
    started = time.perf_counter()
    predict_rounds(rounds, [BLEND], list(BASELINES.values()), coverage=DEFAULT_COVERAGE)
    whole = chosen + time.perf_counter() - started
    name = next(iter(table.blocks))
    parts = content_splits(table.groups, len(table.ids), count=slow_splits)
    started = time.perf_counter()
    for number, split in enumerate(parts):
        _search(table.blocks[name], table.mos, split.train, number)
    slow = (time.perf_counter() - started) / slow_splits
    click.echo(f"\n{pool.stem}, {splits} splits, 4 sets chosen by DBI in each; SVR search on {name}:\n")
    click.echo("| work | s a split | of the SVR search |")
    click.echo("|---|---|---|")
    rows = {"selection": chosen / splits, "blend": ours, "all, three baselines too": whole / splits, "SVR search": slow}
    for label, seconds in rows.items():
        click.echo(f"| {label} | {seconds:.2f} | {seconds / slow:.2f} |")


def _search(block: NDArray[np.float32], mos: NDArray[np.float64], rows: NDArray[np.intp], seed: int) -> None:
    """Fit an SVR by 30 draws of cost and gamma and 3 folds, features between -1 and 1."""
    features = block[rows].astype(np.float64)
    features = np.where(np.isfinite(features), features, np.nanmedian(features, axis=0))
    space = {"C": loguniform(2.0, 2.0**10), "gamma": loguniform(2.0**-8, 2.0)}
    search = RandomizedSearchCV(SVR(), space, n_iter=30, cv=3, random_state=seed)
    search.fit(MinMaxScaler((-1, 1)).fit_transform(features), mos[rows])


@main.command()
@with_pool
def permuted(pool: Path, splits: int) -> None:
    """Labels dealt out at random: what is left is what leaks."""
    table = read_pool(pool)
    dealt = replace(table, mos=np.random.default_rng(0).permutation(table.mos))
    rounds = make_rounds(dealt, splits, lambda train, _: rank_candidates(train).best(4))
    values = sroccs(rounds, run(rounds, BLEND)[0])
    click.echo(f"{pool.stem}, labels permuted, {splits} splits: median SROCC {np.median(values):.3f}")


@main.command()
@with_pool
def leaking(pool: Path, splits: int) -> None:
    """By content; then by video although contents are known, which leaks."""
    table = read_pool(pool)
    contenders: dict[str, Method | Baseline] = {
        "**blend**": BLEND,
        "ptm-vqa": METHODS["ptm-vqa"],
        "RidgeCV": BASELINES["ridge"],
        "RBF-SVR": BASELINES["svr"],
        "best single set, RidgeCV": BASELINES["best-single"],
    }
    contents = len(set(table.groups or ()))
    click.echo(f"\n{pool.stem}, all sets, {splits} splits by content ({contents} contents):\n")
    table_of(make_rounds(table, splits), contenders)
    click.echo(f"\n{pool.stem}, {splits} splits by video; **leaking**, the same contents are trained and tested on:\n")
    table_of(make_rounds(table, splits, by_content=False), contenders)


main.add_command(criteria)

if __name__ == "__main__":
    main()
