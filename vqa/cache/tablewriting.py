"""A table of features into a file: npz, csv or MATLAB."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.io.matlab import MatWriteError

from vqa.cache.tablefiles import MAT_SET_NAMES, RatedIds
from vqa.cache.tablenames import SET_PREFIX
from vqa.errors import TableError
from vqa.escaping import for_csv
from vqa.files import written_whole

Sets = Mapping[str, NDArray[np.float32]]


def check_target(file: Path) -> None:
    """Refuse a file of no kind that can be written.

    Raises:
        TableError: its suffix is another.
    """
    if file.suffix.lower() not in _WRITERS:
        raise TableError(f"{file}: can't be written as a table; name a file that ends in {', '.join(_WRITERS)}")


def write_feature_file(file: Path, rated: RatedIds, sets: Sets) -> None:
    """Write a table of features, whole or not at all; `read_feature_file` gives the same back bit for bit.

    Args:
        file: `.npz`, `.csv` or `.mat`; an older one is replaced.
        rated: The N rows.
        sets: By name, shape (N, D); NaN marks a missing cell.

    Raises:
        TableError: the file's kind can't be written, or can't hold so much.
        OSError: the file can't be written.
    """
    check_target(file)
    with written_whole(file) as temporary:
        try:
            _WRITERS[file.suffix.lower()](temporary, rated, sets)
        except (MatWriteError, ValueError, OverflowError) as error:
            raise TableError(f"{file}: can't hold this table ({error}); export to npz, or fewer models") from error


def _write_npz(file: Path, rated: RatedIds, sets: Sets) -> None:
    arrays: dict[str, Any] = {name: np.array(values) for name, values in _columns(rated).items()}
    arrays |= {SET_PREFIX + name: values for name, values in sets.items()}
    with file.open("wb") as stream:
        np.savez(stream, **arrays)


def _write_mat(file: Path, rated: RatedIds, sets: Sets) -> None:
    """Write cell arrays of text; the sets are called set_1, set_2, ..., since MATLAB allows no longer names."""
    content: dict[str, Any] = {}
    for name, values in _columns(rated).items():
        content[name] = np.array(values)[:, None] if name == "mos" else _cells(values)
    content[MAT_SET_NAMES] = _cells(tuple(sets))
    content |= {f"set_{number}": values for number, values in enumerate(sets.values(), start=1)}
    scipy.io.savemat(str(file), content, appendmat=False)


def _cells(texts: tuple[Any, ...]) -> NDArray[np.object_]:
    cells = np.empty((len(texts), 1), dtype=object)
    cells[:, 0] = texts
    return cells


def _write_csv(file: Path, rated: RatedIds, sets: Sets) -> None:
    """Write numbers with all their digits and missing cells empty; text is quoted and guarded."""
    columns = _columns(rated)
    header = [*columns, *(f"{name}/{place}" for name, values in sets.items() for place in range(values.shape[1]))]
    joined = np.concatenate([np.empty((len(rated.ids), 0), np.float32), *sets.values()], axis=1)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(map(for_csv, header))
        for cells, numbers in zip(zip(*columns.values(), strict=True), joined, strict=True):
            writer.writerow(["" if _is_missing(cell) else for_csv(cell) for cell in (*cells, *numbers.tolist())])


def _is_missing(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _columns(rated: RatedIds) -> dict[str, tuple[Any, ...]]:
    """Return what is known of each row, by the name it is written under."""
    columns: dict[str, tuple[Any, ...]] = {"ids": rated.ids}
    columns |= {} if rated.mos is None else {"mos": tuple(rated.mos.tolist())}
    columns |= {} if rated.groups is None else {"group": rated.groups}
    columns |= {} if rated.splits is None else {"split": rated.splits}
    return columns


_WRITERS: dict[str, Callable[[Path, RatedIds, Sets], None]] = {
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".mat": _write_mat,
}
TABLE_SUFFIXES = tuple(_WRITERS)
"""Of the kinds that can be written."""
