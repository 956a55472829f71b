"""The first section of a page of results: what went in, the ratings, and what failed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from vqa.clusters import mos_clusters
from vqa.errors import DegenerateDataError
from vqa.pipeline.features import REPAIRING
from vqa.pipeline.report_findings import Findings
from vqa.records import EVERY_CANDIDATE, Failure
from vqa.report.content import Block, Column, Facts, Paragraph, Table
from vqa.report.figures import rating_histogram

_EXAMPLES = 3
_MOST_REASONS = 100


def introduction(findings: Findings) -> tuple[Block, ...]:
    """Say what the page is about."""
    return (
        Paragraph(
            "Pretrained networks, none of them changed, looked at each video once. This page shows which of them see "
            "quality, and how well a light predictor trained on what the chosen ones see puts videos that it has never "
            "seen in the order of their ratings."
        ),
    )


def outcome(findings: Findings) -> tuple[Block, ...]:
    """Say in one line how good the predictions are."""
    evaluation = findings.evaluation
    first = evaluation.contenders[0]
    median, spread = first.summary.median, first.summary.std
    return (
        Facts(
            (
                (
                    "result",
                    f"rank correlation with the ratings (SROCC) {median.srocc:.3f}, the median of "
                    f"{first.summary.splits} splits (standard deviation {spread.srocc:.3f}); 1 is perfect, 0 is chance",
                ),
                ("method", f"{first.name}: {first.title}; {evaluation.selected}"),
            )
        ),
    )


def dataset(findings: Findings) -> tuple[Block, ...]:
    """Say which videos and labels there are."""
    found, settings = findings.dataset, findings.workspace.dataset
    rated = found.labelled
    scores = [row.mos for row in rated if row.mos is not None]
    contents = {row.group for row in rated if row.group is not None}
    splits = Counter(row.split for row in rated if row.split is not None)
    facts = [("videos with a rating", str(len(rated)))]
    if contents:
        facts.append(("source contents", str(len(contents))))
    if scores:
        facts.append(("ratings (MOS)", f"{min(scores):g} to {max(scores):g}, median {np.median(scores):g}"))
    if settings.scale:
        facts.append(("rating scale", "{:g} to {:g}".format(*settings.scale)))
    if splits:
        facts.append(("splits of the dataset", ", ".join(f"{count} {name}" for name, count in sorted(splits.items()))))
    if found.unlabelled:
        facts.append(("videos without a rating", str(len(found.unlabelled))))
    if found.missing:
        facts.append(("ratings without a video", str(len(found.missing))))
    facts.append(("models in the cache", str(len(findings.candidates))))
    return (Facts(tuple(facts)),)


def ratings(findings: Findings) -> tuple[Block, ...]:
    """Show the ratings and the borders of their clusters."""
    mos = np.array([row.mos for row in findings.dataset.labelled], dtype=np.float64)
    used = frozenset(findings.training.ids)
    compared = np.array([row.mos for row in findings.dataset.training_rows() if row.id in used], dtype=np.float64)
    settings = findings.workspace.select
    if not len(mos):
        raise DegenerateDataError("no video has a rating; name the labels in vqa.toml")
    try:
        clusters = mos_clusters(compared, bins=settings.bins, rule=settings.bin_rule)
    except DegenerateDataError as error:
        return rating_histogram(mos, borders=()), Paragraph(f"Ratings are in no clusters: {error}.")
    merges = (Paragraph(f"Clusters: {'; '.join(clusters.merges)}."),) if clusters.merges else ()
    return rating_histogram(mos, borders=clusters.borders), *merges


def failures(findings: Findings) -> tuple[Block, ...]:
    """Show what failed and why, equal reasons together."""
    found = findings.failures
    lost = tuple(Paragraph(f"Not run: {name}: {reason}.") for name, reason in findings.unavailable.items())
    lost += tuple(
        Paragraph(f"{lines}, so that failures may be missing here; run `vqa extract`{REPAIRING}.")
        for lines in findings.training.damaged
    )
    if not found:
        return *lost, Paragraph("No video failed.")
    videos = len({failure.key or failure.video for failure in found})
    grouped = _by_reason(found)
    columns = (
        Column("reason"),
        Column("stage", hint="open, decode, features, weights or transient"),
        Column("videos", 0),
        Column("models", hint="that have no features of them"),
        Column("such as", hint="the first of these videos"),
    )
    more = f"; the first {_MOST_REASONS} of {len(grouped)} reasons" if len(grouped) > _MOST_REASONS else ""
    return (
        *lost,
        Paragraph(f"Videos that failed: {videos}. They are left out; `vqa extract --retry-failed` tries them again."),
        Table(f"What failed, and why{more}", columns, tuple(grouped[:_MOST_REASONS])),
    )


def _by_reason(found: Sequence[Failure]) -> list[tuple[str, str, int, str, str]]:
    groups: defaultdict[tuple[str, str], list[Failure]] = defaultdict(list)
    for failure in found:
        groups[failure.reason, failure.stage].append(failure)
    rows = []
    for (reason, stage), members in groups.items():
        videos = list(dict.fromkeys(failure.video for failure in members))
        models = dict.fromkeys("all" if one.candidate == EVERY_CANDIDATE else one.candidate for one in members)
        dots = ", ..." if len(videos) > _EXAMPLES else ""
        rows.append((reason, stage, len(videos), ", ".join(models), ", ".join(videos[:_EXAMPLES]) + dots))
    return sorted(rows, key=lambda row: (-row[2], row[0]))
