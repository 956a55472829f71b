"""What runs apart from us to read MATLAB and HDF5 files of strangers: FILE -> TARGET."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from vqa.apart import hold_reader
from vqa.cache.arrayfiles import FAULTS, MAX_BYTES, MAX_SECONDS, check_size, named_arrays, plain_text
from vqa.cache.folder import reason_of
from vqa.cache.hdf5files import read_hdf5
from vqa.matsize import unpacked_bytes

_COPIES = 3
"""An array is turned round, and written."""
_NPZ_BYTES = 1 << 20
"""Of headers."""


def _main(file: Path, target: Path, max_bytes: int) -> None:
    """Write a file's arrays into an npz file under their numbers, and to stdout their names, then what is no array."""
    hold_reader(memory_bytes=_COPIES * MAX_BYTES, seconds=MAX_SECONDS, file_bytes=MAX_BYTES + _NPZ_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variables that SciPy can't read
            found = named_arrays(_read(file, max_bytes))
        numbered: dict[str, Any] = {str(number): array for number, array in enumerate(found.arrays.values())}
        np.savez(target, **numbered)
    except (*FAULTS, MatReadError) as error:
        sys.exit(reason_of(error))
    json.dump([list(found.arrays), dict(found.unusable)], sys.stdout)


def _read(file: Path, max_bytes: int) -> dict[str, Any]:
    if file.suffix.lower() != ".mat" or h5py.is_hdf5(file):
        return read_hdf5(file, max_bytes=max_bytes)
    check_size(unpacked_bytes(file, limit=max_bytes), max_bytes)
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


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
