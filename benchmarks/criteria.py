"""What each selection criterion is worth: k sets chosen on training rows, fused, tested on held-out ratings.

*order*: mean over splits of the rank correlation between a criterion's order and the SROCC that each set reaches by
itself on the test rows. *random*: the mean over draws of sets.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from pools import BLEND, make_rounds, read_pool, run, sroccs, with_pool
from scipy.stats import spearmanr

from vqa.pipeline.contest import Round
from vqa.select.criteria import CRITERIA
from vqa.select.ranking import rank_candidates
from vqa.train.baselines import BASELINES, Baseline
from vqa.train.methods import Method

DRAWS = 20
RIDGE = BASELINES["ridge"]

Orders = Sequence[Sequence[str]]
"""All sets from best to worst, for each split."""


@click.command()
@with_pool
@click.option("--fused", default=4, show_default=True, help="Sets fused by our regressor, too.")
def criteria(pool: Path, splits: int, fused: int) -> None:
    """Top-k for every criterion fused by RidgeCV, and one k fused by ours; random choice as the floor."""
    table = read_pool(pool)
    rounds = make_rounds(table, splits)
    sizes = [k for k in (1, 2, 3, 4, 6, 8) if k < len(table.blocks)]
    alone = {name: _fused(rounds, [[name]] * splits, 1, RIDGE) for name in table.blocks}
    click.echo(f"\n{pool.stem}, {splits} splits, median SROCC of the k sets chosen inside each split:\n")
    heads = [f"RidgeCV, k = {k}" for k in sizes]
    click.echo(f"| criterion | {' | '.join(heads)} | blend, k = {fused} | order | chosen most | ms a split |")
    click.echo("|---" * (len(sizes) + 5) + "|")
    for criterion in CRITERIA:
        started = time.perf_counter()
        orders = _orders(rounds, criterion)
        cost = 1000 * (time.perf_counter() - started) / splits
        cells = [f"{np.median(_fused(rounds, orders, k, RIDGE)):.3f}" for k in sizes]
        ours = f"{np.median(_fused(rounds, orders, fused, BLEND)):.3f}"
        agreement = np.mean([_agreement(order, alone, number) for number, order in enumerate(orders)])
        click.echo(
            f"| {criterion} | {' | '.join(cells)} | {ours} | {agreement:.2f} | {_most(orders, fused)} | {cost:.0f} |"
        )
    cells = [_random(rounds, k, RIDGE) for k in sizes]
    click.echo(f"| random, mean of {DRAWS} | {' | '.join(cells)} | {_random(rounds, fused, BLEND)} | | | |")


def _orders(rounds: Sequence[Round], criterion: str) -> list[tuple[str, ...]]:
    orders = []
    for each in rounds:
        count = len(each.source.blocks)
        train = each.source.take(each.train_rows)
        orders.append(rank_candidates(train, criterion=criterion, top_k=count).best(count))
    return orders


def _fused(rounds: Sequence[Round], orders: Orders, k: int, contender: Method | Baseline) -> list[float]:
    """Return each split's SROCC of the first k sets, fused."""
    chosen = [replace(each, chosen=tuple(order[:k])) for each, order in zip(rounds, orders, strict=True)]
    return sroccs(chosen, run(chosen, contender)[0])


def _agreement(order: Sequence[str], alone: dict[str, list[float]], number: int) -> float:
    return float(spearmanr(range(len(order)), [-alone[name][number] for name in order]).statistic)


def _most(orders: Orders, fused: int) -> str:
    """Say which sets are among the first most often, and how often the useless one is."""
    counts = Counter(name for order in orders for name in order[:fused])
    most = ", ".join(name for name, _ in counts.most_common(fused))
    return most + (f"; saliency224 in {counts['saliency224']}" if counts["saliency224"] else "")


def _random(rounds: Sequence[Round], k: int, contender: Method | Baseline) -> str:
    """Return the mean over draws of the median SROCC of k sets drawn at random in each split."""
    names = np.array(list(rounds[0].source.blocks))
    medians = []
    for draw in range(DRAWS):
        orders = [np.random.default_rng([draw, split]).permutation(names).tolist() for split in range(len(rounds))]
        medians.append(np.median(_fused(rounds, orders, k, contender)))
    return f"{np.mean(medians):.3f}"
