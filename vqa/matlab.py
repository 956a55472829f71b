"""MATLAB files as columns of text: variables, and the fields of structs by their dotted names.

What counts as a column is a vector of numbers, a cell array of names or numbers, a char matrix (one name a row), or one
field of a struct array. Anything else in the file, such as a matrix, is passed over.
"""

from __future__ import annotations

import json
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.apart import UnreadableError, hold_reader, read_apart
from vqa.errors import LabelsError
from vqa.matsize import unpacked_bytes

Hdf5Reader = Callable[[Path], dict[str, list[str]]]
"""Gives the columns of a MATLAB 7.3 file, which is HDF5, as `columns_of` finds them."""

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATLAB_HEADER = 512
"""MATLAB puts its own header of so many bytes before HDF5's signature."""
_DEEPEST = 8
_MOST_BYTES = 256 << 20
"""Of a file of labels, unpacked: LIVE-VQC's takes 1.5 MB, LSVQ's would take 10."""
MOST_SECONDS = 120
READER_BYTES = 2 << 30
"""What reading a file of labels may take: its columns become text."""
_EXACT = 2**53
"""Below this every whole number is one float64."""


def is_matlab(file: Path) -> bool:
    """Return whether a file is MATLAB's, by its first bytes; files of MATLAB 4, which have no mark, by their suffix."""
    head = _head(file)
    return head.startswith(b"MATLAB") or _is_hdf5(head) or file.suffix.lower() == ".mat"


def read_matlab_columns(file: Path, read_hdf5: Hdf5Reader | None = None) -> dict[str, list[str]]:
    """Read the columns of a MATLAB file.

    Args:
        file: Of any version of MATLAB.
        read_hdf5: Reads files of MATLAB 7.3; they are refused without it.

    Returns:
        For each variable or dotted field that is a column, its values as text, whole numbers without a point.

    Raises:
        LabelsError: the file can't be read, or holds no column.
    """
    if not _is_hdf5(_head(file)):
        columns = _read_apart(file)
    elif read_hdf5 is not None:
        columns = read_hdf5(file)
    else:
        raise LabelsError(f"{file}: is a MATLAB 7.3 file; save it with `save(name, '-v7')`, or as CSV")
    if not columns:
        raise LabelsError(
            f"{file}: holds no column of names or scores (MATLAB's tables and string arrays can't be read); "
            "save it as a struct or cell array, or as CSV"
        )
    return columns


def _head(file: Path) -> bytes:
    """Return the first bytes of a file, none of a file that can't be read: its reader will say so."""
    if file.exists() and not file.is_file():  # a pipe would wait for ever
        return b""
    try:
        with file.open("rb") as stream:
            return stream.read(_MATLAB_HEADER + len(_HDF5_SIGNATURE))
    except OSError:
        return b""


def _is_hdf5(head: bytes) -> bool:
    return _HDF5_SIGNATURE in (head[: len(_HDF5_SIGNATURE)], head[_MATLAB_HEADER:])


def _read_apart(file: Path) -> dict[str, list[str]]:
    """Read a file of MATLAB 4 to 7.2 in a process of its own: damaged ones can crash SciPy's reader."""
    try:
        unpacked = unpacked_bytes(file, limit=_MOST_BYTES)
    except OSError as error:
        raise LabelsError(f"{file}: the labels can't be read ({error.strerror}); check the path") from error
    except zlib.error:
        unpacked = 0  # a damaged file: its reader will say so
    if unpacked > _MOST_BYTES:
        raise LabelsError(
            f"{file}: holds more than {_MOST_BYTES >> 20} MB once unpacked, too much for labels; "
            "save ids and scores alone, or as CSV"
        )
    try:
        columns: dict[str, list[str]] = json.loads(read_apart(__name__, str(file.absolute()), seconds=MOST_SECONDS))
    except UnreadableError as error:
        raise LabelsError(f"{file}: is no MATLAB file that can be read ({error}); save it again, or as CSV") from error
    return columns


def _main(file: str) -> None:
    """Write a file's columns to stdout as JSON; nothing in the file is run or unpickled."""
    from scipy.io import loadmat

    hold_reader(memory_bytes=READER_BYTES, seconds=MOST_SECONDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of variables that SciPy can't read: they become no columns
        variables = loadmat(file)
    named = {name: value for name, value in variables.items() if not name.startswith("__")}
    json.dump(columns_of(named), sys.stdout)


def columns_of(variables: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what is a column among variables: arrays as SciPy gives them, structs as arrays or mappings."""
    return dict(_columns("", variables, _DEEPEST))


def _columns(name: str, value: Any, depth: int) -> Iterator[tuple[str, list[str]]]:
    """Yield what is a column in a variable, a struct or a struct array."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        value = {field: value[field] if value.size > 1 else _only(value[field]) for field in value.dtype.names}
    if isinstance(value, Mapping):
        for field, inner in value.items() if depth else ():
            yield from _columns(f"{name}.{field}" if name else field, inner, depth - 1)
    elif isinstance(value, np.ndarray):
        cells = _cells(value)
        if cells:
            yield name, cells


def _only(values: NDArray[Any]) -> Any:
    return values.flat[0] if values.size else None


def _cells(values: NDArray[Any]) -> list[str] | None:
    """Return the text of each value of a vector, None for what is no vector of names or numbers."""
    if sum(length > 1 for length in values.shape) > 1:
        return None
    cells = [_cell(value) for value in values.ravel().tolist()]
    return None if None in cells else [cell for cell in cells if cell is not None]


def _cell(value: Any) -> str | None:
    """Return a name or number as text, None for anything else; what is empty is a blank cell."""
    for _ in range(_DEEPEST):  # cells in cells
        if not isinstance(value, np.ndarray) or value.dtype.names or value.size > 1:
            break
        value = value.ravel().tolist()[0] if value.size else ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float):
        whole = float(value).is_integer() and abs(value) < _EXACT
        return str(int(value)) if whole else repr(value)
    return None


if __name__ == "__main__":
    _main(sys.argv[1])
