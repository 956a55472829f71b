"""The sections of a page of results about candidates: their table, their features, what they share, what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqa.cache.store import StoredCandidate
from vqa.errors import DegenerateDataError
from vqa.pipeline.features import look_up, read_table, require_all
from vqa.pipeline.kept import KeptSelection
from vqa.pipeline.report_findings import Findings
from vqa.pipeline.selected import SelectionRow
from vqa.records import FeatureTable, is_imported
from vqa.report.content import Block, Cell, Column, Facts, Paragraph, Plot, Table
from vqa.report.figures import cost_bars, feature_map, similarity_map
from vqa.select.criteria import CRITERIA, find_criterion
from vqa.select.embedding import MOST_POINTS, embed_candidate

_CHANGED = (
    "Labels changed since the models were compared, and what is said of them here is of before; run `vqa select`, "
    "`vqa train --cached` and `vqa evaluate`, then `vqa report`."
)
_MOST_MAPS = 8
_PICKING = "greedy"
"""The criterion that gives an order of picks."""


def candidates(findings: Findings) -> tuple[Block, ...]:
    """Show all ranked candidates, with every criterion and their cost."""
    selection = findings.selection
    chosen = [row.name for row in selection.rows if row.selected]
    sizes = "/".join(map(str, selection.cluster_sizes))
    said = (
        f"{len(chosen)} of {len(selection.rows)} models are chosen by {selection.criterion} "
        f"({_told(selection.criterion)}), on {selection.videos} videos. Videos of like rating make a cluster, "
        f"{len(selection.cluster_sizes)} in all ({sizes} videos, the worst first): the Davies-Bouldin index (DBI) is "
        "small where clusters are narrow, and far apart, in what a model sees."
    )
    return Paragraph(said), _candidates_table(selection), *_notes(findings)


def _candidates_table(selection: KeptSelection) -> Table:
    figures = [name for name in CRITERIA if name != _PICKING]
    columns = (
        Column("model"),
        Column("chosen"),
        Column("rank", 0, f"by {selection.criterion}; 1 is best"),
        Column("rank from", 0, "best rank in 90 % of resamples of the videos"),
        Column("rank to", 0, "worst rank in 90 % of resamples of the videos"),
        *(Column(name, 3, _told(name)) for name in figures),
        Column("pick", 0, "place at which greedy forward selection would pick it"),
        Column("features", 0, "numbers it says of a video"),
        Column("ms a video", 0, "time of the network, decoding not counted"),
        Column("trained for"),
    )
    rows = tuple(_candidate(row, figures) for row in selection.rows)
    return Table("All ranked models, by all criteria", columns, rows)


def _told(name: str) -> str:
    criterion = find_criterion(name)
    return f"{criterion.title}; {'larger' if criterion.larger_is_better else 'smaller'} is better"


def _candidate(row: SelectionRow, figures: Sequence[str]) -> tuple[Cell, ...]:
    low, high = row.rank_interval or (None, None)
    values = [row.values.get(name) for name in figures]
    mark = "yes" if row.selected else ""
    return row.name, mark, row.rank, low, high, *values, row.pick, row.width, row.cost_ms, row.pretext


def _notes(findings: Findings) -> tuple[Block, ...]:
    """Say what the table can't: who is not in it, and whether it is still true."""
    selection = findings.selection
    notes = [_CHANGED] if findings.labels_changed() else []
    notes += [f"Not ranked: {name}: {reason}." for name, reason in selection.left_out.items()]
    narrow = [row.name for row in selection.rows if row.ranked_width < selection.common_width]
    if narrow:
        notes.append(
            f"Fewer than {selection.common_width} features, so that their DBI is not comparable to the others': "
            f"{', '.join(narrow)}."
        )
    ranked = {row.fingerprint for row in selection.rows}
    held = {stored.record.fingerprint: stored.record.name for stored in findings.candidates}
    new = [name for fingerprint, name in held.items() if fingerprint not in ranked and name not in selection.left_out]
    if new:
        notes.append(f"In the cache since, and not compared: {', '.join(new)}; run `vqa select` again.")
    return tuple(map(Paragraph, notes))


def feature_maps(findings: Findings) -> tuple[Block, ...]:
    """Show each chosen candidate's features of the training videos."""
    chosen = findings.chosen()
    shown = chosen[:_MOST_MAPS]
    rows = findings.dataset.training_rows()
    found = look_up(findings.workspace, findings.store, rows, shown)
    require_all(found, shown)
    maps = []
    for done, stored in enumerate(shown):
        findings.progress.update("laying out features", done, len(shown))
        maps.append(_map(findings, stored, read_table(findings.store, rows, found, [stored])))
    findings.progress.update("laying out features", len(shown), len(shown))
    by_content = any(row.group not in (None, row.id) for row in rows)
    stale = (Paragraph(_CHANGED),) if findings.labels_changed() else ()
    return _about_maps(len(found.ids), len(chosen), by_content=by_content), *stale, *maps


def _map(findings: Findings, stored: StoredCandidate, table: FeatureTable) -> Plot:
    name, settings = stored.record.name, findings.workspace
    embedded = embed_candidate(
        name,
        table.blocks[name],
        table.mos,
        common_width=settings.select.common_width,
        random_state=settings.train.random_state,
    )
    dbis = {row.fingerprint: row.dbi for row in findings.selection.rows}
    return feature_map(
        name,
        [table.ids[row] for row in embedded.rows],
        table.mos[embedded.rows],
        embedded.points,
        dbi=dbis[stored.record.fingerprint],
        mos_range=(float(table.mos.min()), float(table.mos.max())),
    )


def _about_maps(videos: int, chosen: int, *, by_content: bool) -> Paragraph:
    said = [
        "What a chosen model says of a video is many numbers; t-SNE lays them out in a plane so that neighbours stay "
        "neighbours. Directions, and how far apart two groups lie, mean nothing."
    ]
    if by_content:
        said.append("A small knot of dots is often one source content in several versions.")
    if videos > MOST_POINTS:
        said.append(f"{MOST_POINTS} of {videos} videos are shown, at equal steps from the worst to the best.")
    if chosen > _MOST_MAPS:
        said.append(f"The best {_MOST_MAPS} of {chosen} chosen models are shown.")
    return Paragraph(" ".join(said))


def redundancy(findings: Findings) -> tuple[Block, ...]:
    """Show how much candidates say the same."""
    selection = findings.selection
    if len(selection.rows) < 2:
        raise DegenerateDataError("there is one model, and so no other that could say the same; extract more models")
    return (similarity_map([row.name for row in selection.rows], selection.cka),)


def costs(findings: Findings) -> tuple[Block, ...]:
    """Show what candidates cost: time and room."""
    held = sorted(findings.candidates, key=lambda stored: stored.record.name)
    timed = [stored for stored in held if stored.seconds and not is_imported(stored.record.name)]
    plots = [cost_bars([each.record.name for each in timed], np.array([_ms(each) for each in timed]))] if timed else []
    total = sum(stored.bytes for stored in held)
    facts = (("size of the cache", f"{total / 1e6:.1f} MB in {sum(stored.segments for stored in held)} segments"),)
    return Facts(facts), *plots, _costs_table(held)


def _ms(stored: StoredCandidate) -> float:
    return 1000 * stored.seconds / stored.videos


def _costs_table(held: Sequence[StoredCandidate]) -> Table:
    columns = (
        Column("model"),
        Column("ms a video", 1, "time of the network, decoding not counted"),
        Column("videos", 0, "with features in the cache"),
        Column("segments", 0, "files they lie in"),
        Column("MB", 2),
        Column("features", 0, "numbers for each frame or clip"),
        Column("precision"),
        Column("first extracted", hint="UTC"),
    )
    rows = tuple(
        (
            stored.record.name,
            _ms(stored) if stored.seconds else None,
            stored.videos,
            stored.segments,
            stored.bytes / 1e6,
            stored.width,
            stored.record.text("precision") or None,
            stored.created,
        )
        for stored in held
    )
    return Table("What each model in the cache takes", columns, rows)
