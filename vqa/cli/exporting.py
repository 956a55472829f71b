"""`vqa export`: a bundle or the features, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vqa.cli.completing import complete_cached
from vqa.cli.options import DONE, INCOMPLETE, as_json, in_workspace
from vqa.errors import TableError

_HEAD = ".onnx"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="For .onnx: the bundle.  [default: the workspace's scorer.vqa]",
)
@click.option(
    "--models",
    multiple=True,
    metavar="MODEL",
    shell_complete=complete_cached,
    help="For tables: only this one, a glob or a fingerprint; repeatable.",
)
@in_workspace
@as_json
def export(file: Path, *, model: Path | None, models: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Write FILE for other programs: what its suffix says. FILE is replaced.

    \b
    .onnx             the scorer, from time-averaged features to score and interval; what
                      its inputs are is printed, and stands in the file's metadata
    .npz, .csv, .mat  ids, MOS, groups, splits and time-averaged features, the same as
                      `vqa cache export`; status 3 where videos are left out

    \b
    Examples:
      vqa export scorer.onnx
      vqa export scorer.onnx --model other/scorer.vqa --json
      vqa export features.csv --models 'bundled:*'
    """
    from vqa import pipeline, tables, terminal

    suffix = file.suffix.lower()
    if suffix == _HEAD:
        _refuse(models, "--models", "tables, and a scorer has its own")
        with terminal.Bars() as bars:
            head = pipeline.export_head(file, model, folder=folder, progress=bars)
        (terminal.print_json if as_json else tables.print_head)(head)
    elif suffix in pipeline.TABLE_SUFFIXES:
        _refuse(model, "--model", f"{_HEAD}, and a table has the cache's features; name them with --models")
        report = pipeline.export_table(file, models, folder=folder)
        (terminal.print_json if as_json else tables.print_export)(report)
        sys.exit(DONE if report.complete else INCOMPLETE)
    else:
        raise TableError(
            f"{file}: is of no kind that can be written; name a file that ends in "
            f"{', '.join((_HEAD, *pipeline.TABLE_SUFFIXES))}"
        )


def _refuse(given: object, option: str, reason: str) -> None:
    """Refuse an option that does not fit the kind of file."""
    if given:
        raise click.UsageError(f"{option} is for {reason}")
