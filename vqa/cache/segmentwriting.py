"""Writes one segment, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vqa.cache.folder import not_writable
from vqa.cache.segment import SCHEMA, SUFFIX, Provenance, SegmentGoneError, SegmentRow, feature_type, sortable_time
from vqa.files import put_whole
from vqa.urls import Place

_CHUNK_BYTES = 1 << 17  # a few videos: one is read without its whole segment, a segment without many small reads

_YEAR_NS = 365 * 24 * 3600 * 1_000_000_000
_FIRST_NS, _LAST_NS = _YEAR_NS, (1 << 63) - 2 * _YEAR_NS
"""Times that are stored: from 1971 on, so that others can take the place of what is; to 2260, as 64 bits hold."""


def present_time() -> int:
    """Return the Unix time in nanoseconds; that of a clock that is off is brought into a year that can be stored."""
    now = time.time_ns()
    return now if _FIRST_NS <= now < _LAST_NS else (_FIRST_NS if now < _FIRST_NS else _LAST_NS) + now % _YEAR_NS


def write_segment(
    folder: Place, provenance: Provenance, rows: Sequence[SegmentRow], *, seconds: float, written_ns: int | None = None
) -> Place:
    """Write one segment, whole or not at all.

        HDF5 image in memory -> temporary file -> fsync -> rename to its time and SHA-256 -> fsync folder
                             -> one request, where the folder is remote

    The image is made in memory because HDF5 on a full disk fails in ways that can't be named; a plain write can.

    Args:
        folder: The candidate's folder; made where it does not exist, unless the segment takes the place of others.
        provenance: Where the features come from.
        rows: Videos, at least one, all of one kind and width.
        seconds: Time the model spent on these videos.
        written_ns: Time in the name in place of the present one, for a segment that takes the place of older ones.

    Returns:
        The path of the new segment.

    Raises:
        SegmentGoneError: the folder is gone, in which the segment was to take the place of others.
        CacheError: the folder can't be written to.
    """
    image = _image(provenance, rows, seconds=seconds)
    now = sortable_time(present_time() if written_ns is None else written_ns)
    name = f"{now}-{secrets.token_hex(4)}-{hashlib.sha256(image).hexdigest()}{SUFFIX}"
    takes_place = written_ns is not None
    for last in (False, False, True):
        try:
            put_whole(folder / name, image, make_folder=not takes_place)
        except FileNotFoundError as error:  # the candidate was dropped meanwhile: what is new begins anew
            if takes_place:
                raise SegmentGoneError(f"{folder}: this candidate is gone; run the command again") from error
            if last:
                raise not_writable(folder, error) from error
        except OSError as error:
            raise not_writable(folder, error) from error
        else:
            break
    return folder / name


def _image(provenance: Provenance, rows: Sequence[SegmentRow], *, seconds: float) -> bytes:
    """Return the bytes of a segment."""
    keys = [row.key.encode("utf-8") for row in rows]
    lengths = [len(row.features.values) for row in rows]
    values = np.concatenate([row.features.values for row in rows], casting="equiv")
    datasets = {
        "keys": np.array(keys, dtype=h5py.string_dtype("utf-8", max(map(len, keys)))),
        "features": values.astype(feature_type(provenance), casting="equiv", copy=False),
        "offsets": np.cumsum([0, *lengths], dtype=np.int64),
        "pts_seconds": np.concatenate([row.features.pts_seconds for row in rows], dtype=np.float64),
        "created_ns": np.array([row.created_ns for row in rows], dtype=np.int64),
    }
    if provenance.probe:
        datasets["probe"] = np.array(provenance.probe, dtype=np.float32)
    unique = f"segment-{secrets.token_hex(8)}"  # HDF5 refuses two open files of one name, those in memory, too
    with h5py.File(unique, "w", driver="core", backing_store=False) as file:
        for name, content in datasets.items():
            file.create_dataset(name, data=content, chunks=_chunks(content), fletcher32=True)
        for name, content in _attributes(provenance, seconds).items():
            file.attrs[name] = content
        file.flush()
        return bytes(file.id.get_file_image())


def _chunks(values: NDArray[Any]) -> tuple[int, ...]:
    """Return the shape of the pieces that are read and checked as one: whole rows."""
    row_bytes = values.nbytes // len(values)
    return (min(len(values), max(1, _CHUNK_BYTES // row_bytes)), *values.shape[1:])


def _attributes(provenance: Provenance, seconds: float) -> dict[str, Any]:
    """Return what a segment says of itself; texts of fixed length, since HDF5 keeps others in a heap."""
    texts = {} if provenance.source is None else {"source": json.dumps(asdict(provenance.source))}
    texts |= {
        "name": provenance.record.name,
        "fingerprint": provenance.record.fingerprint,
        "candidate": provenance.record.details,
        "weights_sha256": provenance.weights_sha256,
        "versions": json.dumps(dict(provenance.versions), sort_keys=True),
    }
    fixed = {name: _fixed(text.encode("utf-8")) for name, text in texts.items()}
    return {**fixed, "schema": SCHEMA, "seconds": float(seconds)}


def _fixed(text: bytes) -> NDArray[np.bytes_]:
    return np.array(text, dtype=h5py.string_dtype("utf-8", max(1, len(text))))
