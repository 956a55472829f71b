"""Small segments merged into large ones, and rows that an older segment has anyway left out.

    before   A: a b     B: c         C: a d      D: e f g h i j ... (large)
    after    ABC: a b c d                        D                      A's `a` wins over C's, as it did before

The new segment is whole on the disk, and read back, before the first old one is removed: a kill at any instant leaves
rows twice, never none, and the next compaction removes what is left over. Its name says a nanosecond before the oldest
one's, so that it wins where those did. So every row that a compaction removes lies also in a segment that sorts before,
was read whole and is good, and of any row the first in that order stays, however many compactions go on at once. Only
`verify --repair` takes away a segment without that, and what was gone when it was to be read lets nothing else go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vqa.cache.contents import Contents, candidate_folders, join_segments, segment_paths
from vqa.cache.folder import not_writable
from vqa.cache.index import forget_index
from vqa.cache.segment import Segment, SegmentGoneError, SegmentRow, named_time, read_videos
from vqa.cache.segmentwriting import write_segment
from vqa.cache.verifying import Damage, examine, examine_all, sweep_cache
from vqa.errors import CacheError
from vqa.files import sync_folder
from vqa.urls import Place

TARGET_BYTES = 128 << 20
"""Size that merged segments come close to: one is made in memory, and read in one go."""
_SMALL = 2
"""A segment of less than that part of the target is small."""


@dataclass(frozen=True)
class Compaction:
    """What `compact_cache` did."""

    root: Place
    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    damages: tuple[Damage, ...]
    """What is wrong with segments of candidates that were therefore left as they are."""
    swept: int
    """Temporary files of dead writers that were removed."""


@dataclass(frozen=True)
class _Part:
    """A segment and the positions of those of its videos that no older segment has."""

    segment: Segment
    positions: tuple[int, ...]


def compact_cache(
    root: Place, *, target_bytes: int = TARGET_BYTES, step: Callable[[int, int], None] | None = None
) -> Compaction:
    """Merge the small segments of each candidate; features, times and provenance stay as they are.

    Args:
        root: The cache folder.
        target_bytes: Size that merged segments come close to.
        step: Told how many of all candidates are done.

    Raises:
        CacheError: the cache can't be read or written. Nothing is lost then, and the next compaction goes on.
    """
    swept = sweep_cache(root)
    folders = candidate_folders(root)
    before = _weigh(folders.values())
    damages: list[Damage] = []
    for done, (fingerprint, places) in enumerate(folders.items(), start=1):
        # What the segments say themselves, whatever an index says; one that went away meanwhile, to the quarantine
        # perhaps, holds no row that could let another one go.
        segments, found = examine_all(segment_paths(places), fingerprint)
        damages += found
        if not found:
            _compact(join_segments(fingerprint, segments), fingerprint, target_bytes)
        if step is not None:
            step(done, len(folders))
    after = _weigh(folders.values())
    return Compaction(root, before[0], after[0], before[1], after[1], tuple(damages), swept)


def _weigh(folders: Iterable[Sequence[Place]]) -> tuple[int, int]:
    """Return how many segments there are, and their bytes."""
    count = size = 0
    for places in folders:
        for path in segment_paths(places):
            with contextlib.suppress(FileNotFoundError):
                count, size = count + 1, size + path.stat().st_size
    return count, size


def _compact(contents: Contents, fingerprint: str, target_bytes: int) -> None:
    """Merge one candidate's small segments, and remove what wins nowhere."""
    parts = [_Part(segment, _winners(contents, number)) for number, segment in enumerate(contents.segments)]
    surplus = [part for part in parts if not part.positions]
    with contextlib.suppress(SegmentGoneError):  # merged by another compaction, or dropped; the next one ends it
        for group in _groups([part for part in parts if part.positions], target_bytes):
            _merge(group, fingerprint)
            surplus += group
        _remove([part.segment.path for part in surplus])


def _winners(contents: Contents, number: int) -> tuple[int, ...]:
    start = int(contents.starts[number])
    keys = contents.segments[number].keys
    return tuple(position for position, key in enumerate(keys) if contents.numbers[key] == start + position)


def _groups(parts: Sequence[_Part], target_bytes: int) -> list[list[_Part]]:
    """Return small segments of one provenance, oldest first, as many together as give one of the target's size."""
    full: list[list[_Part]] = []
    waiting: list[list[_Part]] = []
    for part in parts:
        if part.segment.bytes * _SMALL > target_bytes:
            continue
        alike = [group for group in waiting if group[0].segment.provenance == part.segment.provenance]
        if alike and sum(other.segment.bytes for other in alike[0]) + part.segment.bytes <= target_bytes:
            alike[0].append(part)
            continue
        full += alike
        waiting = [group for group in waiting if group not in alike]
        waiting.append([part])
    return [group for group in full + waiting if len(group) > 1]


def _merge(group: Sequence[_Part], fingerprint: str) -> None:
    """Write a group's rows as one segment beside the oldest one, and read it back."""
    rows: list[SegmentRow] = []
    for part in group:
        keys, created_ns = part.segment.keys, part.segment.created_ns
        videos = read_videos(part.segment, part.positions)
        rows += [
            SegmentRow(keys[position], features, int(created_ns[position]))
            for position, features in zip(part.positions, videos, strict=True)
        ]
    oldest = group[0].segment
    seconds = sum(part.segment.seconds * len(part.positions) / len(part.segment.keys) for part in group)
    before = named_time(oldest.path) - 1
    path = write_segment(oldest.path.parent, oldest.provenance, rows, seconds=seconds, written_ns=before)
    _, found = examine(path, fingerprint)
    if found:
        raise CacheError(
            f"{path}: what was written can't be read back ({found[0].reason}); nothing was removed, check the disk and "
            "run `vqa cache verify --repair`"
        )


def _remove(paths: Sequence[Place]) -> None:
    try:
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            forget_index(folder)
            sync_folder(folder)
    except OSError as error:
        raise not_writable(paths[0].parent, error) from error
