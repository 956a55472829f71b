"""Arrays out of HDF5 files of strangers, MATLAB's 7.3 among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_MATLAB = "MATLAB_class"
_HIDDEN = "#"
"""MATLAB keeps what cells refer to under such names."""


def read_hdf5(file: Path, *, max_bytes: int) -> dict[str, Any]:
    """Return each dataset by its path in the file: an array, or text that says why it can't be used.

    Links to other places and files are not followed, and a dataset whose values lie in another file is not read.
    MATLAB stores its columns as rows; they are turned back.

    Raises:
        OSError, ValueError, RuntimeError, LookupError, TypeError: the file is damaged, or holds more than `max_bytes`.
    """
    found: dict[str, Any] = {}
    with h5py.File(file, "r", locking=False) as content:
        datasets = _datasets(content)
        claimed = sum(dataset.nbytes for dataset in datasets.values())
        if claimed > max_bytes:
            raise ValueError(f"{claimed} bytes unpacked, more than {max_bytes}")
        for name, dataset in datasets.items():
            if not name.startswith(_HIDDEN):
                found[name] = _value(content, dataset)
    return found


def _datasets(content: h5py.File) -> dict[str, h5py.Dataset]:
    """Return all datasets that are here by themselves; `visititems` follows no soft or external link."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    content.visititems(note)
    return found


def _value(content: h5py.File, dataset: h5py.Dataset) -> Any:
    if lies_elsewhere(dataset):
        return "kept in another file"
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.array(dataset.asstr()[()], dtype=str)
    kind = _matlab_class(dataset)
    if kind == "cell" and h5py.check_ref_dtype(dataset.dtype) is not None:
        return _cells(content, dataset)
    if dataset.dtype.kind not in "fiu":
        return f"of type {dataset.dtype}"
    values: NDArray[Any] = dataset[()]
    if kind == "char":
        return np.array(_rows_of_text(values), dtype=str)
    return values.T if kind else values


def lies_elsewhere(dataset: h5py.Dataset) -> bool:
    """Return whether a dataset's values are kept in another file."""
    return bool(dataset.is_virtual or dataset.external)


def _matlab_class(dataset: h5py.Dataset) -> str:
    """Return MATLAB's name of a variable's type, empty in files of others."""
    kind = dataset.attrs.get(_MATLAB, b"")
    return kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)


def _cells(content: h5py.File, dataset: h5py.Dataset) -> Any:
    """Return a cell array of texts; each cell is a reference to a dataset of character codes in the same file."""
    texts = []
    for reference in dataset[()].ravel():
        cell = content[reference]
        if not isinstance(cell, h5py.Dataset) or lies_elsewhere(cell) or _matlab_class(cell) != "char":
            return "cells of something else than text"
        rows = [""] if "MATLAB_empty" in cell.attrs else _rows_of_text(cell[()])
        if len(rows) != 1:
            return "cells of more than one text each"
        texts += rows
    return np.array(texts, dtype=str)


def _rows_of_text(codes: NDArray[Any]) -> list[str]:
    """Return the rows of a matrix of UTF-16 codes, which lies transposed."""
    rows = np.ascontiguousarray(np.atleast_2d(codes).T, dtype="<u2")
    return [row.tobytes().decode("utf-16-le") for row in rows]
