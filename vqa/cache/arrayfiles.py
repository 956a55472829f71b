"""Arrays by name out of npz, npy, MATLAB and HDF5 files of strangers: nothing is unpickled, no link is followed."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from vqa.cache.folder import reason_of
from vqa.cache.hdf5files import read_hdf5
from vqa.errors import TableError
from vqa.matsize import unpacked_bytes

MAX_BYTES = 8 << 30
"""Of all arrays of a file, unpacked: a small file may claim any size."""


@dataclass(frozen=True, eq=False)
class NamedArrays:
    """What a file holds."""

    arrays: Mapping[str, NDArray[Any]]
    """Numbers and text, of one dimension or more."""
    unusable: Mapping[str, str]
    """What is neither, by name, with what it is."""


def read_arrays(file: Path) -> NamedArrays:
    """Read all arrays of a file; its suffix says which kind it is.

    Args:
        file: Ends in one of `ARRAY_SUFFIXES`. The one array of an npy file is called `matrix`.

    Raises:
        TableError: the file can't be read, is damaged, or holds more than `MAX_BYTES`.
    """
    try:
        found = _READERS[file.suffix.lower()](file)
    except FileNotFoundError as error:
        raise TableError(f"{file}: there is no such file; check the path") from error
    except _FAULTS as error:
        raise TableError(f"{file}: can't be read ({reason_of(error)}); check the file, or save it again") from error
    arrays, unusable = dict[str, NDArray[Any]](), dict[str, str]()
    for name, value in found.items():
        if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "fiuUS":
            arrays[name] = value
        else:
            unusable[name] = value if isinstance(value, str) else _kind(value)
    return NamedArrays(arrays, unusable)


_FAULTS = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, NotImplementedError, OverflowError),
    *(MemoryError, AttributeError, struct.error, zlib.error, zipfile.BadZipFile, MatReadError),
)
"""What the libraries raise for damaged files."""


def _kind(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return "a single value" if value.ndim == 0 else f"of type {'struct' if value.dtype.names else value.dtype}"


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes unpacked, more than {MAX_BYTES}")


def _read_npz(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        _check_size(sum(member.file_size for member in archive.infolist()))
    found: dict[str, Any] = {}
    with np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            try:
                found[name] = arrays[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                found[name] = "of Python objects, which are never unpickled"
    return found


def _read_npy(file: Path) -> dict[str, Any]:
    return {"matrix": np.lib.format.open_memmap(file, mode="r")}


def _read_mat(file: Path) -> dict[str, Any]:
    if h5py.is_hdf5(file):
        return read_hdf5(file, max_bytes=MAX_BYTES)
    _check_size(unpacked_bytes(file, limit=MAX_BYTES))
    found = scipy.io.loadmat(file, appendmat=False)
    return {name: _text_of_cells(value) for name, value in found.items() if not name.startswith("__")}


def _text_of_cells(value: Any) -> Any:
    """Return a cell array of texts, or of numbers for ids that look like such, as an array of text."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    cells = [np.asarray(cell) for cell in value.ravel()]
    if any(cell.dtype.kind not in "Ufiu" or cell.size > 1 for cell in cells):
        return "cells of more than one text each"
    return np.array([plain_text(cell.ravel()[0]) if cell.size else "" for cell in cells], dtype=str)


def plain_text(value: Any) -> str:
    """Return a value as text: a whole number without a fraction, since ids are often stored as floats."""
    if isinstance(value, np.floating | float) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _read_hdf5(file: Path) -> dict[str, Any]:
    return read_hdf5(file, max_bytes=MAX_BYTES)


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".mat": _read_mat,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
}
ARRAY_SUFFIXES = tuple(_READERS)
