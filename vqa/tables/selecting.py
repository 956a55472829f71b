"""The report of `vqa select`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from vqa.settings import CRITERIA
from vqa.tables.shared import print_failures, say_ignored, say_note
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import Selection
    from vqa.pipeline.selected import SelectionRow

_NEARLY_THE_SAME = 0.9
"""Linear CKA from which two candidates are named as redundant."""
_MOST_PAIRS = 5
_SPARE = ("width", "dbi-kmeans", "silhouette", "dbi-count", "logme", "knn", "greedy", "ridge")
"""What a narrow terminal can do without, the first one first."""


def print_selection(selection: Selection) -> None:
    """Print the ranking, all criteria beside it, and what follows from them."""
    columns = ("", "rank", "model", *CRITERIA, "width", "ms/video")
    rows = [_cells(row, selection) for row in selection.rows]
    sizes = "/".join(map(str, selection.cluster_sizes))
    better = "larger" if selection.larger_is_better else "smaller"
    title = (
        f"Ranked by {selection.criterion}, {better} is better; "
        f"{selection.videos} videos in {len(selection.cluster_sizes)} MOS clusters ({sizes})"
    )
    spare = tuple(name for name in _SPARE if name != selection.criterion)
    print_table(title, columns, rows, right=" ".join((*CRITERIA, "width", "ms/video")), spare=spare)
    for line in _notes(selection):
        say(line)
    for merge in selection.merges:
        say(f"note: {merge}")
    for name, reason in selection.left_out.items():
        say(f"not ranked: {name}: {reason}")
    say_ignored(selection.ignored_contents)
    say_note(selection.note)
    print_failures(selection.failures)


def _cells(row: SelectionRow, selection: Selection) -> tuple[str, ...]:
    interval = "" if row.rank_interval is None else " ({}-{})".format(*row.rank_interval)
    narrow = "^" if row.ranked_width < selection.common_width else ""
    figures = (f"{row.values[name]:.3f}" if name in row.values else "-" for name in CRITERIA)
    told = dict(zip(CRITERIA, figures, strict=True))
    told["dbi"] += narrow
    told["greedy"] = "-" if row.pick is None else str(row.pick)
    cost = "-" if row.cost_ms is None else f"{row.cost_ms:.0f}"
    return "*" if row.selected else "", f"{row.rank}{interval}", row.name, *told.values(), str(row.width), cost


def _notes(selection: Selection) -> Iterator[str]:
    """Say what stands in the table, and what follows from it."""
    if any(row.rank_interval for row in selection.rows):
        yield "rank: in brackets where 90 % of resamples of the videos put it"
    yield "dbi, dbi-count, dbi-kmeans: smaller is better; the others: larger; greedy: the order in which it would pick"
    if any(row.ranked_width < selection.common_width for row in selection.rows):
        yield f"^ fewer than {selection.common_width} features; its DBI is not comparable to the others'"
    if selection.sampled < selection.videos:
        yield f"dbi-kmeans, silhouette, knn, greedy, CKA and intervals: on {selection.sampled} videos drawn at random"
    for name, reason in selection.unmeasured.items():
        yield f"no {name}: {reason}"
    if selection.budget_ms is not None:
        cost = sum(row.cost_ms or 0 for row in selection.rows if row.selected)
        yield f"{len(selection.chosen)} selected: {cost:.1f} of {selection.budget_ms:g} ms a video"
    for name in ("ridge", "knn"):
        yield from _disagreement(selection, name)
    yield from _redundancy(selection)


def _disagreement(selection: Selection, other: str) -> Iterator[str]:
    """Say whether DBI would choose others than a criterion that uses the MOS as a number."""
    count = len(selection.chosen)
    known = [row for row in selection.rows if other in row.values]
    by_dbi = [row.name for row in sorted(known, key=lambda row: (row.dbi, row.name))][:count]
    by_other = [row.name for row in sorted(known, key=lambda row: (-row.values[other], row.name))][:count]
    shared = set(by_dbi) & set(by_other)
    if known and len(shared) < count:
        yield (
            f"dbi and {other} share {len(shared)} of their {count} best: "
            f"dbi alone has {', '.join(name for name in by_dbi if name not in shared)}; "
            f"{other} alone has {', '.join(name for name in by_other if name not in shared)}"
        )


def _redundancy(selection: Selection) -> Iterator[str]:
    """Name the candidates that say nearly the same."""
    pairs = [
        (selection.cka[one][other], selection.rows[one].name, selection.rows[other].name)
        for one, other in combinations(range(len(selection.rows)), 2)
    ]
    alike = sorted((pair for pair in pairs if pair[0] >= _NEARLY_THE_SAME), key=lambda pair: (-pair[0], *pair[1:]))
    for similarity, one, other in alike[:_MOST_PAIRS]:
        yield f"nearly the same: {one} and {other} (CKA {similarity:.2f})"
    if len(alike) > _MOST_PAIRS:
        yield f"... and {len(alike) - _MOST_PAIRS} pairs more; `--json` has the CKA of all"
