"""What a video is: the SHA-256 of its bytes, whatever its name and place; for imported features, its id."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from vqa.cache.folder import append_line, make_folder, read_lines, reason_of
from vqa.errors import CacheError, VideoError
from vqa.files import sha256_of, without_video_suffix

MAX_KEY_BYTES = 1024
"""Keys lie in columns as wide as the longest: one very long key would make a small file fill the memory."""
_MEMO = "keys.jsonl"


def id_key(video: str) -> str:
    """Return the key of features that were imported for a video's id; `a/1` and `a/1.mp4` are one."""
    return f"id:{without_video_suffix(video)}"


class _Place(NamedTuple):
    """What tells, without reading it, that a file is the one seen before."""

    path: str
    size: int
    mtime_ns: int


class KeyMemo:
    """The keys of videos, remembered in the cache folder by path, size and modification time.

    Args:
        root: The cache folder. Nothing is made in it before the first new key.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[_Place, str] | None = None
        self._is_ready = False
        """Whether the folder was made ready for lines; each time costs flushes of folders to the disk."""

    def key(self, video: Path) -> str:
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

    def known(self, video: Path) -> str | None:
        """Return a video's key if it is remembered; the file itself is not opened.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        try:
            place = _locate(video)
        except VideoError:
            return None
        return self._remembered().get(place)

    def last_key(self, video: Path) -> str | None:
        """Return the key that a path had when it was last read, whether the file is still there or not.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        path = _absolute(video)
        return next((key for place, key in reversed(self._remembered().items()) if place.path == path), None)

    def paths(self, key: str) -> tuple[Path, ...]:
        """Return where files with these bytes were seen, the last one last; they may have changed since.

        Raises:
            CacheError: the cache folder is there and can't be read.
        """
        return tuple(dict.fromkeys(Path(place.path) for place, known in self._remembered().items() if known == key))

    def _remembered(self) -> dict[_Place, str]:
        if self._known is None:
            self._known = _read_memo(self.root / _MEMO)
        return self._known

    def _remember(self, place: _Place, key: str) -> None:
        """Store a new key; a cache that can only be read must still serve, and forgetting costs only time."""
        with contextlib.suppress(CacheError, OSError):
            if not self._is_ready:
                make_folder(self.root, self.root)
                self._is_ready = True
            append_line(self.root / _MEMO, {**place._asdict(), "key": key}, sync=False)


def _locate(video: Path) -> _Place:
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


def _absolute(video: Path) -> str:
    return os.path.abspath(video)  # noqa: PTH100 - links stay as they are


def _hash(video: Path, place: _Place) -> str:
    """Return the SHA-256 of a file that keeps still meanwhile."""
    try:
        key = sha256_of(video)
    except OSError as error:
        raise VideoError(f"{video}: can't be read ({reason_of(error)}); check the disk and the permissions") from error
    if _locate(video) != place:
        raise VideoError(f"{video}: changed while it was read; run again when it is written to its end")
    return key


def _read_memo(memo: Path) -> dict[_Place, str]:
    """Return the keys stored so far; lines of another form are left aside."""
    known: dict[_Place, str] = {}
    for line in read_lines(memo):
        match line:
            case {"path": str(path), "size": int(size), "mtime_ns": int(mtime_ns), "key": str(key)} if len(key) == 64:
                known[_Place(path, size, mtime_ns)] = key
    return known
