"""What hides the segments of a remote folder that are being dropped, for no folder can be renamed there.

    put a mark that names them -> they are hidden, all at once -> remove them -> remove the mark

After a kill the mark goes on hiding what is left; the next drop, `verify --repair` or `compact` removes it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.errors import MALFORMED

if TYPE_CHECKING:
    from vqa.remote import RemotePath
    from vqa.urls import Place

_MARK = ".dropped-"


def hide_dropped(entries: Iterable[Place]) -> list[Place]:
    """Return what a folder holds without what is being dropped; of a local folder all."""
    found = list(entries)
    hidden = {name for entry in found if not isinstance(entry, Path) for name in _marked(entry)}
    return [entry for entry in found if entry.name not in hidden]


def drop_marked(folder: RemotePath) -> bool:
    """Remove what marks in a folder name, then the marks; return whether there were any.

    Raises:
        OSError: something can't be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        marks = [entry for entry in folder.iterdir() if entry.name.startswith(_MARK)]
        for mark in marks:
            for name in _marked(mark):
                (folder / name).unlink(missing_ok=True)
            mark.unlink(missing_ok=True)
        return bool(marks)
    return False


def mark_dropped(folder: RemotePath, names: Iterable[str]) -> None:
    """Hide files of a folder at once, until they are removed.

    Raises:
        OSError: the mark can't be put.
    """
    (folder / f"{_MARK}{secrets.token_hex(8)}").write_bytes(json.dumps(list(names)).encode())


def _marked(entry: RemotePath) -> list[str]:
    """Return the names that a mark says; none where the entry is no mark, is gone, or says something else.

    A name that leads out of the folder is none: the cache may come from a stranger.
    """
    if not entry.name.startswith(_MARK):
        return []
    with contextlib.suppress(FileNotFoundError, *MALFORMED):
        return [name for name in json.loads(entry.read_bytes()) if "/" not in name and name not in ("", ".", "..")]
    return []
