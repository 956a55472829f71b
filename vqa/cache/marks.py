"""What hides the segments of a remote folder that were dropped, for no folder can be renamed there.

    put an empty object that names the last one, .dropped-20260102T030405...h5
    all segments up to that name are hidden, at once and for every reader -> remove them

A segment that a compaction was making of them meanwhile sorts before them, and is hidden as well, whenever it comes;
one that is extracted from then on is later, and is not. So the mark stays for a day, longer than any request takes.
What is hidden and not yet removed, after a kill for one, goes with the next `drop`, `compact` or `verify --repair`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.cache.segment import SUFFIX, sha256_in_name
from vqa.urls import Place

if TYPE_CHECKING:
    from vqa.remote import RemotePath

_MARK = ".dropped-"
_MARK_NS = 24 * 3600 * 1_000_000_000


def hide_dropped(entries: Iterable[Place]) -> list[Place]:
    """Return what a folder holds without what was dropped; of a local folder all."""
    found = list(entries)
    last = max((_marked(entry) for entry in found), default="")
    return [entry for entry in found if not _is_dropped(entry, last)]


def mark_dropped(folder: RemotePath, last: str) -> None:
    """Hide the segments of a folder up to the one of that name.

    Raises:
        OSError: the mark can't be put.
    """
    (folder / f"{_MARK}{last}").write_bytes(b"")


def remove_dropped(folder: RemotePath) -> bool:
    """Remove the segments of a folder that are hidden, and marks that hide nothing and are old.

    Returns:
        Whether there were such segments.

    Raises:
        OSError: something can't be removed.
    """
    entries: Sequence[RemotePath] = []
    with contextlib.suppress(FileNotFoundError):
        entries = list(folder.iterdir())
    last = max(map(_marked, entries), default="")
    hidden = [entry for entry in entries if _is_dropped(entry, last)]
    past = time.time_ns() - _MARK_NS
    old = [entry for entry in entries if not hidden and _marked(entry) and entry.stat().st_mtime_ns < past]
    for entry in [*hidden, *old]:
        entry.unlink(missing_ok=True)
    return bool(hidden)


def _marked(entry: Place) -> str:
    """Return the name of the last segment that a mark hides, empty where the entry is none."""
    if isinstance(entry, Path) or not entry.name.startswith(_MARK):
        return ""
    name = entry.name.removeprefix(_MARK)
    return name if sha256_in_name(entry.parent / name) else ""


def _is_dropped(entry: Place, last: str) -> bool:
    return entry.suffix == SUFFIX and not entry.name.startswith(".") and entry.name <= last
