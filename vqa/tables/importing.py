"""Reports of `vqa cache import` and `vqa cache export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import say_damaged, some_names
from vqa.terminal import print_table, say

_SHOWN = 20

if TYPE_CHECKING:
    from vqa.pipeline import ExportReport, ImportReport


def print_import(report: ImportReport) -> None:
    """Print what an import added, and what it left out."""
    rows = [
        (row.name, str(row.width), str(row.added), str(row.held), str(row.missing), str(row.missing_rows))
        for row in report.sets
    ]
    scores = f", MOS from {report.mos_range[0]:g} to {report.mos_range[1]:g}" if report.mos_range else ", no MOS"
    groups = f", {report.groups} source contents" if report.groups else ""
    title = f"{report.file}: {report.rows} videos{scores}{groups}"
    columns = ("model", "width", "added", "before", "missing", "rows")
    print_table(title, columns, rows, right="width added before missing rows")
    if any(row.missing for row in report.sets):
        say("missing: cells without a finite value, in so many rows; training fills them from its own rows")
    for row in report.sets:
        if row.like_mos:
            say(f"warning: {row.like_mos} features of {row.name} are as good as the MOS; ratings are no features")
    if report.unknown:
        reason = "have no MOS" if report.workspace else "are not in the dataset"
        say(f"{len(report.unknown)} ids of the file {reason} and are left out: {some_names(report.unknown)}")
    if report.without:
        say(f"{len(report.without)} videos of the dataset are not in the file: {some_names(report.without)}")
    if report.left_aside:
        say(f"{len(report.left_aside)} other parts of the file are left aside: {some_names(report.left_aside)}")
    if report.workspace:
        say(f"{report.workspace}: made, a dataset of {report.joined} rated videos with features only")
    if not any(row.added for row in report.sets):
        say("Nothing to do: the cache holds all of this already")
    say("Next: `vqa select`, in that folder" if report.workspace else "Next: `vqa select`")


def print_export(report: ExportReport) -> None:
    """Print what was written, and which videos were not."""
    rows = [(name, str(width)) for name, width in report.widths.items()]
    print_table(f"{report.file}: {report.videos} videos", ("model", "width"), rows, right="width")
    if report.missing:
        say(f"{report.missing} cells are missing")
    if report.left_out:
        say(
            f"{len(report.left_out)} videos lack features of some model and are left out: "
            f"{some_names(report.left_out, _SHOWN)}"
        )
    say_damaged(report.damaged)
