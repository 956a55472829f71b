"""Report of `vqa export` of a scorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import say_note
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import HeadReport


def print_head(report: HeadReport) -> None:
    """Print what the model takes and gives."""
    say(f"{report.file}: the scorer of {report.bundle}, SHA-256 {report.bundle_sha256[:12]}")
    inputs = [(row.name, f"(N, {row.width})", row.averaged_over, row.fingerprint) for row in report.inputs]
    columns = ("input, float32", "shape", "mean over", "fingerprint")
    print_table("Takes time-averaged features; NaN marks a missing cell", columns, inputs)
    outputs = [(name, "(N)", meaning) for name, meaning in report.outputs.items()]
    print_table("Gives", ("output, float64", "shape", "is"), outputs)
    (worst, best), (low, high) = report.scale, report.mos_range
    say(f"Scale: {worst:g} (worst) to {best:g} (best)")
    say(f"Interval: {report.coverage:.0%} of videos like the training ones lie in it")
    say(f"Trained on {report.videos} videos with labels from {low:.4g} to {high:.4g}.")
    say_note(report.labels)
    say("All this, and how the features are made, stands in the model's metadata as JSON, under `vqa_contract`")
