"""`vqa score`: scores, scores along a video, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqa.cli.completing import complete_files
from vqa.cli.options import DONE, INCOMPLETE, in_workspace, with_effort, with_weights

if TYPE_CHECKING:
    from vqa.pipeline import Scorer

_FORMATS = ("table", "csv", "json", "jsonl")


@click.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...", shell_complete=complete_files)
@click.option("--model", type=click.Path(path_type=Path), help="Bundle.  [default: the workspace's scorer.vqa]")
@click.option("--format", "kind", type=click.Choice(_FORMATS), help="Of what is printed or written.  [default: table]")
@click.option("--json", "kind", flag_value="json", help="The same as `--format json`.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write rows to a .csv, .json or .jsonl file as they come; the same command again goes on. With --timeline "
    "and --why the file is written anew after each video.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False),
    metavar="DIR_OR_URL",
    help="Use this cache's features, and add what it lacks.",
)
@click.option("--retry-failed", is_flag=True, help="Try videos again that failed, as the output file says.")
@click.option("--timeline", is_flag=True, help="Score windows along each video.")
@click.option("--window", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Length of each.  [4]")
@click.option("--step", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="From one to the next.  [2]")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.html", help="Plot the timelines as a page.")
@click.option("--why", is_flag=True, help="Tell what each model and each moment moved.")
@with_effort
@in_workspace
@with_weights
def score(
    videos: tuple[str, ...],
    *,
    model: Path | None,
    kind: str | None,
    output: Path | None,
    cache: str | None,
    retry_failed: bool,
    timeline: bool,
    window: float | None,
    step: float | None,
    plot: Path | None,
    why: bool,
    overrides: Mapping[str, Any],
    folder: Path,
) -> None:
    """Score videos with a trained bundle.

    VIDEO is a file, a folder with all below it, a glob, or - for a list of names on stdin, one on each line. A video
    that can't be scored costs its own row; the command then ends with status 3.

    In a workspace, features in its cache are used for videos that it knows. --cache names another cache, whose features
    are used and which is added to.

    \b
    Examples:
      vqa score clip.mp4 --model scorer.vqa
      vqa score clips 'more/*.mkv' --output scores.csv
      find . -name '*.mp4' | vqa score - --format jsonl
      vqa score film.mp4 --timeline --window 4 --step 2 --plot film.html
      vqa score clip.mp4 --why
    """
    from vqa import pipeline, terminal

    if not timeline:
        _refuse({"window": window, "step": step, "plot": plot}, "does something only with --timeline; add it")
    if timeline:
        _refuse({"cache": cache}, "holds whole videos and does nothing for --timeline; leave it out")
    if timeline or why:
        _refuse({"retry-failed": retry_failed}, "does nothing here; leave it out")
    if why:
        _refuse({"timeline": timeline}, "asks another question than --why; ask one at a time")
        _refuse({"format csv": kind == "csv", "format jsonl": kind == "jsonl"}, "has no rows of --why; use json")
    if output is None:
        _refuse({"retry-failed": retry_failed}, "does something only with --output; add it")
    names = [str(path) for path in pipeline.expand_videos(videos, _listed())]
    with terminal.Bars() as bars:
        scorer = pipeline.load_scorer(
            model, folder=folder, cache=cache, cached=not timeline, overrides=overrides, progress=bars
        )
    if timeline:
        complete = _score_windows(scorer, names, {"window": window, "step": step}, kind, output, plot)
    elif why:
        complete = _explain(scorer, names, kind, output)
    else:
        complete = _score(scorer, names, kind, output, retry_failed=retry_failed)
    sys.exit(DONE if complete else INCOMPLETE)


def _listed() -> Iterator[str]:
    """Yield the lines of stdin, whatever bytes they have; nothing where it is closed."""
    lines = () if sys.stdin is None else getattr(sys.stdin, "buffer", sys.stdin)
    yield from map(os.fsdecode, lines)


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Refuse options that would do nothing."""
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--{name} {why}")


def _score(scorer: Scorer, names: Sequence[str], kind: str | None, output: Path | None, *, retry_failed: bool) -> bool:
    """Score whole videos; return whether all have a score."""
    from vqa import pipeline, tables, terminal

    streamed = output is None and kind in ("csv", "jsonl")
    printer = pipeline.RowPrinter(sys.stdout, str(kind), scorer.info) if streamed else None
    with terminal.Bars() as bars:
        report = pipeline.score_into(
            scorer,
            names,
            output,
            output_format=None if kind == "table" else kind,
            retry_failed=retry_failed,
            on_score=printer,
            progress=pipeline.SILENT if streamed and sys.stdout.isatty() else bars,
        )
    if output is None and kind == "json":
        sys.stdout.write(pipeline.report_text(report))
    elif not streamed:
        tables.print_scores(report, output)
    return report.complete


def _score_windows(
    scorer: Scorer,
    names: Sequence[str],
    lengths: Mapping[str, float | None],
    kind: str | None,
    output: Path | None,
    plot: Path | None,
) -> bool:
    """Score windows along videos; return whether all have a score."""
    from vqa import pipeline, tables, terminal

    given = {f"{name}_seconds": value for name, value in lengths.items() if value is not None}
    with terminal.Bars() as bars:
        report = pipeline.score_timelines(scorer, names, output, output_format=kind, plot=plot, progress=bars, **given)
    if output is None and kind not in (None, "table"):
        sys.stdout.write(pipeline.timelines_text(report.timelines, report.failures, scorer.info, str(kind)))
    else:
        tables.print_timelines(report, scorer.info)
    return report.complete


def _explain(scorer: Scorer, names: Sequence[str], kind: str | None, output: Path | None) -> bool:
    """Say why videos have their scores; return whether all have one."""
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.explain_videos(scorer, names, output, progress=bars)
    if output is None and kind == "json":
        sys.stdout.write(pipeline.explanations_text(report.explanations, report.failures, scorer.info))
    else:
        tables.print_explanations(report, scorer.info)
    return report.complete
