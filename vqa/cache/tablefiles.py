"""A table of features out of a file: ids, feature sets, and maybe MOS, groups and splits, checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.cache.arrayfiles import ARRAY_SUFFIXES, NamedArrays, plain_text, read_arrays
from vqa.cache.csvfiles import CSV_SUFFIXES, PLAIN_SET, read_csv, read_id_list
from vqa.cache.key import MAX_KEY_BYTES, id_key
from vqa.cache.tablenames import SET_PREFIX, TableNames, listing, set_name
from vqa.errors import TableError
from vqa.files import look_alike, without_video_suffix

__all__ = ["FeatureFile", "RatedIds", "TableNames", "read_feature_file"]

_WHAT = ("id", "mos", "group", "split")
_SPLITS = ("train", "val", "test")
_NO_NAME = re.compile(r"[^\w.:@+/=,-]")
"""What is replaced in the names of feature sets, which are typed on command lines."""
MAT_SET_NAMES = "set_names"
"""MATLAB names are short and plain: where this array is there, it names the sets set_1, set_2, ..."""


@dataclass(frozen=True, eq=False)
class RatedIds:
    """The N rows of a table, without their features."""

    ids: tuple[str, ...]
    """Each once, also without the suffix of a video."""
    mos: NDArray[np.float64] | None
    """Shape (N,); NaN for a row that has none."""
    groups: tuple[str, ...] | None
    splits: tuple[str, ...] | None
    """`train`, `val` or `test`."""


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """A table of features as a file holds it."""

    rated: RatedIds
    sets: Mapping[str, NDArray[np.float32]]
    """By name, shape (N, D); NaN marks a missing cell: one that is not finite in float32."""
    several: bool
    """Whether the file holds more than one set, whichever are taken."""
    left_aside: tuple[str, ...]
    """Arrays or columns that are not taken."""


def read_feature_file(file: Path, names: TableNames, *, ids_file: Path | None = None) -> FeatureFile:
    """Read a table of features.

    Args:
        file: `.npz`, `.npy`, `.csv`, `.tsv`, `.mat`, `.h5` or `.hdf5`.
        names: Which arrays or columns hold what.
        ids_file: One id a line, or a CSV file with a column of ids and maybe MOS, groups and splits, in the order of
            the rows; for a file without ids of its own.

    Raises:
        TableError: the file can't be read, or its rows and ids do not agree.
    """
    content = _read(file, names)
    rated, used = _rated_ids(file, content, names, ids_file)
    chosen, several = _choose(file, content, names, used)
    rows = len(rated.ids)
    sets: dict[str, NDArray[np.float32]] = {}
    for array in chosen:
        name = _NO_NAME.sub("_", set_name(_own_names(content).get(array, array))) or "_"
        if name in sets:
            raise TableError(f"{file}: two of its arrays would both be called {name!r}; rename one")
        sets[name] = _matrix(file, array, content.arrays[array], rows)
    aside = [name for name in (*content.arrays, *content.unusable) if name not in {*used, *chosen, MAT_SET_NAMES}]
    return FeatureFile(rated, sets, several, tuple(aside))


def _read(file: Path, names: TableNames) -> NamedArrays:
    suffix = file.suffix.lower()
    if suffix in CSV_SUFFIXES:
        return read_csv(file, names)
    if suffix in ARRAY_SUFFIXES:
        return read_arrays(file)
    known = ", ".join((*ARRAY_SUFFIXES, *CSV_SUFFIXES))
    raise TableError(f"{file}: is of no known kind; name a file that ends in one of {known}")


def _rated_ids(
    file: Path, content: NamedArrays, names: TableNames, ids_file: Path | None
) -> tuple[RatedIds, frozenset[str]]:
    """Return the file's rows, and the names of the arrays they were read from."""
    everything = (*content.arrays, *content.unusable)
    vectors = [name for name in everything if name in content.unusable or _is_vector(content.arrays[name])]
    found = {what: names.find(what, everything if getattr(names, what) else vectors, file) for what in _WHAT}
    used = frozenset(name for name in found.values() if name is not None)
    for name in used & content.unusable.keys():
        raise TableError(f"{file}: {name!r} is {content.unusable[name]}; save it as an array of text or numbers")
    arrays = {what: None if name is None else content.arrays[name] for what, name in found.items()}
    given = None if ids_file is None else _read_ids_file(ids_file, names)
    if arrays["id"] is None:
        if given is None:
            raise TableError(
                f"{file}: holds no ids, but {listing(everything)}; name them with --id-column, or a file with --ids"
            )
        return given, used
    rated = _rated(file, arrays)
    if given is not None and given.ids != rated.ids:
        raise TableError(f"{file}: its own ids are not those of {ids_file}, or in another order; leave out --ids")
    return rated if given is None or given.mos is None else given, used


def _read_ids_file(file: Path, names: TableNames) -> RatedIds:
    ids = read_id_list(file)
    if ids is not None:
        return _rated(file, {"id": np.array(ids, dtype=str)})
    content = read_csv(file, names)
    found = {what: names.find(what, content.arrays, file) for what in _WHAT}
    if found["id"] is None:
        raise TableError(f"{file}: has no column known to hold ids; name it with --id-column")
    return _rated(file, {what: content.arrays[name] for what, name in found.items() if name is not None})


def _rated(file: Path, arrays: Mapping[str, NDArray[Any] | None]) -> RatedIds:
    """Check ids, MOS, groups and splits, each one value a row."""
    lists = {what: _vector(file, what, array) for what, array in arrays.items() if array is not None}
    ids = [plain_text(value).strip() for value in _texts(lists["id"])]
    _check_ids(file, ids)
    for what, values in lists.items():
        if len(values) != len(ids):
            raise TableError(f"{file}: has {len(ids)} ids, but {len(values)} rows of {what}; they must agree")
    groups = [plain_text(value).strip() for value in _texts(lists["group"])] if "group" in lists else []
    splits = [str(value).strip().casefold() for value in _texts(lists["split"])] if "split" in lists else []
    mos = lists.get("mos")
    if mos is not None and mos.dtype.kind not in "fiu":
        raise TableError(f"{file}: its MOS are of type {mos.dtype}, no numbers; name others with --mos-column")
    scores = None if mos is None else np.where(np.isfinite(mos), mos, np.nan).astype(np.float64)
    _check_splits(file, splits, scores)
    return RatedIds(tuple(ids), scores, tuple(groups) or None, tuple(splits) or None)


def _vector(file: Path, what: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array with one value a row as one of one dimension; MATLAB knows no other than two."""
    if not _is_vector(array):
        raise TableError(f"{file}: its {what} has shape {array.shape}, not one value for each video; name another")
    return array.ravel()


def _check_splits(file: Path, splits: Sequence[str], mos: NDArray[np.float64] | None) -> None:
    for row, split in enumerate(splits):
        is_rated = mos is not None and bool(np.isfinite(mos[row]))
        if split not in _SPLITS and (split or is_rated):
            raise TableError(
                f"{file}: a split is {split!r}, not train, val or test; correct it, or use --split-column ''"
            )


def _is_vector(array: NDArray[Any]) -> bool:
    return bool(array.size == max(array.shape))


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _check_ids(file: Path, ids: Sequence[str]) -> None:
    owners: dict[str, str] = {}
    for row, video in enumerate(ids, start=1):
        if not video or not video.isprintable():
            raise TableError(f"{file}: the id of row {row} is {video!r}; every row needs one of printable text")
        if len(id_key(video).encode()) > MAX_KEY_BYTES:
            raise TableError(f"{file}: the id of row {row} is longer than {MAX_KEY_BYTES - 3} bytes; shorten it")
        stem = without_video_suffix(video)
        if owners.get(stem) == video:
            raise TableError(f"{file}: id {video!r} stands twice; keep one row for each video")
        if stem in owners:
            told = "Unicode form" if look_alike(owners[stem], video) else "suffix"
            raise TableError(f"{file}: {owners[stem]!r} and {video!r} differ in their {told} alone; keep one of them")
        owners[stem] = video


def _choose(file: Path, content: NamedArrays, names: TableNames, used: frozenset[str]) -> tuple[list[str], bool]:
    """Return the names of the arrays to take, and whether the file holds several that can be taken."""
    free = {name: array for name, array in content.arrays.items() if name not in used}
    own = _own_names(content)
    plain = [name for name in free if name.startswith(SET_PREFIX)] or list(own)
    if not plain:
        plain = [name for name, array in free.items() if array.ndim == 2 and _is_matrix(array)]
    chosen = plain
    if names.matrices and file.suffix.lower() in CSV_SUFFIXES:
        chosen = [name for name in plain if names.wants(name) or set_name(name) == PLAIN_SET]
    elif names.matrices:
        known = {own.get(name, name): name for name in (*free, *content.unusable)}
        names.require_matches(known, file)
        chosen = [name for text, name in known.items() if names.wants(text)]
    for name in chosen:
        if name in content.unusable:
            raise TableError(f"{file}: {name!r} is {content.unusable[name]}; save it as a matrix of numbers")
    if not chosen:
        known_names = listing(f"{name} {array.shape}" for name, array in content.arrays.items())
        raise TableError(f"{file}: holds no matrix of numbers, but {known_names}; name one with --matrix")
    return chosen, len({*plain, *chosen}) > 1


def _is_matrix(array: NDArray[Any]) -> bool:
    """Return whether an array is taken unasked: one column alone may be another rating, so it is not."""
    return array.dtype.kind == "f" and array.shape[1] > 1 and array.shape[0] > 1


def _own_names(content: NamedArrays) -> dict[str, str]:
    """Return the sets' own names by array, where our own MATLAB export wrote them."""
    texts = content.arrays.get(MAT_SET_NAMES)
    if texts is None or texts.dtype.kind != "U":
        return {}
    arrays = {f"set_{number}": str(name) for number, name in enumerate(texts.ravel(), start=1)}
    return {array: name for array, name in arrays.items() if array in content.arrays}


def _matrix(file: Path, name: str, array: NDArray[Any], rows: int) -> NDArray[np.float32]:
    """Return a feature set, with NaN for what is not finite in float32."""
    matrix = array[:, None] if array.ndim == 1 else array
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or 0 in matrix.shape:
        raise TableError(f"{file}: {name!r} is {array.dtype} of shape {array.shape}, no matrix of numbers")
    if len(matrix) != rows:
        turned = "turn it round, a row for each video" if matrix.shape[1] == rows else "rows must agree"
        raise TableError(
            f"{file}: {name!r} has {len(matrix)} rows, but there are {rows} ids; {turned}, or take others with --matrix"
        )
    with np.errstate(over="ignore"):
        values = np.array(matrix, dtype=np.float32)
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        raise TableError(f"{file}: {name!r} holds no finite value at all; leave it out with --matrix")
    return values
