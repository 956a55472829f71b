"""What each selection criterion is worth: four sets chosen on training rows, fused, tested on held-out ratings.

    python benchmarks/criteria.py konvid1k.npz livevqc.npz --splits 10

A pool is an npz file with `ids`, `mos` and a matrix `feat__<name>` for each feature set. Splits are those of the UGC
benchmark. In each, every criterion ranks the sets on the training rows; its four best are standardised, put side by
side, and RidgeCV predicts the test rows. *order*: mean over splits of the rank correlation between a criterion's order
and the SROCC that each set reaches by itself on the test rows. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vqa.records import FeatureTable, Ranking, Split
from vqa.select.criteria import CRITERIA
from vqa.select.preparing import fill_missing
from vqa.select.ranking import rank_candidates
from vqa.train.splits import content_splits

CHOSEN = 4


def read_pool(path: Path) -> FeatureTable:
    """Read a pool; missing cells are filled with medians."""
    with np.load(path, allow_pickle=False) as pool:
        blocks = {
            name.removeprefix("feat__"): np.asarray(fill_missing(pool[name]), dtype=np.float32)
            for name in pool.files
            if name.startswith("feat__")
        }
        groups = tuple(pool["group"].tolist()) if "group" in pool.files else None
        return FeatureTable(tuple(pool["ids"].tolist()), pool["mos"].astype(np.float64), groups, blocks)


def held_out_srocc(table: FeatureTable, split: Split, names: Sequence[str]) -> float:
    """Fuse some sets by RidgeCV on the training rows; return the SROCC on the test rows."""
    joined = np.hstack([table.blocks[name] for name in names]).astype(np.float64)
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15)))
    model.fit(joined[split.train], table.mos[split.train])
    return float(spearmanr(model.predict(joined[split.test]), table.mos[split.test]).statistic)


def _order(ranking: Ranking, alone: dict[str, float]) -> float:
    places = {row.name: place for place, row in enumerate(ranking.rows)}
    names = [name for name in alone if name in places]
    return -float(spearmanr([places[name] for name in names], [alone[name] for name in names]).statistic)


@click.command()
@click.argument("pools", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--splits", default=10)
def main(pools: tuple[Path, ...], splits: int) -> None:
    """Print a table for each pool."""
    for path in pools:
        table = read_pool(path)
        parts = content_splits(table.groups, len(table.ids), count=splits)
        alone = [{name: held_out_srocc(table, part, [name]) for name in table.blocks} for part in parts]
        random = np.random.default_rng(0)
        drawn = [random.permutation(list(table.blocks))[:CHOSEN].tolist() for _ in parts]
        chance = [held_out_srocc(table, part, names) for part, names in zip(parts, drawn, strict=True)]
        click.echo(f"\n{path.stem}: {len(table.blocks)} sets, {len(table.ids)} videos, {splits} splits\n")
        click.echo("| criterion | median SROCC of four | order | ms a ranking |\n|---|---|---|---|")
        click.echo(f"| at random | {np.median(chance):.3f} | | |")
        for name in CRITERIA:
            began = time.perf_counter()
            rankings = [rank_candidates(table.take(part.train), criterion=name, top_k=CHOSEN) for part in parts]
            cost = (time.perf_counter() - began) / splits
            fused = [
                held_out_srocc(table, part, ranking.best(CHOSEN)) for part, ranking in zip(parts, rankings, strict=True)
            ]
            order = np.mean([_order(ranking, own) for ranking, own in zip(rankings, alone, strict=True)])
            told = "" if name == "greedy" else f"{order:.2f}"
            click.echo(f"| {name} | {np.median(fused):.3f} | {told} | {1000 * cost:.0f} |")


if __name__ == "__main__":
    main()
