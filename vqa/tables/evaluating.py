"""The report of `vqa evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import figure, say_note, some_names
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import CrossReport, EvaluationReport
    from vqa.pipeline.evaluation import Contender

_FIGURES = {
    "SROCC": "srocc",
    "KROCC": "krocc",
    "PLCC": "plcc",
    "RMSE": "rmse",
    "PLCC fit": "plcc_fitted",
    "RMSE fit": "rmse_fitted",
}

_SPARE = ("RMSE fit", "KROCC", "PLCC fit", "RMSE")
"""What a narrow terminal can do without, the first one first."""


def print_evaluation(report: EvaluationReport) -> None:
    """Print the medians and standard deviations over splits, of ours and of the baselines."""
    first = report.contenders[0].name
    against = f"{first} better" if len(report.contenders) > 1 else ""
    columns = ("method", *_FIGURES, *((against, "p") if against else ()))
    rows = [(each.name, *_figures(each), *(_paired(each) if against else ())) for each in report.contenders]
    by = f"by content ({report.groups} contents)" if report.by_content else "by video"
    share = f"{100 * (1 - report.test_fraction):.0f}/{100 * report.test_fraction:.0f}"
    mark = "LEAKING, contents stand on both sides: " if report.leaking else ""
    title = f"{mark}{len(report.splits)} random {share} splits {by}, {report.videos} videos; {report.selected}"
    print_table(title, columns, rows, right=(*_FIGURES, against, "p"), spare=_SPARE)
    say("Median (standard deviation) over the splits' test rows; fit: after the 4-parameter logistic")
    for each in report.contenders:
        say(f"{each.name}: {each.title}")
    if against:
        say(f"{against}: splits in which {first} has the higher SROCC; p: Wilcoxon's test on these differences")
    for name, reason in report.left_out.items():
        say(f"not used: {name}: {reason}")
    if report.covered is not None:
        say(f"Of the test MOS {100 * report.covered:.1f} % lie in their {100 * report.coverage:.0f} % interval")
    if report.leaking:
        say(
            f"LEAKING: {report.videos} videos show {report.groups} contents; these figures say nothing of new ones, "
            "split by content for figures that do"
        )
    say_note(report.note)
    say(f"Written: {', '.join(str(file) for file in report.files)} (splits SHA-256 {report.splits_sha256[:12]})")


def _figures(each: Contender) -> list[str]:
    return [
        f"{figure(getattr(each.summary.median, name))} ({figure(getattr(each.summary.std, name))})"
        for name in _FIGURES.values()
    ]


def _paired(each: Contender) -> tuple[str, str]:
    if each.paired is None:
        return "", ""
    return f"{each.paired.better} of {each.paired.splits}", f"{each.paired.p_value:.2g}"


def print_crossing(report: CrossReport) -> None:
    """Print how a regressor of one dataset does on another."""
    columns = ("method", "SROCC", "KROCC", "PLCC fit", "RMSE fit")
    names = ("srocc", "krocc", "plcc_fitted", "rmse_fitted")
    rows = [(each.name, *(figure(getattr(each.metrics, name)) for name in names)) for each in report.contenders]
    title = (
        f"Trained on {report.training_videos} videos of {report.trained_on}, tested on {report.test_videos} of "
        f"{report.tested_on} ({report.test_part}); {len(report.chosen)} models"
    )
    print_table(title, columns, rows, right=columns[1:])
    say("fit: after the 4-parameter logistic, the only map between the two scales; RMSE on the tested one's")
    say(f"Models: {', '.join(report.chosen)}")
    for each in report.contenders:
        say(f"{each.name}: {each.title}")
    if report.in_both:
        say(f"{report.in_both} videos have the very features of a training video and are left out of the test")
    if report.not_in_both:
        say(f"Not in both: {some_names(report.not_in_both)}")
    if report.falling:
        say(
            f"Scores fall as the labels of {report.tested_on} rise: "
            "are those labels of distortion (DMOS), or is it the wrong column?"
        )
    say_note(report.note)
    if report.other_note != report.note:
        say_note(report.other_note)
    say(f"Written: {', '.join(str(file) for file in report.files)}")
