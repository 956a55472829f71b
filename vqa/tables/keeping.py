"""Reports of the cache's chores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.records import is_imported
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.cache.compaction import Compaction
    from vqa.cache.verifying import Damage, Verification
    from vqa.pipeline import DropReport

_SHOWN = 20
_TELLING = 40


def print_verification(report: Verification) -> None:
    """Print what is damaged, and what to do about it."""
    damaged = len({damage.path for damage in report.damages})
    say(
        f"{report.root}: {report.segments - damaged} of {report.segments} segments are good "
        f"({report.videos} rows, {report.bytes / 1e6:.2f} MB)"
    )
    _print_damages(report.damages)
    _print_damaged_lines(report)
    if report.swept:
        say(f"Removed {report.swept} temporary file(s) of writers that are dead")
    if report.quarantined:
        folders = dict.fromkeys(str(path.parent) for path in report.quarantined)
        say(f"Moved {len(report.quarantined)} segment(s) to {', '.join(folders)}")
        say("Now run `vqa extract`, or `vqa cache import` for imported features; it computes just what is missing")
    elif damaged:
        say("Run `vqa cache verify --repair` to move them away, then `vqa extract` to compute just their videos again")


def _print_damaged_lines(report: Verification) -> None:
    for lines in report.damaged_lines:
        say(str(lines))
    if report.dropped_lines:
        say(f"Dropped {report.dropped_lines} damaged line(s); `vqa extract` finds out anew what they told")
    elif report.damaged_lines:
        say("Run `vqa extract`, which finds out anew what they told and drops them; `--repair` drops them alone")


def _short(name: str) -> str:
    """Return a segment's name without most of its SHA-256; time and token tell it from all others."""
    return f"{name[:_TELLING]}..." if len(name) > _TELLING + 3 else name


def _print_damages(damages: tuple[Damage, ...]) -> None:
    if not damages:
        return
    rows = [
        (
            f"{damage.path.parent.name}/{_short(damage.path.name)}",
            damage.kind,
            "-" if damage.row is None else str(damage.row),
            damage.key[:16] or "-",
            damage.reason,
        )
        for damage in damages[:_SHOWN]
    ]
    print_table("Damaged", ("segment", "kind", "row", "video", "reason"), rows, right="row")
    if len(damages) > _SHOWN:
        say(f"... and {len(damages) - _SHOWN} more; `--json` has all")


def print_compaction(report: Compaction) -> None:
    """Print how many segments there were and are."""
    say(
        f"{report.root}: {report.segments_before} segment(s) ({report.bytes_before / 1e6:.2f} MB) are now "
        f"{report.segments_after} ({report.bytes_after / 1e6:.2f} MB)"
    )
    if report.swept:
        say(f"Removed {report.swept} temporary file(s) of writers that are dead")
    _print_damages(report.damages)
    if report.damages:
        say("Models with damaged segments were left as they are; run `vqa cache verify --repair`, then compact again")


def print_drop(report: DropReport) -> None:
    """Print what was removed."""
    if not report.candidates:
        say(f"{report.root}: nothing to remove, all features are of this version's decoding rules")
        return
    rows = [
        (stored.record.name, stored.record.fingerprint, str(stored.videos), f"{stored.bytes / 1e6:.2f}")
        for stored in report.candidates
    ]
    print_table(f"Dropped from {report.root}", ("model", "fingerprint", "videos", "MB"), rows, right="videos MB")
    if report.failures:
        say(f"{report.failures} failure(s) of theirs are forgotten, too")
    if any(is_imported(stored.record.name) for stored in report.candidates):
        say("Imported features can't be computed again; `vqa cache import` takes them from their table")
