"""The videos with the largest errors on a page of results: pictures where they can be had, else a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vqa.cache.key import KeyMemo
from vqa.errors import LabelsError, VideoError
from vqa.escaping import for_terminal
from vqa.extract.stills import StillLimits, take_stills
from vqa.pipeline.opening import open_dataset
from vqa.pipeline.report_findings import Findings
from vqa.report.content import Block, Column, Gallery, Paragraph, Picture, Table
from vqa.report.drawing import digits_for, numbers
from vqa.report.result_figures import Predicted, error_plot
from vqa.urls import Place

WORST = 20
_MOST_DIGITS = 2


def errors(findings: Findings) -> tuple[Block, ...]:
    """Show how errors lie over ratings."""
    found = findings.predicted
    return (error_plot(found, found.worst(WORST)),)


def worst(findings: Findings) -> tuple[Block, ...]:
    """Show the videos with the largest errors."""
    found = findings.predicted
    rows = found.worst(WORST)
    if not findings.thumbnails:
        return _table(found, rows), Paragraph("Pictures were left out by `--no-thumbnails`.")
    try:
        paths = _paths(findings)
    except LabelsError as error:
        return _table(found, rows), Paragraph(f"There are no pictures: {error}.")
    if not paths:
        return _table(found, rows), Paragraph("There are no pictures: this workspace has imported features, no videos.")
    return (_gallery(findings, rows, paths),)


def _paths(findings: Findings) -> dict[str, Place]:
    """Return the file of each video that has one, by its id as files of results show it; some may be gone by now."""
    workspace = findings.workspace
    dataset = open_dataset(replace(workspace, dataset=replace(workspace.dataset, allow_missing=True)))
    return {for_terminal(row.id): row.path for row in dataset.rows if row.path is not None}


def _table(found: Predicted, rows: NDArray[np.intp]) -> Table:
    digits = digits_for(found.mos)
    columns = (
        Column("video"),
        *(Column(name, digits) for name in ("MOS", "predicted", "error")),
        Column("low", digits, "mean lower end of the interval"),
        Column("high", digits, "mean upper end of the interval"),
    )
    values = (found.mos, found.scores, found.errors, found.low, found.high)
    cells = zip([found.ids[row] for row in rows], *(numbers(value[rows], digits) for value in values), strict=True)
    return Table(f"The {len(rows)} largest errors", columns, tuple(cells))


def _gallery(findings: Findings, rows: NDArray[np.intp], paths: dict[str, Place]) -> Gallery:
    found = findings.predicted
    shown = {found.ids[row]: paths[found.ids[row]] for row in rows if found.ids[row] in paths}
    memo = KeyMemo(findings.workspace.cache_dir)
    blanks = {name: _blank(memo, shown.get(name)) for name in (found.ids[row] for row in rows)}
    wanted = {name: path for name, path in shown.items() if not blanks[name]}
    settings = findings.workspace.extract
    taken = take_stills(
        list(wanted.values()),
        StillLimits(settings.max_pixels, settings.max_duration_seconds),
        told=lambda done: findings.progress.update("taking pictures", done, len(wanted)),
    )
    stills = dict(zip(wanted, taken, strict=True))
    pictures = tuple(_picture(found, row, stills, blanks) for row in rows.tolist())
    reading = (
        "The videos whose prediction is furthest from their rating, the worst first: what they have in common is what "
        "the models do not see."
    )
    return Gallery(f"The {len(rows)} largest errors", reading, pictures)


def _blank(memo: KeyMemo, path: Place | None) -> str:
    """Return why there is no picture of a video, empty where one can be tried: of another video it would mislead."""
    if path is None:
        return "its file is not there any more"
    if memo.known(path) is None:  # its features are imported
        return ""
    try:
        return "" if memo.is_unchanged(path) else "another video lies at its path by now"
    except VideoError:
        return "its file can't be opened any more"


def _picture(found: Predicted, row: int, stills: Mapping[str, bytes | None], blanks: Mapping[str, str]) -> Picture:
    digits = min(digits_for(found.mos), _MOST_DIGITS)
    values = {"MOS": found.mos, "predicted": found.scores, "error": found.errors}
    facts = [(name, f"{value[row]:.{digits}f}") for name, value in values.items()]
    if np.isfinite([found.low[row], found.high[row]]).all():
        facts.append(("interval", f"{found.low[row]:.{digits}f} to {found.high[row]:.{digits}f}"))
    facts.append(("tested in", f"{found.tests[row]} split{'' if found.tests[row] == 1 else 's'}"))
    name = found.ids[row]
    return Picture(name, stills.get(name), tuple(facts), *filter(None, [blanks.get(name)]))
