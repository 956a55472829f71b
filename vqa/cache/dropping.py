"""A candidate's features removed from the cache: hidden at once, then deleted."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from vqa.cache.contents import candidate_folders
from vqa.cache.folder import not_writable
from vqa.files import sync_folder

_DROPPED = ".dropped-"


def drop_candidate(root: Path, fingerprint: str) -> None:
    """Remove all features of a candidate; a kill in the middle leaves all of them or none that can be seen.

        rename to a hidden name -> fsync the cache folder -> delete

    Raises:
        CacheError: a folder can't be removed.
    """
    for folder in candidate_folders(root).get(fingerprint, []):
        hidden = root / f"{_DROPPED}{secrets.token_hex(8)}"
        try:
            folder.rename(hidden)
            sync_folder(root)
        except FileNotFoundError:  # another process dropped it
            continue
        except OSError as error:
            raise not_writable(folder, error) from error
    delete_dropped(root)


def delete_dropped(root: Path) -> None:
    """Delete what was dropped, here or by a process that was killed before it came to that.

    Raises:
        CacheError: it can't be deleted.
    """
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
