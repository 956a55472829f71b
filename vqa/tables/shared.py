"""Parts that several reports have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.cache.folder import DamagedLines
    from vqa.records import Failure

_SHOWN = 20


def some_names(names: Sequence[str], count: int = 5) -> str:
    """Return the first names of a list, and dots for the others."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def figure(value: float) -> str:
    """Return a number with three decimals; of one from 100,000 on three digits, so that none widens its column."""
    return f"{value:.3f}" if not abs(value) >= 99999.9995 else f"{value:.3g}"


def print_failures(failures: Sequence[Failure]) -> None:
    """Print which videos failed, where and why."""
    if not failures:
        return
    rows = [(failure.video, failure.candidate, failure.stage, failure.reason) for failure in failures[:_SHOWN]]
    print_table(f"{len(failures)} failed", ("video", "model", "stage", "reason"), rows)
    if len(failures) > _SHOWN:
        say(f"... and {len(failures) - _SHOWN} more; all are in the cache's folder `failures`")


def say_damaged(damaged: Sequence[DamagedLines]) -> None:
    """Say which files of the cache have damaged lines, and what finds out anew what they told."""
    if damaged:
        say(
            f"{'; '.join(map(str, damaged))}: what stood there is lost; `vqa extract` finds it out anew, "
            "`vqa cache verify --repair` drops what is damaged"
        )


def say_ignored(contents: int) -> None:
    """Say that contents are known and not read, and what that does."""
    if contents:
        say(
            f"note: the labels name {contents} contents and vqa.toml says not to read them; held-out figures and "
            "intervals come from rows whose content was trained on; remove group_column"
        )


def say_note(note: str) -> None:
    """Say what the labels are, where a workspace notes it."""
    if note:
        say(f"The labels are {note}.")
