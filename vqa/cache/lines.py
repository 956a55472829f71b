"""Lines that one process adds to a folder which many add to: files of its own, so that no two write to one.

local     host-pid-time.jsonl               a line is appended
remote    host-pid-time-token.jsonl         the file is put whole anew, for nothing can be appended to it;
host-pid-time-token.jsonl ...     after 256 lines another is begun, so that little is put twice
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vqa.cache.folder import (
    DamagedLines,
    IsOlder,
    append_line,
    host_name,
    line_of,
    make_folder,
    not_writable,
    read_lines,
    reason_of,
)
from vqa.errors import CacheError
from vqa.urls import Place

_SUFFIX = ".jsonl"
_MOST_LINES = 256


class OwnLines:
    """The lines of this process.

    Args:
        root: The cache folder.
        folder: The folder in it; made with the first line.
        at_once: How many lines wait until a remote file is put anew; a local one takes each at once.
    """

    def __init__(self, root: Place, folder: Place, *, at_once: int = 1) -> None:
        self.root, self.folder, self.at_once = root, folder, at_once
        self._file: Place | None = None
        self._lines: list[bytes] = []
        """Of a remote file."""
        self._waiting = 0

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a line; unless it may wait, it is on the disk when this returns.

        Raises:
            CacheError: it can't be written.
        """
        if self._file is None:
            make_folder(self.root, self.folder)
            token = "" if isinstance(self.folder, Path) else f"-{secrets.token_hex(4)}"
            self._file, self._lines = self.folder / f"{host_name()}-{os.getpid()}-{time.time_ns()}{token}{_SUFFIX}", []
        if isinstance(self._file, Path):
            self._append(self._file, values)
            return
        self._lines.append(line_of(values))
        self._waiting += 1
        if self._waiting >= self.at_once:
            self.flush()

    def _append(self, file: Path, values: Mapping[str, Any]) -> None:
        try:
            append_line(file, values, sync=True)
        except OSError as error:
            self._file = None  # it may end in half a line, which would take the next one with it
            raise not_writable(file, error) from error

    def flush(self) -> None:
        """Write the lines that wait.

        Raises:
            CacheError: they can't be written; they wait on.
        """
        if not self._waiting or self._file is None or isinstance(self._file, Path):
            return
        try:
            self._file.write_bytes(b"".join(self._lines))
        except OSError as error:
            raise not_writable(self._file, error) from error
        self._waiting = 0
        if len(self._lines) >= _MOST_LINES:
            self._file = None


def all_lines(folder: Place, is_older: IsOlder, damaged: list[DamagedLines]) -> Iterator[dict[str, Any]]:
    """Yield what all processes added to a folder, process by process; arguments as of `read_lines`.

    Raises:
        CacheError: the folder or a file can't be read.
    """
    if isinstance(folder, Path) and not folder.exists():
        return
    try:
        files = sorted((path for path in folder.iterdir() if path.suffix == _SUFFIX), key=lambda path: path.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CacheError(f"{folder}: can't be read ({reason_of(error)}); check its permissions") from error
    for file in files:
        yield from read_lines(file, is_older, damaged)
