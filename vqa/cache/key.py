"""What a video is: the SHA-256 of its bytes, whatever its name and place; for imported features, its id."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vqa.cache.folder import DamagedLines, append_line, drop_damaged_lines, make_folder, read_lines, reason_of
from vqa.cache.lines import OwnLines, all_lines
from vqa.copies import remote_sha256
from vqa.errors import CacheError, TransientError, VideoError
from vqa.files import inode_and_change, may_change_unseen, sha256_of, without_video_suffix
from vqa.urls import Place, is_url

MAX_KEY_BYTES = 1024
"""Keys lie in columns as wide as the longest: one very long key would make a small file fill the memory."""
_MEMO = "keys.jsonl"
_REMOTE_MEMO = "keys"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 64
"""Keys that wait before a remote cache takes them: those of a killed process cost reading the videos again."""
_TRIES = 3
"""How often a file is read whose inode or change time differs after it, and nothing else: it may have got a link."""
_NOT_COMPARED = -1
"""In place of an inode: the file system gives the same file another one now and then."""


def id_key(video: str) -> str:
    """Return the key of features that were imported for a video's id; `a/1` and `a/1.mp4` are one."""
    return f"id:{without_video_suffix(video)}"


class _Place(NamedTuple):
    """A file that was seen."""

    path: str
    size: int
    mtime_ns: int


class _Mark(NamedTuple):
    """What any program that changes a file leaves in the file system, whatever else it sets back; 0 for not known."""

    inode: int
    changed_ns: int

    def fits(self, now: _Mark) -> bool:
        """Return whether a file that has the other mark by now is for sure the one that had this."""
        return self.changed_ns == now.changed_ns and self.inode in (now.inode, _NOT_COMPARED)


class _Seen(NamedTuple):
    """What a file was when it was read last."""

    key: str
    mark: _Mark


class KeyMemo:
    """The keys of videos, remembered in the cache folder by path or URL, size, time, inode and time of change.

    A local cache has one file of them, to which all processes append; a remote one a folder, see `vqa.cache.lines`.

    Args:
        root: The cache folder. Nothing is made in it before the first new key.
    """

    def __init__(self, root: Place) -> None:
        self.root = root
        self._known: dict[_Place, _Seen] | None = None
        self._last: dict[str, _Place] = {}
        """What was seen last at each path."""
        self._damaged: list[DamagedLines] = []
        self._lines = None if isinstance(root, Path) else OwnLines(root, root / _REMOTE_MEMO, at_once=_AT_ONCE)
        self._seen_ns = 0
        self._is_ready = False
        """Whether the folder was made ready for lines; each time costs flushes of folders to the disk."""

    def key(self, video: Place) -> str:
        """Return the SHA-256 of a video's bytes, 64 hexadecimal digits; where the file may have changed, it is read.

        An empty file has a key too: that it holds no video is the decoder's finding.

        Raises:
            VideoError: the file is missing, can't be read, is no regular file, or changes while it is read.
            CacheError: the cache folder is there and can't be read.
        """
        place, mark = _locate(video)
        seen = self._remembered().get(place)
        if seen is None or not seen.mark.fits(mark):
            seen = _read(video, place, seen)
        elif self._last[place.path] == place:
            return seen.key
        self._remember(place, seen)
        return seen.key

    def key_if_seen(self, video: Place) -> str | None:
        """Return a video's key if a file of its path, size and time was seen before; None where it was not.

        It is read where it may be another one for all that; what it is then is remembered only if it is the same.

        Raises:
            VideoError, CacheError: as of `key`.
        """
        place, mark = _locate(video)
        return self._key_now(video, place, mark) if place in self._remembered() else None

    def is_unchanged(self, video: Place) -> bool:
        """Return whether a file still has the key that its path had when it was last read; it is read where in doubt.

        Raises:
            VideoError, CacheError: as of `key`.
        """
        return self._key_now(video, *_locate(video)) == self.known(video)

    def _key_now(self, video: Place, place: _Place, mark: _Mark) -> str:
        """Return a file's key; what it is other than before is not remembered: that is for those that use it."""
        seen = self._remembered().get(place)
        if seen is not None and seen.mark.fits(mark):
            return seen.key
        found = _read(video, place, seen)
        if found.key == self.known(video):
            self._remember(place, found)
        return found.key

    def known(self, video: Place) -> str | None:
        """Return the key that a path had when it was last read; neither that file nor its folder is looked at.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        known = self._remembered()
        place = self._last.get(_absolute(video))
        return None if place is None else known[place].key

    def paths(self, key: str) -> tuple[Path | str, ...]:
        """Return where files with these bytes were seen, the last one last; they may have changed since. URLs are text.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        found = dict.fromkeys(place.path for place, seen in self._remembered().items() if seen.key == key)
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

    def _remembered(self) -> dict[_Place, _Seen]:
        if self._known is None:
            self._damaged = []
            if self._lines is None:
                lines = list(read_lines(self.root / _MEMO, _is_older, self._damaged))
            else:  # files of several processes, in the order of their names
                lines = sorted(all_lines(self.root / _REMOTE_MEMO, _is_older, self._damaged), key=_seen_ns)
            self._seen_ns = max(map(_seen_ns, lines), default=0)
            self._known = _known_keys(lines)
            self._last = {place.path: place for place in self._known}
        return self._known

    def _remember(self, place: _Place, seen: _Seen) -> None:
        """Store what was seen; a cache that can only be read must still serve, and forgetting costs only time."""
        known = self._remembered()
        known.pop(place, None)  # the last seen is the last
        known[place], self._last[place.path] = seen, place
        values = {**place._asdict(), **seen.mark._asdict(), "key": seen.key}
        with contextlib.suppress(CacheError, OSError):
            if self._lines is not None:
                self._seen_ns = max(self._seen_ns + 1, time.time_ns())
                self._lines.add({**values, "seen_ns": self._seen_ns})
            elif isinstance(self.root, Path):
                self._append(self.root, values)

    def _append(self, root: Path, values: Mapping[str, Any]) -> None:
        if not self._is_ready:
            make_folder(root, root)
            self._is_ready = True
        append_line(root / _MEMO, values, sync=False)


def _locate(video: Place) -> tuple[_Place, _Mark]:
    """Return a file's place and mark, refusing what is no regular file: a pipe would be read for ever."""
    try:
        status = video.stat()
    except (OSError, ValueError) as error:
        raise VideoError(
            f"{video}: can't be opened ({reason_of(error)}); check the path and its permissions"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{video}: is a folder or a device, not a video; name a file")
    place = _Place(_absolute(video), status.st_size, status.st_mtime_ns)
    return place, _Mark(*inode_and_change(status))


def _absolute(video: Place) -> str:
    if not isinstance(video, Path):
        return str(video)
    return os.path.abspath(video)  # noqa: PTH100 - links stay as they are


def _read(video: Place, place: _Place, before: _Seen | None) -> _Seen:
    """Read a file, which has to keep still meanwhile, and return what it is.

    What could change once more without another mark has none. An inode that is another one, though nothing else of
    the file is, is none to go by.
    """
    key, mark = _hash(video, place)
    if may_change_unseen(mark.changed_ns):
        return _Seen(key, _Mark(0, 0))
    if before is not None and before.key == key and mark.changed_ns and before.mark.changed_ns == mark.changed_ns:
        mark = mark._replace(inode=_NOT_COMPARED)
    return _Seen(key, mark)


def _is_older(line: dict[str, Any]) -> bool:
    """Return whether a line without a checksum is one of those of before."""
    known = _known_keys([line]) if line.keys() == {"path", "size", "mtime_ns", "key"} else {}
    return any(_SHA256.fullmatch(seen.key) for seen in known.values())


def _hash(video: Place, place: _Place) -> tuple[str, _Mark]:
    """Return the SHA-256 of a file that keeps still meanwhile, and its mark."""
    for _ in range(_TRIES):
        now, before = _locate(video)
        try:
            key = sha256_of(video) if isinstance(video, Path) else remote_sha256(video)
        except OSError as error:
            raise VideoError(
                f"{video}: can't be read ({reason_of(error)}); check the disk and the permissions"
            ) from error
        after = _locate(video if isinstance(video, Path) else video.fresh())
        if after == (place, before):
            return key, before
        if not now == after[0] == place:
            break
    raise TransientError(f"{video}: changed while it was read; run again when it is written to its end")


def _seen_ns(line: Mapping[str, Any]) -> int:
    value = line.get("seen_ns")
    return value if type(value) is int else 0


def _known_keys(lines: Iterable[dict[str, Any]]) -> dict[_Place, _Seen]:
    """Return the keys that lines tell, those seen last at the end; lines of another form are left aside.

    Older lines have no mark: such files are taken to be in doubt.
    """
    known: dict[_Place, _Seen] = {}
    for line in lines:
        match line:
            case {"path": str(path), "size": int(size), "mtime_ns": int(mtime_ns), "key": str(key)} if len(key) == 64:
                place, marks = _Place(path, size, mtime_ns), (line.get("inode", 0), line.get("changed_ns", 0))
                known.pop(place, None)
                known[place] = _Seen(key, _Mark(*marks) if all(type(value) is int for value in marks) else _Mark(0, 0))
    return known
