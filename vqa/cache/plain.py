"""What of a segment's HDF5 file is read: plain datasets and attributes that lie in it whole.

A file may come from a stranger: links, virtual and external datasets would read other files, a claimed shape that the
file can't hold would fill the memory, a piece of another size than its shape says crashes HDF5, and a heap of texts
whose entries claim to be empty holds it for ever.
"""

from __future__ import annotations

import math
from typing import Any

import h5py

DATASETS = {"keys": 1, "features": 2, "offsets": 1, "pts_seconds": 1, "created_ns": 1, "probe": 1}
"""Each dataset and its number of dimensions."""
_TYPES = {"features": ("f2", "f4"), "offsets": ("i8",), "pts_seconds": ("f8",), "created_ns": ("i8",), "probe": ("f4",)}
_ATTRIBUTES = ("schema", "name", "fingerprint", "candidate", "weights_sha256", "versions", "seconds")
_CHECKSUM_BYTES = 4


def plain_dataset(file: h5py.File, name: str, file_bytes: int) -> h5py.Dataset:
    """Return a dataset that lies in this file, checksummed, uncompressed, of the expected type.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or a link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != DATASETS[name]:
        raise ValueError(f"{name} is no dataset of {DATASETS[name]} dimensions")
    if not dataset.fletcher32:  # HDF5 has no checksums for virtual and external datasets, so none of those passes
        raise ValueError(f"{name} lies elsewhere or has no checksums")
    if dataset.id.get_create_plist().get_nfilters() != 1 or dataset.nbytes > file_bytes:
        raise ValueError(f"{name} is larger than its file")
    if not _has_type(dataset, name):
        raise ValueError(f"{name} is of type {dataset.dtype}")
    _check_chunks(dataset, name)
    return dataset


def _has_type(dataset: h5py.Dataset, name: str) -> bool:
    if name == "keys":
        text = h5py.check_string_dtype(dataset.dtype)
        return text is not None and text.encoding == "utf-8" and text.length is not None
    return any(dataset.dtype == kind for kind in _TYPES[name])


def _check_chunks(dataset: h5py.Dataset, name: str) -> None:
    """Refuse chunks of another size than their shape and a checksum take, or whose checksum would not be looked at."""
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize + _CHECKSUM_BYTES
    found: list[bool] = []
    dataset.id.chunk_iter(lambda chunk: found.append(chunk.size == size and not chunk.filter_mask))
    if not all(found):
        raise ValueError(f"{name} has a chunk of another size than its shape says")


def plain_attributes(file: h5py.File) -> dict[str, Any]:
    """Return the file's attributes: single numbers, and texts of fixed length.

    Raises:
        ValueError, TypeError: one is missing or of another kind.
    """
    missing = next((name for name in _ATTRIBUTES if name not in file.attrs), None)
    if missing is not None:
        raise ValueError(f"attribute {missing} is missing")
    found: dict[str, Any] = {}
    for name in file.attrs:
        attribute = file.attrs.get_id(name)
        if attribute.shape != () or attribute.dtype.kind not in "iufS":
            raise TypeError(f"attribute {name} is no number and no text of fixed length")
        value = file.attrs[name]
        found[name] = value.decode("utf-8") if isinstance(value, bytes) else value
    return found
