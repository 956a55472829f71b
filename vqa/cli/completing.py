"""What the shell's completion offers for values: models, pools, criteria, methods and datasets; no heavy library.

Where a name can't be looked up, in no workspace or in a damaged one, nothing is offered: an error would be printed into
the line that is being typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from vqa.errors import VqaError
from vqa.settings import CRITERIA

METHODS = ("blend", "ptm-vqa")

Complete = Callable[[click.Context, click.Parameter | None, str], list[CompletionItem]]


def _offering(names: Callable[[click.Context], Iterable[str]]) -> Complete:
    """Return a completion by those of some names that begin as what is typed."""

    def complete(context: click.Context, _: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(name) for name in names(context) if name.startswith(incomplete)]
        except (VqaError, OSError):
            return []

    return complete


def _models(_: click.Context) -> Iterable[str]:
    from vqa.extract.pools import pool_rows

    rows = pool_rows()
    return ("all", *dict.fromkeys(row.pool for row in rows), *dict.fromkeys(row.spec for row in rows))


def _pools(_: click.Context) -> Iterable[str]:
    from vqa.extract.pools import pool_rows

    return dict.fromkeys(row.pool for row in pool_rows())


def _cached(context: click.Context) -> Iterable[str]:
    from vqa import pipeline

    held = pipeline.describe_cache(context.params.get("folder") or Path()).candidates
    return dict.fromkeys(stored.record.name for stored in held)


def _datasets(_: click.Context) -> Iterable[str]:
    from vqa.presets import known_presets

    return [preset.name for preset in known_presets()]


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows its files."""
    return [CompletionItem(incomplete, type="file")]


complete_models = _offering(_models)
"""Pools and the models in them."""
complete_pools = _offering(_pools)
complete_cached = _offering(_cached)
"""Models that the workspace's cache holds."""
complete_datasets = _offering(_datasets)
complete_criteria = _offering(lambda _: CRITERIA)
complete_methods = _offering(lambda _: METHODS)
