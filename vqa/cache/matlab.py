"""Variables of a MATLAB 7.3 file, which is HDF5: here, since only the cache reads HDF5."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vqa.apart import UnreadableError, hold_reader, read_apart
from vqa.cache.folder import reason_of
from vqa.cache.hdf5files import lies_elsewhere
from vqa.errors import LabelsError
from vqa.matlab import MOST_SECONDS, READER_BYTES, columns_of

_DEEPEST = 8
_MOST_VALUES = 10_000_000
_LONGEST_NAME = 4096


def read_matlab_hdf5(file: Path) -> dict[str, list[str]]:
    """Read the columns of a MATLAB 7.3 file in a process of its own: a damaged one can hold HDF5 for ever.

    Links that leave the file are never followed.

    Returns:
        As `vqa.matlab.columns_of`.

    Raises:
        LabelsError: the file can't be read.
    """
    try:
        columns: dict[str, list[str]] = json.loads(read_apart(__name__, str(file.absolute()), seconds=MOST_SECONDS))
    except UnreadableError as error:
        raise LabelsError(
            f"{file}: is no MATLAB 7.3 file that can be read ({error}); save it with `save(name, '-v7')`, or as CSV"
        ) from error
    return columns


def _main(file: Path) -> None:
    """Write a file's columns to stdout as JSON."""
    hold_reader(memory_bytes=READER_BYTES, seconds=MOST_SECONDS)
    try:
        with h5py.File(file, "r", locking=False) as opened:
            json.dump(columns_of(_struct(opened, _DEEPEST)), sys.stdout)
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        sys.exit(reason_of(error))


def _struct(group: Any, depth: int) -> dict[str, Any]:
    """Read the fields of a struct, or the variables of a file; `#refs#` holds what cells refer to."""
    values: dict[str, Any] = {}
    for name in group:
        if name.startswith("#") or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            values[name] = _struct(item, depth - 1) if depth else {}
        elif _is_inside(item):
            values[name] = _cells(item) if _holds_references(item) else _plain(item)
    return values


def _holds_references(dataset: Any) -> bool:
    return h5py.check_ref_dtype(dataset.dtype) is h5py.Reference


def _cells(dataset: Any) -> NDArray[np.object_] | None:
    """Read what each reference of a cell array, or of one field of a struct array, leads to."""
    if not _is_vector(dataset):
        return None
    references = dataset[...].ravel()
    cells = np.empty(len(references), dtype=object)
    for place, reference in enumerate(references):
        target: Any = dataset.file[reference] if reference else None
        small = _is_inside(target) and target.size <= _LONGEST_NAME and not _holds_references(target)
        cells[place] = _plain(target) if small else None
    return cells


def _plain(dataset: Any) -> NDArray[Any] | None:
    """Read numbers or text, None for anything else."""
    if "MATLAB_empty" in dataset.attrs:
        return np.empty(0)
    if dataset.attrs.get("MATLAB_class") == b"char":
        return _texts(dataset)
    return dataset[...].ravel() if dataset.dtype.kind in "iuf" and _is_vector(dataset) else None


def _is_vector(dataset: Any) -> bool:
    return len([length for length in dataset.shape if length > 1]) <= 1


def _is_inside(item: Any) -> bool:
    """Return whether an item is a dataset of bearable size whose values lie in this file."""
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        return False
    return not lies_elsewhere(item) and item.size <= _MOST_VALUES


def _texts(dataset: Any) -> NDArray[np.str_]:
    """Read a char matrix: HDF5 holds it turned, one text in each column, as UTF-16."""
    rows = np.atleast_2d(dataset[...].T).astype("<u2")
    return np.array([row.tobytes().decode("utf-16-le", errors="replace").rstrip("\0 ") for row in rows])


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
