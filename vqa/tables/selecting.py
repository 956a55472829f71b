"""The report of `vqa select`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.shared import print_failures, say_note
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import Selection


def print_selection(selection: Selection) -> None:
    """Print the ranking by DBI."""
    narrow = any(row.ranked_width < selection.common_width for row in selection.rows)
    rows = [
        (
            "*" if row.selected else "",
            str(row.rank),
            row.name,
            f"{row.dbi:.3f}{'^' if row.ranked_width < selection.common_width else ''}",
            row.pretext or "-",
            str(row.width),
            f"{row.cost_ms:.0f}",
        )
        for row in selection.rows
    ]
    columns = ("", "rank", "model", "DBI", "pretext task", "width", "ms/video")
    sizes = "/".join(map(str, selection.cluster_sizes))
    title = (
        f"DBI on {selection.videos} videos in {len(selection.cluster_sizes)} MOS clusters ({sizes}); smaller is better"
    )
    print_table(title, columns, rows, right="rank DBI width ms/video")
    if narrow:
        say(f"^ fewer than {selection.common_width} features; its DBI is not comparable to the others'")
    for merge in selection.merges:
        say(f"note: {merge}")
    for name, reason in selection.left_out.items():
        say(f"not ranked: {name}: {reason}")
    say_note(selection.note)
    print_failures(selection.failures)
