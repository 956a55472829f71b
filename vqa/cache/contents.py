"""The segments of one candidate, read as one table.

Where two segments hold the same video, the older wins by its name, so that all readers of the same files agree.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vqa.cache.folder import reason_of
from vqa.cache.index import read_index, write_index
from vqa.cache.marks import hide_dropped
from vqa.cache.segment import MENDING, SUFFIX, Segment, SegmentGoneError, open_segment
from vqa.errors import CacheError
from vqa.urls import Place

FOLDER_NAME = re.compile(r".+-(?P<fingerprint>[0-9A-Za-z]{6,64})")
"""Of a candidate: readable, then its fingerprint."""

_Read = TypeVar("_Read")
_TRIES = 10
_WORTH_AN_INDEX = 32
"""Segments that had to be opened; opening one takes about half a millisecond."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What one candidate's folders hold."""

    segments: tuple[Segment, ...]
    """Oldest first."""
    numbers: Mapping[str, int]
    """The number of each video in all segments end to end; of videos that stand twice the first."""
    starts: NDArray[np.int64]
    """The number of each segment's first video, shape (S,)."""

    def place(self, key: str) -> tuple[int, int]:
        """Return the number of the segment that holds a video, and the video's position in it."""
        number = self.numbers[key]
        segment = int(np.searchsorted(self.starts, number, side="right")) - 1
        return segment, number - int(self.starts[segment])


def candidate_folders(root: Place) -> dict[str, list[Place]]:
    """Return the folders of each fingerprint: more than one where it was extracted under two names.

    Raises:
        CacheError: the cache folder can't be read.
    """
    folders: defaultdict[str, list[Place]] = defaultdict(list)
    for path in visible_entries(root):
        match = FOLDER_NAME.fullmatch(path.name)
        if match and path.is_symlink():  # in a cache from elsewhere it could lead to any folder of ours
            raise CacheError(f"{path}: is a link, and links in a cache are not followed; put the folder itself there")
        if match and path.is_dir():
            folders[match["fingerprint"]].append(path)
    return dict(folders)


def visible_entries(folder: Place) -> list[Place]:
    """Return what a folder holds and does not hide, in the order of names; temporary files are hidden.

    Raises:
        CacheError: it can't be read; one that does not exist holds nothing.
    """
    try:
        found = hide_dropped(folder.iterdir())
        return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CacheError(
            f"{folder}: the cache can't be read ({reason_of(error)}); check the path and its permissions"
        ) from error


def segment_paths(folders: Iterable[Place]) -> list[Place]:
    """Return the segment files of a candidate's folders, oldest first.

    Raises:
        CacheError: a folder can't be read.
    """
    paths = [path for folder in folders for path in visible_entries(folder) if path.suffix == SUFFIX]
    return sorted(paths, key=lambda path: path.name)


def read_contents(fingerprint: str, folders: Sequence[Place], known: MutableMapping[Place, Segment]) -> Contents:
    """Look for a candidate's segments and open those that neither `known` nor an index has.

    Args:
        fingerprint: The candidate's.
        folders: Where its segments may lie.
        known: Segments opened before; what is opened now is added.

    Raises:
        CacheError: a folder or a segment can't be read, or a segment does not belong there.
    """
    return while_segments_go(
        lambda: join_segments(fingerprint, [part for folder in folders for part in _segments(folder, known)])
    )


def while_segments_go(read: Callable[[], _Read], look_again: Callable[[], None] = lambda: None) -> _Read:
    """Read, and after a new look again where a segment was merged into another one meanwhile.

    Raises:
        SegmentGoneError: segments go faster than they can be read.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(SegmentGoneError):
            return read()
        look_again()
    return read()


def _segments(folder: Place, known: MutableMapping[Place, Segment]) -> list[Segment]:
    paths = segment_paths([folder])
    if sum(path not in known for path in paths) >= _WORTH_AN_INDEX:
        known.update(read_index(folder, paths))
    unknown = [path for path in paths if path not in known]
    known.update((path, open_segment(path)) for path in unknown)
    segments = [known[path] for path in paths]
    if len(unknown) >= _WORTH_AN_INDEX:
        write_index(folder, segments)
    return segments


def join_segments(fingerprint: str, found: Iterable[Segment]) -> Contents:
    """Return the segments of one candidate as one table.

    Raises:
        CacheError: a segment does not belong there.
    """
    segments = sorted(found, key=lambda segment: segment.path.name)
    for segment in segments:
        reason = misfit(segment, segments[0], fingerprint)
        if reason:
            raise CacheError(f"{segment.path}: this segment does not fit its folder ({reason}); {MENDING}")
    counts = np.array([len(segment.keys) for segment in segments], dtype=np.int64)
    numbers: dict[str, int] = {}
    next_number = int(counts.sum())
    for segment in reversed(segments):  # so that the older ones have the last word
        next_number -= len(segment.keys)
        numbers.update(zip(segment.keys, range(next_number, next_number + len(segment.keys)), strict=True))
    return Contents(tuple(segments), numbers, np.cumsum(counts) - counts)


def misfit(segment: Segment, oldest: Segment, fingerprint: str) -> str:
    """Return why a segment does not belong into a folder, empty where it does."""
    found, first = segment.provenance, oldest.provenance
    if found.record.fingerprint != fingerprint:
        return f"it belongs to {found.record.name}-{found.record.fingerprint}"
    if found.weights_sha256 != first.weights_sha256:
        return f"it comes from other weights than {oldest.path.name}"
    if segment.width != oldest.width:
        return f"it has {segment.width} features a row, {oldest.path.name} has {oldest.width}"
    return ""
