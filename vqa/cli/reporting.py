"""`vqa report` and `vqa run`: one page of all results, and the whole job that ends in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from vqa.cli.options import DONE, INCOMPLETE, as_json, in_workspace, models_option, with_effort, with_weights


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[FILE.html]")
@click.option("--no-thumbnails", is_flag=True, help="Decode no video, and show no pictures.")
@in_workspace
@as_json
def report(file: Path | None, *, no_thumbnails: bool, folder: Path, as_json: bool) -> None:
    """Write one HTML page of all results, to FILE.html (results/report.html in the workspace if not given).

    It needs no other file and no network. What is not there yet is said on the page, with the command that makes it.

    \b
    Examples:
      vqa report
      vqa report /tmp/konvid.html -C konvid --no-thumbnails
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        written = pipeline.build_report(folder, file, thumbnails=not no_thumbnails, progress=bars)
    (terminal.print_json if as_json else tables.print_report)(written)


@click.command()
@models_option
@click.option("--top-k", type=click.IntRange(1), help="How many to select.  [default: what vqa.toml says, 4]")
@click.option("--splits", type=click.IntRange(1), help="How many random splits.  [default: what vqa.toml says, 20]")
@with_effort
@in_workspace
@with_weights
@as_json
def run(
    models: tuple[str, ...],
    *,
    top_k: int | None,
    splits: int | None,
    overrides: Mapping[str, Any],
    folder: Path,
    as_json: bool,
) -> None:
    """Do the whole job: extract, select, train, evaluate, report. Run it again to go on; what is cached stays.

    Ends with status 3 where some videos or models failed; the page says which and why.

    \b
    Examples:
      vqa run
      vqa run -C konvid --models bundled --top-k 4 --splits 100
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        job = pipeline.run_workspace(folder, models, top_k=top_k, splits=splits, overrides=overrides, progress=bars)
    (terminal.print_json if as_json else tables.print_run)(job)
    sys.exit(DONE if job.complete else INCOMPLETE)
