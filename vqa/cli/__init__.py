"""Command line: parse, call the pipeline, print; nothing else."""

from __future__ import annotations

import os
import sys

import click

import vqa.cli._clock  # noqa: F401 - first of all
from vqa.cli.caching import cache
from vqa.cli.exporting import export
from vqa.cli.manners import settle_streams, share_manners, start_as_usual, tell_end, tell_origin
from vqa.cli.models import models
from vqa.cli.options import FAILED, INTERRUPTED
from vqa.cli.reporting import report, run
from vqa.cli.scoring import score
from vqa.cli.starting import demo, doctor, init
from vqa.cli.stopping import catch_signals
from vqa.cli.working import evaluate, extract, select, train
from vqa.errors import VqaError
from vqa.escaping import for_terminal


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vqa", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Predict how good videos look to people, without a reference.

    Frozen pretrained networks see every video once; their features are cached, ranked by how well they separate good
    from bad, and a light regressor is trained on the cache alone (PTM-VQA, CVPR 2024). Without a command: what is in
    this folder, and what to do next.

    \b
    Start with:
      vqa demo                        the whole job on free clips, in minutes
      vqa init DIR --videos VIDEOS --labels LABELS.csv
      cd DIR
      vqa extract --models all
      vqa select --top-k 4
      vqa train --cached
      vqa evaluate
      vqa report
      vqa score clip.mp4
    """
    if context.invoked_subcommand is None:
        from vqa import pipeline, tables

        tables.print_overview(pipeline.look_around())


_COMMANDS = (init, demo, doctor, models, extract, select, train, evaluate, run, score, report, export, cache)
for _command in _COMMANDS:
    cli.add_command(_command)
share_manners(cli)


def main() -> None:
    """Run the command line; every error a user can meet is one line."""
    settle_streams()
    catch_signals()
    start_as_usual()
    try:
        _run()
    except SystemExit as end:
        tell_end(end.code)
        raise
    tell_end(0)


def _run() -> None:
    """Run the command and turn what it raises into a line and a status."""
    try:
        cli.main(prog_name="vqa", standalone_mode=False)
    except click.ClickException as error:
        error.message = for_terminal(error.message)  # type: ignore[misc,unused-ignore]  # final in new versions only
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _complain("Stopped; run the same command again to go on.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except VqaError as error:
        _complain(f"Error: {error}")
        tell_origin()
        sys.exit(FAILED)
    except OSError as error:
        _complain(
            f"Error: {error.filename or 'input or output'}: {error.strerror or error}; check space and permissions"
        )
        tell_origin()
        sys.exit(FAILED)


def _complain(text: str) -> None:
    click.echo(for_terminal(" ".join(text.split())), err=True)
