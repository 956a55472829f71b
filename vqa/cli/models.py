"""`vqa models`: the candidates there are, and their weights."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from vqa.cli.completing import complete_models, complete_pools
from vqa.cli.options import DONE, INCOMPLETE, as_json, in_workspace, weights_dir_option

_LISTING = "list"


class _Listing(click.Group):
    """A group that lists where no other of its commands is named: `vqa models NAME` is `vqa models list NAME`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and ctx.resilient_parsing:  # the shell asks what may follow
            return super().parse_args(ctx, args)
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_LISTING, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the other commands, and what `list` takes."""
        return [*super().shell_complete(ctx, incomplete), *complete_models(ctx, None, incomplete)]


@click.group(cls=_Listing)
def models() -> None:
    """List candidate models, or fetch their weights before they are needed.

    \b
    Examples:
      vqa models                              the same as `vqa models list`
      vqa models 'open_clip:ViT-B-32/*'
      vqa models fetch bundled
    """


@models.command(_LISTING)
@click.argument("pattern", required=False, shell_complete=complete_models)
@click.option("--pool", shell_complete=complete_pools, help="Only this pool, such as bundled, hub or classic.")
@in_workspace
@as_json
def list_(pattern: str | None, *, pool: str | None, folder: Path, as_json: bool) -> None:
    """List candidates: pretext task, width, licence, cost, and how many videos are cached.

    The cost is what the cache measured here, else multiplications (GMACs) for each frame or clip.

    \b
    Examples:
      vqa models list --pool hub
      vqa models list 'open_clip:ViT-B-32/*'
    """
    from vqa import pipeline, tables, terminal

    listed = pipeline.list_models(pattern, pool=pool, folder=folder)
    (terminal.print_json if as_json else tables.print_models)(listed)


@models.command()
@click.argument("patterns", nargs=-1, required=True, metavar="SPEC_OR_POOL...", shell_complete=complete_models)
@weights_dir_option("Folder to fill, in place of the libraries' own download folders; made if missing.")
@in_workspace
@as_json
def fetch(patterns: tuple[str, ...], *, weights_dir: Path | None, folder: Path, as_json: bool) -> None:
    """Bring weights to this machine, or into a folder for machines without internet.

    \b
    Examples:
      vqa models fetch bundled timm:resnet50.a1_in1k
      vqa models fetch all --weights-dir /mnt/weights
      vqa extract --models all --offline --weights-dir /mnt/weights
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.fetch_weights(patterns, folder=folder, weights_dir=weights_dir, progress=bars)
    (terminal.print_json if as_json else tables.print_fetch)(report)
    sys.exit(DONE if report.complete else INCOMPLETE)
