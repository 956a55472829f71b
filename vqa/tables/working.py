"""Reports of `vqa extract`, `vqa train` and `vqa score`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import print_failures, say_ignored, some_names
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import ExtractionReport, TrainingReport


def print_extraction(report: ExtractionReport) -> None:
    """Print what an extraction did."""
    rows = [
        (
            row.name,
            str(row.generation),
            row.precision,
            str(row.stored),
            str(row.cached),
            str(row.failed),
            f"{row.seconds:.1f}",
            f"{row.megabytes:.2f}",
        )
        for row in report.candidates
    ]
    columns = ("model", "generation", "precision", "added", "cached", "failed", "seconds", "MB")
    right = "generation added cached failed seconds MB"
    print_table(f"{report.videos} videos", columns, rows, right=right, usual={"generation": "0"})
    for name, reason in report.unavailable.items():
        say(f"not run: {name}: {reason}")
    if report.missing:
        say(f"{len(report.missing)} labels have no video: {some_names(report.missing)}")
    if report.outdated:
        say(
            f"{report.outdated} model(s) in the cache have features of older decoding rules "
            f"({report.outdated_megabytes:.2f} MB), which no command uses; `vqa cache drop --old-rules` removes them"
        )
    print_failures(report.failures)
    if report.decoded:
        say(f"{report.decoded} videos decoded, each once")
    else:
        say("Nothing to do: no video was decoded, all that can be had is in the cache")


def print_training(report: TrainingReport) -> None:
    """Print what was trained."""
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in report.weights.items())
    say(f"{report.bundle}: trained on {report.videos} videos by {report.method}; weights {weights}")
    say_ignored(report.ignored_contents)
    print_failures(report.failures)
    say("How good it is on videos it has not seen: `vqa evaluate`")
