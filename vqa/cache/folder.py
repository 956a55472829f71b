"""The cache folder itself, and the append-only JSON lines in it."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from vqa.errors import CacheError
from vqa.files import make_folders, put_whole, refuse_link, require_regular, sweep_temporaries, sync_folder
from vqa.urls import Place

_CHECKSUM = "crc32"
_MARK = ".vqa"
NODE_MARK = ".node-"
"""How the names begin of what a run on a cluster puts here, to ask whether all nodes see the same cache."""
_SYSTEM_REASON = re.compile(r"errno = \d+, error message = '(?P<reason>[^']+)'")


def make_folder(root: Place, folder: Place) -> None:
    """Make `folder` inside the cache folder `root`, ready to be written to.

    Git is told to leave the whole cache alone when it is first made. What dead writers left in either is removed.
    A remote cache needs none of that; an empty file is put into it, to find out whether it takes any.

    Raises:
        CacheError: the folder can't be made or written to.
    """
    if not isinstance(folder, Path):
        _require_takes_files(root)
        return
    try:
        if folder != root:
            refuse_link(folder)
        make_folders(folder)
        for path in dict.fromkeys([folder, root]):  # another process may have made it and not synced its name yet
            sync_folder(path.parent)
            sweep_temporaries(path)
        ignore = root / ".gitignore"
        if not ignore.exists():
            put_whole(ignore, b"*\n")
    except OSError as error:
        raise not_writable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise not_writable(folder, PermissionError("no permission"))


def _require_takes_files(root: Place) -> None:
    try:
        put_whole(root / _MARK, b"")
    except OSError as error:
        raise not_writable(root, error) from error


def not_writable(path: Place, error: OSError) -> CacheError:
    """Return the error for a place in the cache that refuses to be written."""
    return CacheError(
        f"{path}: can't be written ({reason_of(error)}); free or unlock that place, "
        "or name another folder as `cache` in vqa.toml"
    )


def reason_of(error: Exception) -> str:
    """Return what an exception says on one line; HDF5 writes several, and the system's reason deep inside."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    inner = _SYSTEM_REASON.search(said)
    said = inner["reason"] if inner else said
    return " ".join(said.split()).strip('"') or type(error).__name__


def host_name() -> str:
    """Return this machine's name, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", platform.node())[:32] or "host"


@dataclass(frozen=True)
class DamagedLines:
    """Lines of a file that are not as they were written: flipped, cut, or left half by a killed process."""

    file: Place
    count: int

    def __str__(self) -> str:
        return f"{self.file} has {self.count} damaged line{'' if self.count == 1 else 's'}"


IsOlder = Callable[[dict[str, Any]], bool]
"""Says of a line without a checksum whether it is of the form that lines had before they carried one."""


def line_of(values: Mapping[str, Any]) -> bytes:
    """Return a JSON line, with the CRC-32 of what it holds."""
    return (json.dumps({**values, _CHECKSUM: _checksum(values)}, separators=(",", ":")) + "\n").encode("ascii")


def append_line(file: Path, values: Mapping[str, Any], *, sync: bool) -> None:
    """Append one JSON line with a single write, so that lines of several processes do not mix; with its CRC-32.

    Where the file ends in half a line, as after a kill or a full disk, the new one begins below it.

    Args:
        file: Made where it does not exist.
        values: What the line holds.
        sync: Whether to return only when the line is on the disk.

    Raises:
        OSError: the file can't be written, or is no regular file.
    """
    line = line_of(values)
    refuse_link(file)
    is_new = not file.exists()
    if not is_new:
        require_regular(file)
    with file.open("ab+", buffering=0) as stream:
        line = line if _ends_whole(stream) else b"\n" + line
        written = stream.write(line)
        if written != len(line):  # a disk that becomes full says so no other way
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fsync(stream.fileno())
    if sync and is_new:
        sync_folder(file.parent)


def _ends_whole(stream: FileIO) -> bool:
    """Return whether a file is empty or ends with the end of a line."""
    if not stream.seek(0, os.SEEK_END):
        return True
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def read_lines(file: Place, is_older: IsOlder, damaged: list[DamagedLines]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file of lines; those that are damaged are counted and left aside.

    A killed writer leaves half a line; a flipped bit in a key would give a video the features of another.

    Args:
        file: Need not be there.
        is_older: As of `IsOlder`.
        damaged: Gets the count once all lines are read, if there is something to count.

    Raises:
        CacheError: the file is there and can't be read.
    """
    count = 0
    for line in _split(file):
        values = None if _is_blank(line) else _whole(line, is_older)
        if values is not None:
            yield values
        elif not _is_blank(line):
            count += 1
    if count:
        damaged.append(DamagedLines(file, count))


def drop_damaged_lines(file: Place, is_older: IsOlder) -> None:
    """Take the damaged lines out of a file; whole lines that others append to it meanwhile stay.

    A local file is not written anew, so that nothing which is appended just then gets lost: blanks take the place of
    damaged lines.

    Raises:
        CacheError: the file can't be read or written.
    """
    lines = _split(file)
    is_good = [_is_blank(line) or _whole(line, is_older) is not None for line in lines]
    try:
        if not isinstance(file, Path):
            good = (line for line, holds in zip(lines, is_good, strict=True) if holds and not _is_blank(line))
            file.write_bytes(b"".join(line + b"\n" for line in good))
            return
        refuse_link(file)
        with file.open("r+b") as stream:
            for line, holds in zip(lines, is_good, strict=True):
                if holds:
                    stream.seek(len(line) + 1, os.SEEK_CUR)
                else:
                    stream.write(b" " * len(line))
                    stream.seek(1, os.SEEK_CUR)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise not_writable(file, error) from error


def _split(file: Place) -> list[bytes]:
    """Return the lines of a file, none where there is no file."""
    try:
        require_regular(file)
        return file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CacheError(
            f"{file}: can't be read ({reason_of(error)}); check the cache folder and its permissions"
        ) from error


def _is_blank(line: bytes) -> bool:
    """Return whether nothing stands on a line, or nothing any more."""
    return not line.strip(b" ")


def _whole(line: bytes, is_older: IsOlder) -> dict[str, Any] | None:
    """Return what a line holds, None where it is damaged."""
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            return None
        if _CHECKSUM not in values:
            return values if is_older(values) else None
        return values if values.pop(_CHECKSUM) == _checksum(values) else None
    except (ValueError, RecursionError):
        return None


def _checksum(values: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, separators=(",", ":")).encode("ascii"))
