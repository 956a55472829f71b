"""Reports of `vqa report` and `vqa run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import print_failures, say_ignored, say_note
from vqa.terminal import say

if TYPE_CHECKING:
    from vqa.pipeline import PageReport, RunReport


def print_report(report: PageReport) -> None:
    """Print where the page is, and what it can't show."""
    for reason in report.missing:
        say(f"not shown: {reason}")
    say(f"{report.file}: {report.megabytes:.1f} MB, one page for any browser")


def print_run(report: RunReport) -> None:
    """Print each step's outcome in a line, and where the page is."""
    extraction, selection, training = report.extraction, report.selection, report.training
    if extraction is not None:
        added = sum(row.stored for row in extraction.candidates)
        say(
            f"extracted: {extraction.videos} videos by {len(extraction.candidates)} models; {added} pairs added, "
            f"{extraction.decoded} videos decoded"
        )
        print_failures(extraction.failures)
        for name, reason in extraction.unavailable.items():
            say(f"not run: {name}: {reason}")
    for name, reason in selection.left_out.items():
        say(f"not ranked: {name}: {reason}")
    say(f"selected by {selection.criterion}: {', '.join(selection.chosen)}")
    say(f"trained: {training.bundle}, by {training.method} on {training.videos} videos")
    _say_evaluation(report)
    say_ignored(selection.ignored_contents)
    say_note(selection.note)
    print_report(report.page)


def _say_evaluation(report: RunReport) -> None:
    evaluation = report.evaluation
    median, spread = evaluation.summary.median, evaluation.summary.std
    by = "content" if evaluation.by_content else "video"
    say(
        f"evaluated: SROCC {median.srocc:.3f} (standard deviation {spread.srocc:.3f}), PLCC {median.plcc:.3f}, medians "
        f"of {evaluation.summary.splits} splits by {by}"
    )
