"""Every segment read to its last byte: what is damaged is named, and moved out of the way where that is asked for."""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqa.cache.contents import candidate_folders, misfit, segment_paths
from vqa.cache.dropping import delete_dropped
from vqa.cache.folder import NODE_MARK, DamagedLines, not_writable, reason_of
from vqa.cache.index import wrong_index
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.segment import SUFFIX, Segment, SegmentGoneError, open_segment, read_videos, sha256_in_name
from vqa.errors import CacheError, VideoError
from vqa.files import make_folders, refuse_link, sha256_of, sweep_temporaries, sync_folder
from vqa.records import fingerprint_of
from vqa.urls import Place

UNREAD = "unread"
"""Kind of damage that may be the disk's or the network's: such a segment is not moved."""
QUARANTINE = "quarantine"
"""Folder of the cache that damaged segments are moved to; they are never deleted."""
_NODE_MARK = re.compile(rf"{re.escape(NODE_MARK)}[0-9a-f]{{16}}(-[0-9a-f]{{1,16}})?")
_NODE_MARK_NS = 24 * 3600 * 1_000_000_000
"""Longer than any run takes to ask."""


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a segment."""

    path: Place
    """The segment, where it lay."""
    kind: str
    """`name`, `bytes`, `form`, `spec`, `place`, `key`, `features`, `probe`, `index` or `unread`."""
    reason: str
    key: str = ""
    """The video, where the damage is in one video."""
    row: int | None = None
    """Its first row of features in the segment, from 0."""


@dataclass(frozen=True)
class Verification:
    """What `verify_cache` found."""

    root: Place
    segments: int
    videos: int
    """Features of a video by a candidate, in all segments that are good."""
    bytes: int
    damages: tuple[Damage, ...]
    quarantined: tuple[Place, ...]
    """Where damaged segments lie now."""
    good: bool
    """Whether nothing damaged is left among the rest."""
    swept: int
    """Temporary files of dead writers that were removed."""
    damaged_lines: tuple[DamagedLines, ...] = ()
    """Of the ledger and of the memory of keys, as they were found."""
    dropped_lines: int = 0
    """Those of them that are gone now."""


def verify_cache(
    root: Place,
    *,
    repair: bool = False,
    agree: Callable[[Segment, Segment], bool] = lambda one, other: True,
    step: Callable[[int, int], None] | None = None,
) -> Verification:
    """Read every segment of a cache whole and compare it with what it says of itself.

    Args:
        root: The cache folder.
        repair: Move damaged segments to the folder `quarantine`, so that the next extraction redoes their videos, drop
            damaged lines, so that it finds out anew what they told, and remove temporary files of dead writers.
        agree: Says of a segment and the candidate's oldest one whether one model can have made both.
        step: Told how many of all segments are done.

    Raises:
        CacheError: a folder can't be read, or what is damaged can't be moved or dropped.
    """
    listed = {fingerprint: segment_paths(folders) for fingerprint, folders in candidate_folders(root).items()}
    total, done = sum(map(len, listed.values())), itertools.count(1)
    good: list[Segment] = []
    damages: list[Damage] = []
    for fingerprint, paths in listed.items():
        tell = None if step is None else lambda: step(next(done), total)
        mine, found = examine_all(paths, fingerprint, agree=agree, step=tell)
        damages += [*found, *_index_damages(mine)]
        good += mine
    lines = _damaged_lines(root, repair=repair)
    damaged = dict.fromkeys(damage.path for damage in damages)
    movable = dict.fromkeys(damage.path for damage in damages if damage.kind != UNREAD)
    return Verification(
        root=root,
        segments=len(good) + sum(path.suffix == SUFFIX for path in damaged),
        videos=sum(len(segment.keys) for segment in good),
        bytes=sum(segment.bytes for segment in good),
        damages=tuple(damages),
        quarantined=tuple(filter(None, (_quarantine(root, path) for path in movable))) if repair else (),
        good=not (damaged or lines) or (repair and len(movable) == len(damaged)),
        swept=sweep_cache(root) if repair else 0,
        damaged_lines=lines,
        dropped_lines=sum(each.count for each in lines) if repair else 0,
    )


def _damaged_lines(root: Place, *, repair: bool) -> tuple[DamagedLines, ...]:
    """Return which files of lines have damaged ones, which are dropped where that is asked for."""
    memo, ledger = KeyMemo(root), Ledger(root)
    found = memo.damaged() + ledger.damaged()
    if repair and found:
        memo.drop_damaged()
        ledger.drop_damaged()
    return found


def _index_damages(segments: Sequence[Segment]) -> Iterator[Damage]:
    for folder in dict.fromkeys(segment.path.parent for segment in segments):
        wrong = wrong_index(folder, [segment for segment in segments if segment.path.parent == folder])
        if wrong is not None:
            yield Damage(wrong, "index", "it says of a segment something else than the segment does")


def examine_all(
    paths: Sequence[Place],
    fingerprint: str,
    *,
    agree: Callable[[Segment, Segment], bool] = lambda one, other: True,
    step: Callable[[], None] | None = None,
) -> tuple[list[Segment], list[Damage]]:
    """Read segments of one candidate whole.

    Args:
        paths: The files, oldest first.
        fingerprint: Of the folder they lie in.
        agree: Says of a segment and the oldest one whether one model can have made both.
        step: Called after each.

    Returns:
        Those that are good, and what is wrong with the others. One that is gone by now is neither.
    """
    good: list[Segment] = []
    damages: list[Damage] = []
    for path in paths:
        segment, found = examine(path, fingerprint, good[0] if good else None)
        if segment is not None and good and not agree(segment, good[0]):
            reason = f"its model saw the probe clip otherwise than that of {good[0].path.name}"
            found.append(Damage(path, "probe", reason))
        damages += found
        good += [segment] if segment is not None and not found else []
        if step is not None:
            step()
    return good, damages


def examine(path: Place, fingerprint: str, oldest: Segment | None = None) -> tuple[Segment | None, list[Damage]]:
    """Read one segment whole.

    Args:
        path: The file.
        fingerprint: Of the folder it lies in.
        oldest: The folder's oldest good segment, which the others have to fit.

    Returns:
        The segment, None where it can't be opened or is gone by now, and what is wrong with it.
    """
    try:
        return _examine(path, fingerprint, oldest)
    except (FileNotFoundError, SegmentGoneError):
        return None, []
    except OSError as error:
        if error.errno == errno.EINVAL:  # no regular file
            return None, [Damage(path, "form", f"the file can't be read ({reason_of(error)})")]
        return None, [Damage(path, UNREAD, f"the file can't be read ({reason_of(error)}); check the disk")]


def _examine(path: Place, fingerprint: str, oldest: Segment | None) -> tuple[Segment | None, list[Damage]]:
    file = path if isinstance(path, Path) else path.with_bytes()
    named, found = sha256_in_name(path), sha256_of(file)
    damages = []
    if named is None:
        damages.append(Damage(path, "name", "its name is not that of a segment, so its bytes can't be checked"))
    elif named != found:
        damages.append(Damage(path, "bytes", f"its bytes changed since it was written (SHA-256 {found[:12]}...)"))
    try:
        segment = open_segment(file)
    except SegmentGoneError:
        raise
    except CacheError as error:
        return None, [*damages, Damage(path, "form", " ".join(str(error.__cause__ or error).split()))]
    inner = _inner_damages(segment, fingerprint, oldest or segment)
    return replace(segment, path=path), [*damages, *(replace(damage, path=path) for damage in inner)]


def _inner_damages(segment: Segment, fingerprint: str, oldest: Segment) -> Iterator[Damage]:
    path, record = segment.path, segment.provenance.record
    if fingerprint_of(record.details) != record.fingerprint:
        yield Damage(path, "spec", f"its spec does not give its fingerprint {record.fingerprint}")
    if reason := misfit(segment, oldest, fingerprint):
        yield Damage(path, "place", f"it does not fit its folder: {reason}")
    for key, count in Counter(segment.keys).items():
        if count > 1 or not key:
            yield Damage(path, "key", f"{count} videos have the key {key!r}", key)
    yield from _bad_features(segment)


def _bad_features(segment: Segment) -> Iterator[Damage]:
    """Read all videos at once; where that fails, one after the other."""
    try:
        read_videos(segment, range(len(segment.keys)))
    except CacheError:
        for position, key in enumerate(segment.keys):
            try:
                read_videos(segment, [position])
            except SegmentGoneError:
                raise
            except CacheError as error:
                cause = error.__cause__ or error
                told = reason_of(cause) if isinstance(cause, Exception) else str(cause)
                reason = told if isinstance(cause, VideoError) else f"can't be read ({told})"
                yield Damage(segment.path, "features", reason, key, int(segment.offsets[position]))


def _quarantine(root: Place, path: Place) -> Place | None:
    """Move a file out of its folder by a rename, so that it is in one place or the other; None if it is gone.

    A remote one is copied and then removed; after a kill between the two it is in both, and the next repair goes on.
    Nothing that lies there from before is replaced.
    """
    folder = root / QUARANTINE / path.parent.name
    try:
        for place in (root / QUARANTINE, folder):
            refuse_link(place)
        make_folders(folder)
        names = itertools.chain([path.name], (f"{path.name}.{number}" for number in itertools.count(1)))
        target = next(folder / name for name in names if not (folder / name).exists())
        _move(path, target)
        for changed in (folder, path.parent):
            sync_folder(changed)
    except FileNotFoundError:  # another repair moved it, or its candidate was dropped
        return None
    except OSError as error:
        raise not_writable(path, error) from error
    return target


def _move(path: Place, target: Place) -> None:
    if isinstance(path, Path) and isinstance(target, Path):
        path.replace(target)
    elif not (isinstance(path, Path) or isinstance(target, Path)):
        path.copy_to(target)
        path.unlink()


def sweep_cache(root: Place) -> int:
    """Remove what killed processes left anywhere in a cache; return how many temporary files there were.

    Raises:
        CacheError: a folder can't be read, or what was dropped can't be deleted.
    """
    delete_dropped(root)
    folders = [folder for found in candidate_folders(root).values() for folder in found]
    return sum(map(sweep_temporaries, [root, *folders])) + _sweep_node_marks(root)


def _sweep_node_marks(root: Place) -> int:
    """Remove the marks of runs on a cluster that were killed while they looked at its nodes."""
    past, removed = time.time_ns() - _NODE_MARK_NS, 0
    with contextlib.suppress(OSError):  # there is no such folder, or it is not ours to remove from
        entries: list[Place] = [*root.iterdir()]
        for entry in entries:
            if _NODE_MARK.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime_ns < past:
                entry.unlink(missing_ok=True)
                removed += 1
    return removed
