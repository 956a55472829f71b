"""The sections of a page of results about predictions: against ratings, in each split, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqa.errors import DegenerateDataError
from vqa.pipeline.evaluation import Contender
from vqa.pipeline.kept import KeptCrossing
from vqa.pipeline.report_findings import Findings
from vqa.report.content import Block, Cell, Column, Facts, Paragraph, Table
from vqa.report.result_figures import prediction_plot, split_boxes
from vqa.train.methods import METHODS
from vqa.train.metrics import fit_logistic

_CURVE_POINTS = 100
_FIGURES = {
    "SROCC": ("srocc", 3, "rank correlation; 1 is best"),
    "KROCC": ("krocc", 3, "share of pairs in the right order less that in the wrong one; 1 is best"),
    "PLCC": ("plcc", 3, "linear correlation; 1 is best"),
    "RMSE": ("rmse", 3, "root mean square error on the MOS scale; 0 is best"),
    "PLCC fit": ("plcc_fitted", 3, "linear correlation after the logistic fit"),
    "RMSE fit": ("rmse_fitted", 3, "root mean square error after the logistic fit"),
}


def staleness(findings: Findings) -> tuple[Block, ...]:
    """Say where results are older than what they were measured on."""
    if not findings.changed():
        return ()
    return (
        Paragraph("Labels or features changed since this was measured; run `vqa evaluate` again, then `vqa report`."),
    )


def predictions(findings: Findings) -> tuple[Block, ...]:
    """Show predictions of test rows against ratings."""
    found, evaluation = findings.predicted, findings.evaluation
    splits = evaluation.contenders[0].summary.splits
    said = (
        f"{len(found.ids)} videos were test videos of {evaluation.contenders[0].name}, each in "
        f"{found.tests.mean():.1f} of {splits} splits on average; what is shown is the mean of its predictions there. "
        "Such means are a little better than single predictions: the figures to quote are those of the next section."
    )
    if not np.ptp(found.mos) or not np.ptp(found.scores):
        raise DegenerateDataError("all ratings, or all predictions, are equal; run `vqa evaluate` again")
    curve = fit_logistic(found.mos, found.scores)
    across = np.linspace(found.scores.min(), found.scores.max(), _CURVE_POINTS)
    return Paragraph(said), prediction_plot(found, (across, curve(across))), *_coverage(findings)


def _coverage(findings: Findings) -> tuple[Block, ...]:
    evaluation = findings.evaluation
    if evaluation.covered is None:
        return ()
    return (
        Paragraph(
            f"Each score has an interval that should hold the rating of {evaluation.coverage:.0%} of new videos; it "
            f"held that of {evaluation.covered:.1%} of the test videos."
        ),
    )


def per_split(findings: Findings) -> tuple[Block, ...]:
    """Show the figures of each method over all splits."""
    evaluation = findings.evaluation
    first = evaluation.contenders[0]
    by = f"by content ({evaluation.groups} contents)" if evaluation.by_content else "by video"
    has_baselines = any(each.name not in METHODS for each in evaluation.contenders)
    beside = ", and baselines as one would write them in five lines" if has_baselines else ""
    said = (
        f"{first.summary.splits} splits {by}; models are chosen ({evaluation.selected}), and everything is trained, on "
        f"the seen part of each split alone. The methods{beside}, on the same features:"
    )
    plot = split_boxes({each.name: [one.srocc for one in each.metrics] for each in evaluation.contenders})
    left = tuple(Paragraph(f"Not used: {name}: {reason}.") for name, reason in evaluation.left_out.items())
    titles = Facts(tuple((each.name, _title(each)) for each in evaluation.contenders))
    return Paragraph(said), titles, plot, _medians(evaluation.contenders), *_paired(evaluation.contenders), *left


def _title(contender: Contender) -> str:
    return contender.title if contender.name in METHODS else f"baseline: {contender.title}"


def _medians(contenders: Sequence[Contender]) -> Table:
    figures = [
        column
        for name, (_, digits, hint) in _FIGURES.items()
        for column in (Column(name, digits, hint), Column(f"± {name}", digits, "standard deviation over the splits"))
    ]
    columns = (Column("method"), *figures)
    rows = []
    for each in contenders:
        values: list[Cell] = []
        for field, _, _ in _FIGURES.values():
            values += [getattr(each.summary.median, field), getattr(each.summary.std, field)]
        rows.append((each.name, *values))
    return Table("Medians over the splits, and standard deviations", columns, tuple(rows))


def _paired(contenders: Sequence[Contender]) -> tuple[Table, ...]:
    """Compare the first with each other one, split by split."""
    columns = (
        Column("against"),
        Column("better in", 0, "splits in which the first is above"),
        Column("of", 0, "splits"),
        Column("median difference", 4, "in SROCC, first minus other"),
        Column("p", 6, "Wilcoxon's signed-rank test; splits share videos, so take it as a lower bound"),
    )
    rows = tuple(
        (each.name, each.paired.better, each.paired.splits, each.paired.median_difference, each.paired.p_value)
        for each in contenders
        if each.paired is not None
    )
    return (Table(f"{contenders[0].name} against each other method on the same splits", columns, rows),) if rows else ()


def ablation(findings: Findings) -> tuple[Block, ...]:
    """Show what several methods of ours bring, where several were evaluated."""
    ours = [each for each in findings.evaluation.contenders if each.name in METHODS]
    if len(ours) < 2:
        return (
            Paragraph("One method was evaluated; for an ablation run `vqa evaluate --method blend --method ptm-vqa`."),
        )
    columns = (
        Column("method"),
        Column("SROCC", 3, "median over the splits"),
        Column("first minus this", 4, "median difference in SROCC on the same splits; above 0: the first is better"),
        Column("what it is"),
    )
    rows = tuple(
        (each.name, each.summary.median.srocc, each.paired.median_difference if each.paired else None, each.title)
        for each in ours
    )
    return (Table("Ablation: methods of ours on the same splits", columns, rows),)


def crossings(findings: Findings) -> tuple[Block, ...]:
    """Show results on other datasets, where there are any."""
    return tuple(block for crossing in findings.crossings for block in _crossing(crossing))


def _crossing(crossing: KeptCrossing) -> tuple[Block, ...]:
    names = ("SROCC", "KROCC", "PLCC fit", "RMSE fit")
    columns = (
        Column("method"),
        *(Column(name, _FIGURES[name][1], _FIGURES[name][2]) for name in names),
        Column("what it is"),
    )
    rows = tuple(
        (each.name, *(getattr(each.metrics, _FIGURES[name][0]) for name in names), each.title)
        for each in crossing.contenders
    )
    caption = (
        f"Trained on these {crossing.training_videos} videos, tested on {crossing.test_videos} of {crossing.tested_on} "
        f"({crossing.test_part})"
    )
    note = (Paragraph(f"The labels of {crossing.tested_on} are {crossing.note}."),) if crossing.note else ()
    return Table(caption, columns, rows), *note
