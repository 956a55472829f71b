"""The report of `vqa evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import say_note
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import EvaluationReport


def print_evaluation(report: EvaluationReport) -> None:
    """Print the medians and standard deviations over splits."""
    names = {"srocc": "SROCC", "krocc": "KROCC", "plcc": "PLCC", "rmse": "RMSE"}
    names |= {"plcc_fitted": "PLCC, fitted", "rmse_fitted": "RMSE, fitted"}
    rows = [
        (label, f"{getattr(report.summary.median, name):.3f}", f"{getattr(report.summary.std, name):.3f}")
        for name, label in names.items()
    ]
    by = f"by content ({report.groups} contents)" if report.groups else "by video"
    share = f"{100 * (1 - report.test_fraction):.0f}/{100 * report.test_fraction:.0f}"
    title = f"{len(report.splits)} random {share} splits {by}, {report.videos} videos; models chosen in each split"
    print_table(title, ("test rows", "median", "std"), rows, right="median std")
    say_note(report.note)
    say(f"Written: {', '.join(str(file) for file in report.files)} (splits SHA-256 {report.splits_sha256[:12]})")
