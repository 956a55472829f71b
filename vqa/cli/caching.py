"""`vqa cache`: the cache's own chores."""

from __future__ import annotations

from pathlib import Path

import click

from vqa.cli.options import as_json, in_workspace


@click.group()
def cache() -> None:
    """Look after the feature cache."""


@cache.command()
@in_workspace
@as_json
def info(*, folder: Path, as_json: bool) -> None:
    """Show what the cache holds: videos, segments, size, precision, weights and failures of each candidate.

    \b
    Example:
      vqa cache info
    """
    from vqa import pipeline, tables, terminal

    report = pipeline.describe_cache(folder)
    (terminal.print_json if as_json else tables.print_cache)(report)
