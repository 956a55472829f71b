"""What a video is: the SHA-256 of its bytes, whatever its name and place; for imported features, its id."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vqa.cache.folder import DamagedLines, append_line, drop_damaged_lines, make_folder, read_lines, reason_of
from vqa.cache.lines import OwnLines, all_lines
from vqa.copies import remote_sha256
from vqa.errors import CacheError, VideoError
from vqa.files import sha256_of, without_video_suffix
from vqa.urls import Place, is_url

MAX_KEY_BYTES = 1024
"""Keys lie in columns as wide as the longest: one very long key would make a small file fill the memory."""
_MEMO = "keys.jsonl"
_REMOTE_MEMO = "keys"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 64
"""Keys that wait before a remote cache takes them: those of a killed process cost reading the videos again."""


def id_key(video: str) -> str:
    """Return the key of features that were imported for a video's id; `a/1` and `a/1.mp4` are one."""
    return f"id:{without_video_suffix(video)}"


class _Place(NamedTuple):
    """What tells, without reading it, that a file is the one seen before."""

    path: str
    size: int
    mtime_ns: int


class KeyMemo:
    """The keys of videos, remembered in the cache folder by path or URL, size and modification time.

    A local cache has one file of them, to which all processes append; a remote one a folder, see `vqa.cache.lines`.

    Args:
        root: The cache folder. Nothing is made in it before the first new key.
    """

    def __init__(self, root: Place) -> None:
        self.root = root
        self._known: dict[_Place, str] | None = None
        self._damaged: list[DamagedLines] = []
        self._lines = None if isinstance(root, Path) else OwnLines(root, root / _REMOTE_MEMO, at_once=_AT_ONCE)
        self._is_ready = False
        """Whether the folder was made ready for lines; each time costs flushes of folders to the disk."""

    def key(self, video: Place) -> str:
        """Return the SHA-256 of a video's bytes, 64 hexadecimal digits.

        An empty file has a key too: that it holds no video is the decoder's finding.

        Raises:
            VideoError: the file is missing, can't be read, is no regular file, or changes while it is read.
            CacheError: the cache folder is there and can't be read.
        """
        place, keys = _locate(video), self._remembered()
        if place not in keys:
            keys[place] = _hash(video, place)
            self._remember(place, keys[place])
        return keys[place]

    def known(self, video: Place) -> str | None:
        """Return a video's key if it is remembered; the file itself is not opened.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        try:
            place = _locate(video)
        except VideoError:
            return None
        return self._remembered().get(place)

    def last_key(self, video: Place) -> str | None:
        """Return the key that a path had when it was last read, whether the file is still there or not.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        path = _absolute(video)
        return next((key for place, key in reversed(self._remembered().items()) if place.path == path), None)

    def paths(self, key: str) -> tuple[Path | str, ...]:
        """Return where files with these bytes were seen, the last one last; they may have changed since. URLs are text.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        found = dict.fromkeys(place.path for place, known in self._remembered().items() if known == key)
        return tuple(path if is_url(path) else Path(path) for path in found)

    def damaged(self) -> tuple[DamagedLines, ...]:
        """Return which files have damaged lines: the key of a video that one told of is not remembered.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        self._remembered()
        return tuple(self._damaged)

    def drop_damaged(self) -> None:
        """Take the damaged lines out of the memory.

        Raises:
            CacheError: they can't be read or written.
        """
        for lines in self.damaged():
            drop_damaged_lines(lines.file, _is_older)
        self._known = None

    def flush(self) -> None:
        """Store the keys that wait; a cache that can only be read must still serve."""
        if self._lines is not None:
            with contextlib.suppress(CacheError):
                self._lines.flush()

    def _remembered(self) -> dict[_Place, str]:
        if self._known is None:
            read, memo = (read_lines, _MEMO) if self._lines is None else (all_lines, _REMOTE_MEMO)
            self._damaged = []
            self._known = _known_keys(read(self.root / memo, _is_older, self._damaged))
        return self._known

    def _remember(self, place: _Place, key: str) -> None:
        """Store a new key; a cache that can only be read must still serve, and forgetting costs only time."""
        values = {**place._asdict(), "key": key}
        with contextlib.suppress(CacheError, OSError):
            if self._lines is not None:
                self._lines.add(values)
            elif isinstance(self.root, Path):
                self._append(self.root, values)

    def _append(self, root: Path, values: Mapping[str, Any]) -> None:
        if not self._is_ready:
            make_folder(root, root)
            self._is_ready = True
        append_line(root / _MEMO, values, sync=False)


def _locate(video: Place) -> _Place:
    """Return a file's place, refusing what is no regular file: a pipe would be read for ever."""
    try:
        status = video.stat()
    except (OSError, ValueError) as error:
        raise VideoError(
            f"{video}: can't be opened ({reason_of(error)}); check the path and its permissions"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{video}: is a folder or a device, not a video; name a file")
    return _Place(_absolute(video), status.st_size, status.st_mtime_ns)


def _absolute(video: Place) -> str:
    if not isinstance(video, Path):
        return str(video)
    return os.path.abspath(video)  # noqa: PTH100 - links stay as they are


def _hash(video: Place, place: _Place) -> str:
    """Return the SHA-256 of a file that keeps still meanwhile."""
    try:
        key = sha256_of(video) if isinstance(video, Path) else remote_sha256(video)
    except OSError as error:
        raise VideoError(f"{video}: can't be read ({reason_of(error)}); check the disk and the permissions") from error
    if _locate(video if isinstance(video, Path) else video.fresh()) != place:
        raise VideoError(f"{video}: changed while it was read; run again when it is written to its end")
    return key


def _is_older(line: dict[str, Any]) -> bool:
    """Return whether a line without a checksum is one of those of before."""
    known = _known_keys([line]) if line.keys() == {"path", "size", "mtime_ns", "key"} else {}
    return any(map(_SHA256.fullmatch, known.values()))


def _known_keys(lines: Iterable[dict[str, Any]]) -> dict[_Place, str]:
    """Return the keys that lines tell; lines of another form are left aside."""
    known: dict[_Place, str] = {}
    for line in lines:
        match line:
            case {"path": str(path), "size": int(size), "mtime_ns": int(mtime_ns), "key": str(key)} if len(key) == 64:
                known[_Place(path, size, mtime_ns)] = key
    return known
