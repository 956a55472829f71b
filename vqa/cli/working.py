"""Commands of the everyday work: `vqa extract`, `select`, `train` and `evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from vqa.cli.completing import complete_criteria, complete_methods
from vqa.cli.options import DONE, INCOMPLETE, as_json, in_workspace, models_option, with_effort, with_weights
from vqa.settings import CRITERIA


@click.command()
@models_option
@click.option("--retry-failed", is_flag=True, help="Try videos again that failed before.")
@click.option(
    "--new-generation",
    is_flag=True,
    help="Compute anew, beside the old features, those models whose numbers changed; the others go on as they are.",
)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), help="Of the networks.")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", help="This machine, or a Ray cluster's nodes."
)
@click.option("--address", metavar="HOST:PORT", help="Head node of the cluster.  [default: one on this machine]")
@click.option("--num-cpus", type=click.IntRange(1), metavar="N", help="Cores of each actor.  [default: its node's]")
@click.option(
    "--num-gpus", type=click.FloatRange(0), metavar="N", help="GPUs of each actor, or a part.  [default: its node's]"
)
@with_effort
@in_workspace
@with_weights
@as_json
def extract(
    models: tuple[str, ...],
    *,
    retry_failed: bool,
    new_generation: bool,
    precision: str | None,
    engine: str,
    address: str | None,
    num_cpus: int | None,
    num_gpus: float | None,
    overrides: Mapping[str, Any],
    folder: Path,
    as_json: bool,
) -> None:
    """Compute the features that the cache lacks; every video is decoded at most once for all models.

    \b
    Examples:
      vqa extract --models all
      vqa extract --models bundled --models timm:resnet50.a1_in1k
      vqa extract --models all --memory 4096 --batch 64 --device cuda
      vqa extract --models all --offline --weights-dir /mnt/weights
      vqa extract --models all --new-generation
      vqa extract --models all --engine ray --address 10.0.0.1:6379
    """
    from vqa import pipeline, tables, terminal

    cluster = None
    if engine == "ray":
        cluster = pipeline.RayOptions(address, num_cpus, num_gpus)
    else:
        _refuse_for_local(address=address, num_cpus=num_cpus, num_gpus=num_gpus)
    given = {**overrides, "precision": precision} if precision else overrides
    with terminal.Bars() as bars:
        report = pipeline.extract_features(
            folder,
            models,
            retry_failed=retry_failed,
            new_generation=new_generation,
            overrides=given,
            cluster=cluster,
            progress=bars,
        )
    (terminal.print_json if as_json else tables.print_extraction)(report)
    sys.exit(DONE if report.complete else INCOMPLETE)


def _refuse_for_local(**options: object) -> None:
    """Refuse options of a cluster where none is asked for: they would do nothing."""
    given = [name.replace("_", "-") for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"--{given[0]} is for a cluster; add --engine ray, or leave it out")


@click.command()
@click.option("--top-k", type=click.IntRange(1), help="How many to select.  [default: what vqa.toml says, 4]")
@click.option("--criterion", type=click.Choice(CRITERIA), help="What to rank by.  [default: what vqa.toml says, dbi]")
@click.option(
    "--budget-ms",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="Select models that cost at most this much together, for one video.",
)
@in_workspace
@as_json
def select(top_k: int | None, *, criterion: str | None, budget_ms: float | None, folder: Path, as_json: bool) -> None:
    """Rank the cached candidates, by Davies-Bouldin index on MOS clusters or otherwise, and write selection.json.

    The table shows all criteria, how sure each rank is, and what each model costs.

    \b
    Examples:
      vqa select --top-k 4
      vqa select --top-k 4 --criterion ridge
      vqa select --criterion greedy --budget-ms 200
    """
    from vqa import pipeline, tables, terminal

    selection = pipeline.rank_models(folder, top_k=top_k, criterion=criterion, budget_ms=budget_ms)
    (terminal.print_json if as_json else tables.print_selection)(selection)


@click.command()
@click.option("--cached", is_flag=True, help="Touch no video; name what the cache lacks instead of extracting it.")
@click.option(
    "--method",
    shell_complete=complete_methods,
    help="blend, or ptm-vqa for the paper's network alone.  [default: what vqa.toml says, blend]",
)
@in_workspace
@with_weights
@as_json
def train(*, cached: bool, method: str | None, folder: Path, as_json: bool) -> None:
    """Fit the regressor on the selected candidates' features, and write scorer.vqa.

    \b
    Examples:
      vqa train --cached
      vqa train --cached --method ptm-vqa
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.train_regressor(folder, cached=cached, method=method, progress=bars)
    (terminal.print_json if as_json else tables.print_training)(report)


class _Count(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in new versions only
    """A number of models, or `all`, which is 0."""

    name = "number or all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "all":
            return 0
        return int(click.IntRange(1).convert(value, param, ctx))


@click.command()
@click.option("--splits", type=click.IntRange(1), help="How many random splits.  [default: what vqa.toml says, 20]")
@click.option("--top-k", type=_Count(), metavar="N|all", help="How many models to select in each split.")
@click.option(
    "--criterion",
    shell_complete=complete_criteria,
    help="What models are ranked by.  [default: what vqa.toml says, dbi]",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    shell_complete=complete_methods,
    help="blend or ptm-vqa; repeatable, the first is compared.",
)
@click.option("--baselines/--no-baselines", default=True, help="Measure RidgeCV, SVR and the best model, too.")
@click.option("--by", type=click.Choice(["content", "video"]), default="content", help="What splits keep whole.")
@click.option("--allow-leaking", is_flag=True, help="Split by video although contents are known.")
@click.option("--on", type=click.Path(path_type=Path), metavar="OTHER", help="Train on all, test on this workspace.")
@click.option("--model", type=click.Path(path_type=Path), help="Train nothing: test this bundle.")
@in_workspace
@as_json
def evaluate(*, folder: Path, on: Path | None, model: Path | None, as_json: bool, **options: Any) -> None:
    """Measure selection and training on repeated splits by content; the test rows of each are read once.

    With contents unknown and default settings the splits are those of the UGC benchmark (seeds ceil(8.8 i), 80/20).

    \b
    Examples:
      vqa evaluate --splits 100
      vqa evaluate --top-k all --method blend --method ptm-vqa
      vqa evaluate --on ../livevqc
      vqa evaluate --model scorer.vqa --on ../livevqc
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        if model is not None:
            _refuse(options, _TRAINING, "--model is trained already")
            crossing = pipeline.evaluate_bundle(folder, model, on=on, progress=bars)
        elif on is not None:
            _refuse(options, _SPLITTING, "--on makes no splits")
            crossing = pipeline.evaluate_on(folder, on, progress=bars, **options)
        else:
            report = pipeline.evaluate_workspace(folder, progress=bars, **options)
    if on is not None or model is not None:
        (terminal.print_json if as_json else tables.print_crossing)(crossing)
    else:
        (terminal.print_json if as_json else tables.print_evaluation)(report)


_SPLITTING = {"splits": None, "by": "content", "allow_leaking": False}
_TRAINING = {**_SPLITTING, "top_k": None, "criterion": None, "methods": (), "baselines": True}


def _refuse(options: dict[str, Any], defaults: Mapping[str, Any], why: str) -> None:
    """Take away options that would do nothing; refuse those that were given."""
    given = [name for name, default in defaults.items() if options.pop(name) != default]
    if given:
        flag = {"methods": "method", "baselines": "no-baselines"}.get(given[0], given[0].replace("_", "-"))
        raise click.UsageError(f"{why}; leave out --{flag}")
