"""A candidate's features removed from the cache: hidden at once, then deleted."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.cache.contents import candidate_folders, segment_paths
from vqa.cache.folder import not_writable
from vqa.cache.index import forget_index
from vqa.cache.marks import mark_dropped, remove_dropped
from vqa.files import sync_folder
from vqa.urls import Place

if TYPE_CHECKING:
    from vqa.remote import RemotePath

_DROPPED = ".dropped-"


def drop_candidate(root: Place, fingerprint: str) -> None:
    """Remove all features of a candidate; a kill in the middle leaves all of them or none that can be seen.

        rename to a hidden name -> fsync the cache folder -> delete
        mark what is dropped, where the folder is remote   -> delete

    Raises:
        CacheError: a folder can't be removed.
    """
    for folder in candidate_folders(root).get(fingerprint, []):
        try:
            _hide(folder)
        except FileNotFoundError:  # another process dropped it
            continue
        except OSError as error:
            raise not_writable(folder, error) from error
    delete_dropped(root)


def _hide(folder: Place) -> None:
    if isinstance(folder, Path):
        folder.rename(folder.parent / f"{_DROPPED}{secrets.token_hex(8)}")
        sync_folder(folder.parent)
        return
    segments = segment_paths([folder])
    if segments:
        mark_dropped(folder, segments[-1].name)


def delete_dropped(root: Place) -> None:
    """Delete what was dropped, here or by a process that was killed before it came to that.

    Raises:
        CacheError: it can't be deleted.
    """
    if not isinstance(root, Path):
        _delete_marked(root)
        return
    for hidden in root.glob(f"{_DROPPED}*"):
        try:
            if hidden.is_symlink():
                hidden.unlink()
            else:
                shutil.rmtree(hidden)
        except FileNotFoundError:  # another process does the same
            continue
        except OSError as error:
            raise not_writable(hidden, error) from error


def _delete_marked(root: RemotePath) -> None:
    for folder in (folder for folders in candidate_folders(root).values() for folder in folders):
        try:
            if not isinstance(folder, Path) and remove_dropped(folder):
                forget_index(folder)
        except OSError as error:
            raise not_writable(folder, error) from error
