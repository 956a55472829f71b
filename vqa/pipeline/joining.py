"""Rows of a table joined with a dataset's videos: by id, never by position; MOS in both have to agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.errors import TableError
from vqa.files import look_alike, without_video_suffix

_MOS_TOLERANCE = 1e-3
"""Of the range of the dataset's MOS: labels are published rounded, each copy to its own number of digits."""
_LIKE_MOS = 0.95
"""Absolute correlation with the MOS that no feature of a video reaches, but other ratings of it do."""
_ENOUGH_ROWS = 10
"""Below, numbers may be that close by chance."""
_ANOTHER_SCALE = 0.01
"""Of the range: how far scores may lie from a straight line that turns one scale into the other."""


@dataclass(frozen=True)
class Joined:
    """Which row of a table belongs to which video of a dataset."""

    rows: Mapping[str, int]
    """Row of each video that has one, by the dataset's id."""
    unknown: tuple[str, ...]
    """Ids of the table that the dataset does not have."""
    without: tuple[str, ...]
    """Ids of the dataset that the table does not have."""


def join_ids(table: Sequence[str], dataset: Sequence[str]) -> Joined:
    """Find the video of each row.

    Ids are alike with or without the suffix of a video, and in whatever Unicode form. What has no such match is matched
    by the end of its path, in one direction or the other: `725` and `batch1/725`.

    Raises:
        TableError: an id fits several videos, or two fit one.
    """
    exact = _Index(dataset, ends=False)
    matches = {row: match for row, video in enumerate(table) if (match := exact.find(video)) is not None}
    taken = set(matches.values())
    loose = _Index([video for video in dataset if video not in taken], ends=True)
    for row, video in enumerate(table):
        if row not in matches and (match := loose.find(video)) is not None:
            matches[row] = match
    rows: dict[str, int] = {}
    for row, match in sorted(matches.items()):
        if rows.setdefault(match, row) != row:
            raise TableError(
                f"ids {table[rows[match]]!r} and {table[row]!r} are both {match!r}"
                f"{_forms(table[rows[match]], table[row])}; keep one of them"
            )
    unknown = tuple(video for row, video in enumerate(table) if row not in matches)
    return Joined(rows, unknown, tuple(video for video in dataset if video not in rows))


class _Index:
    """Finds a dataset's id by an id without its suffix; with `ends` by the end of its path, in either direction."""

    def __init__(self, dataset: Sequence[str], *, ends: bool) -> None:
        self._ends = ends
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        self._by_end: defaultdict[str, list[str]] = defaultdict(list)
        for video in dataset:
            stem = without_video_suffix(video)
            self._by_stem[stem].append(video)
            for end in _ends(stem) if ends else ():
                self._by_end[end].append(video)

    def find(self, video: str) -> str | None:
        stem = without_video_suffix(video)
        found = list(self._by_stem.get(stem, ()))
        if self._ends:
            found += self._by_end.get(stem, ())
            found += [match for end in _ends(stem) for match in self._by_stem.get(end, ())]
        if len(found) > 1:
            raise TableError(
                f"id {video!r} fits both {found[0]!r} and {found[1]!r}{_forms(found[0], found[1])}; "
                "write more of its path"
            )
        return found[0] if found else None


def _forms(one: str, other: str) -> str:
    return ", which look alike and differ in their Unicode form" if look_alike(one, other) else ""


def _ends(path: str) -> Iterator[str]:
    """Yield the ends of a path, without the path itself: a/b/c -> b/c, c."""
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def check_mos(ids: Sequence[str], table: NDArray[np.float64], dataset: NDArray[np.float64]) -> None:
    """Refuse a table whose MOS are not the dataset's: the features may then belong to other videos.

    Args:
        ids: The N videos that both know.
        table: The table's MOS of these, shape (N,); NaN where it has none.
        dataset: The dataset's, shape (N,); NaN where it has none.

    Raises:
        TableError: some differ by more than a thousandth of the range.
    """
    both = np.isfinite(table) & np.isfinite(dataset)
    if not both.any():
        return
    left, right = table[both], dataset[both]
    wrong = np.abs(left - right) > _MOS_TOLERANCE * max(float(np.ptp(right)), 1e-9)
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    names = [video for video, known in zip(ids, both, strict=True) if known]
    told = (
        f"{int(wrong.sum())} of {len(left)} MOS are not those of the dataset's labels ({names[first]}: {left[first]:g} "
        f"and {right[first]:g}; correlation {_correlation(left, right):.3f})"
    )
    if _is_rescaled(left, right):
        raise TableError(f"{told}; they are on another scale: use --mos-column '' to leave them aside")
    raise TableError(f"{told}; the rows look shuffled: check which id belongs to which row")


def _is_rescaled(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Return whether two lists of scores differ by a scale alone, rounding aside."""
    if len(left) < _ENOUGH_ROWS or np.ptp(left) == 0:
        return False
    slope, offset = np.polyfit(left, right, 1)
    return bool(slope > 0 and np.abs(slope * left + offset - right).max() < _ANOTHER_SCALE * np.ptp(right))


def columns_like_mos(values: NDArray[np.float32], mos: NDArray[np.float64]) -> int:
    """Return how many features are so close to the MOS that they are likely ratings themselves.

    Args:
        values: Shape (N, D); NaN marks a missing cell.
        mos: Shape (N,); NaN for a video that has none.
    """
    known = np.isfinite(mos)
    if known.sum() < _ENOUGH_ROWS or np.ptp(mos[known]) == 0:
        return 0
    columns = np.ma.masked_invalid(values[known].astype(np.float64))
    centred = (columns - columns.mean(axis=0)).filled(0.0)
    target = mos[known] - mos[known].mean()
    lengths = np.linalg.norm(centred, axis=0) * np.linalg.norm(target)
    likeness = np.divide(np.abs(target @ centred), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return int((likeness > _LIKE_MOS).sum())


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
