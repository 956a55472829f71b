"""Arrays by name out of npz, npy, MATLAB and HDF5 files of strangers: nothing is unpickled, no link is followed."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.apart import read_apart
from vqa.cache.folder import reason_of
from vqa.copies import temporary_folder
from vqa.errors import TableError

MAX_BYTES = 8 << 30
"""Of all arrays of a file, unpacked: a small file may claim any size."""
MAX_SECONDS = 600
"""Of reading one that is read in a process of its own."""


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
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise TableError(f"{file}: is a pipe or a device; name a file")
    try:
        return _READERS[file.suffix.lower()](file)
    except FileNotFoundError as error:
        raise TableError(f"{file}: there is no such file; check the path") from error
    except FAULTS as error:
        raise TableError(f"{file}: can't be read ({reason_of(error)}); check the file, or save it again") from error


def named_arrays(found: Mapping[str, Any]) -> NamedArrays:
    """Tell arrays of numbers and text from whatever else a file holds."""
    arrays, unusable = dict[str, NDArray[Any]](), dict[str, str]()
    for name, value in found.items():
        if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "fiuUS":
            arrays[name] = value
        else:
            unusable[name] = value if isinstance(value, str) else _kind(value)
    return NamedArrays(arrays, unusable)


FAULTS = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, NotImplementedError, OverflowError),
    *(MemoryError, AttributeError, SyntaxError, struct.error, zlib.error, zipfile.BadZipFile, TokenError),
)
"""What the libraries raise for damaged files."""


def _kind(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return "a single value" if value.ndim == 0 else f"of type {'struct' if value.dtype.names else value.dtype}"


def check_size(size: int, max_bytes: int) -> None:
    """Refuse what is too large once it is unpacked.

    Raises:
        ValueError: it is.
    """
    if size > max_bytes:
        raise ValueError(f"{size} bytes unpacked, more than {max_bytes}")


def _read_npz(file: Path) -> NamedArrays:
    with zipfile.ZipFile(file) as archive:
        check_size(sum(member.file_size for member in archive.infolist()), MAX_BYTES)
    found: dict[str, Any] = {}
    with np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            try:
                found[name] = arrays[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                found[name] = "of Python objects, which are never unpickled"
    return named_arrays(found)


def _read_npy(file: Path) -> NamedArrays:
    return named_arrays({"matrix": np.lib.format.open_memmap(file, mode="r")})


def _read_apart(file: Path) -> NamedArrays:
    """Read MATLAB and HDF5 in a process of its own: damaged files crash SciPy's reader, and can hold HDF5 for ever.

    file -> process: arrays into a temporary npz file, the name and kind of each to stdout -> here
    """
    file.open("rb").close()
    with temporary_folder() as folder:
        target = folder / "arrays.npz"
        told = read_apart(_READER, str(file.absolute()), str(target), str(MAX_BYTES), seconds=MAX_SECONDS)
        unusable: dict[str, str]
        names, unusable = json.loads(told)
        with np.load(target, allow_pickle=False) as arrays:
            return NamedArrays({name: arrays[str(number)] for number, name in enumerate(names)}, unusable)


def plain_text(value: Any) -> str:
    """Return a value as text: a whole number without a fraction, since ids are often stored as floats."""
    if isinstance(value, np.floating | float) and float(value).is_integer():
        return str(int(value))
    return str(value)


_READER = "vqa.cache.arrayreader"
_READERS: dict[str, Callable[[Path], NamedArrays]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".mat": _read_apart,
    ".h5": _read_apart,
    ".hdf5": _read_apart,
}
ARRAY_SUFFIXES = tuple(_READERS)
