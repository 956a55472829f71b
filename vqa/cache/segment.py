"""One immutable HDF5 file: the features of some videos by one candidate, end to end.

    keys      a        b           c             shape (N,), fixed-length UTF-8
    features  a a a a  b b b b b   c c c c       shape (sum of T, D), float16; imported ones (N, D), float32
    offsets   0        4           9         13  shape (N + 1,), int64: video i has rows offsets[i] to offsets[i + 1]
    pts_seconds: the time of each row            shape (sum of T,), float64

Every dataset carries Fletcher-32 checksums, and the file's name the SHA-256 of its bytes, since a flip in HDF5's own
metadata passes Fletcher-32. The name begins with the time of writing, so that names sort from old to new.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vqa.cache.folder import host_name, not_writable, reason_of
from vqa.errors import CacheError, VideoError
from vqa.files import settle
from vqa.records import CandidateRecord, ImportedFeatures, VideoFeatures

SCHEMA = 1
"""Raised by hand when the layout changes."""
SUFFIX = ".h5"

Features = VideoFeatures | ImportedFeatures

_CHUNK_BYTES = 1 << 17  # a few videos: one is read without its whole segment, a segment without many small reads
_KINDS = {"keys": 1, "features": 2, "offsets": 1, "pts_seconds": 1}
"""Each dataset and its number of dimensions."""


@dataclass(frozen=True)
class Source:
    """The file that imported features come from."""

    file: str
    """Its name, without the folder."""
    sha256: str
    missing: int
    """Cells of the segment that are missing."""


@dataclass(frozen=True)
class Provenance:
    """Where features come from."""

    record: CandidateRecord
    weights_sha256: str
    """Over the network's parameters; empty for imported features."""
    versions: Mapping[str, str]
    """Of each library that took part."""
    source: Source | None = None
    """None for features that were extracted here."""


@dataclass(frozen=True, eq=False)
class Segment:
    """What is known of a segment without reading its features."""

    path: Path
    provenance: Provenance
    created: str
    """UTC, ISO 8601."""
    seconds: float
    """Time the model spent on these videos."""
    keys: tuple[str, ...]
    """The N videos."""
    offsets: NDArray[np.int64]
    """Shape (N + 1,)."""
    width: int
    """D, the number of features."""
    bytes: int
    """The file's size."""


def write_segment(
    folder: Path, provenance: Provenance, rows: Sequence[tuple[str, Features]], *, seconds: float
) -> Path:
    """Write one segment, whole or not at all.

        HDF5 image in memory -> temporary file -> fsync -> rename to its time and SHA-256 -> fsync folder

    The image is made in memory because HDF5 on a full disk fails in ways that can't be named; a plain write can.

    Args:
        folder: The candidate's folder; must exist.
        provenance: Where the features come from.
        rows: Keys and features, at least one, all of one kind and width.
        seconds: Time the model spent on these videos.

    Returns:
        The path of the new segment.

    Raises:
        CacheError: the folder can't be written to.
    """
    image = _image(provenance, rows, seconds=seconds)
    temporary = folder / f".tmp-{host_name()}-{os.getpid()}-{secrets.token_hex(8)}"
    target = folder / f"{_sortable_now()}-{secrets.token_hex(4)}-{hashlib.sha256(image).hexdigest()}{SUFFIX}"
    try:
        temporary.write_bytes(image)
        settle(temporary, target)
    except OSError as error:
        raise not_writable(folder, error) from error
    finally:
        with contextlib.suppress(OSError):  # the error above is the one to tell
            temporary.unlink(missing_ok=True)
    return target


def _sortable_now() -> str:
    """Return the time in UTC to the nanosecond, digits in sorting order."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}.{nanoseconds:09d}Z"


def _image(provenance: Provenance, rows: Sequence[tuple[str, Features]], *, seconds: float) -> bytes:
    """Return the bytes of a segment."""
    keys = [key.encode("utf-8") for key, _ in rows]
    lengths = [len(features.values) for _, features in rows]
    values = np.concatenate([features.values for _, features in rows], casting="equiv")
    datasets = {
        "keys": np.array(keys, dtype=h5py.string_dtype("utf-8", max(map(len, keys)))),
        "features": values.astype(_feature_type(provenance), casting="equiv", copy=False),
        "offsets": np.cumsum([0, *lengths], dtype=np.int64),
        "pts_seconds": np.concatenate([features.pts_seconds for _, features in rows], dtype=np.float64),
    }
    with h5py.File("segment", "w", driver="core", backing_store=False) as file:
        for name, content in datasets.items():
            file.create_dataset(name, data=content, chunks=_chunks(content), fletcher32=True)
        file.attrs.update(_attributes(provenance, seconds))
        file.flush()
        return bytes(file.id.get_file_image())


def _feature_type(provenance: Provenance) -> type[np.floating]:
    return np.float16 if provenance.source is None else np.float32


def _chunks(values: NDArray[Any]) -> tuple[int, ...]:
    """Return the shape of the pieces that are read and checked as one: whole rows."""
    row_bytes = values.nbytes // len(values)
    return (min(len(values), max(1, _CHUNK_BYTES // row_bytes)), *values.shape[1:])


def _attributes(provenance: Provenance, seconds: float) -> dict[str, Any]:
    source = {} if provenance.source is None else {"source": json.dumps(asdict(provenance.source))}
    return {
        **source,
        "schema": SCHEMA,
        "name": provenance.record.name,
        "fingerprint": provenance.record.fingerprint,
        "candidate": provenance.record.details,
        "weights_sha256": provenance.weights_sha256,
        "versions": json.dumps(dict(provenance.versions), sort_keys=True),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": float(seconds),
    }


def open_segment(path: Path) -> Segment:
    """Read what a segment holds, without its features.

    Raises:
        CacheError: the file is no segment, is damaged, or is of another schema.
    """
    with _opened(path) as datasets:
        attributes = datasets["keys"].file.attrs
        if int(attributes["schema"]) != SCHEMA:
            raise ValueError(f"schema {attributes['schema']}, this version of vqa reads {SCHEMA}")
        text = {name: _text(attributes[name]) for name in ("name", "fingerprint", "candidate", "weights_sha256")}
        json.loads(text["candidate"])
        keys = tuple(key.decode("utf-8") for key in datasets["keys"][()].tolist())
        offsets = np.asarray(datasets["offsets"][()])
        source = _source(_text(attributes["source"])) if "source" in attributes else None
        _check_offsets(offsets, len(keys), [len(datasets["features"]), len(datasets["pts_seconds"])])
        provenance = Provenance(
            CandidateRecord(text["name"], text["fingerprint"], text["candidate"]),
            text["weights_sha256"],
            json.loads(_text(attributes["versions"])),
            source,
        )
        if datasets["features"].dtype != _feature_type(provenance):
            raise ValueError(f"features is of type {datasets['features'].dtype}")
        return Segment(
            path=path,
            provenance=provenance,
            created=_text(attributes["created"]),
            seconds=float(attributes["seconds"]),
            keys=keys,
            offsets=offsets,
            width=int(datasets["features"].shape[1]),
            bytes=path.stat().st_size,
        )


def read_videos(segment: Segment, positions: Sequence[int]) -> list[Features]:
    """Return the features of the videos at the given positions of a segment, in that order.

    Raises:
        CacheError: the file is damaged or gone.
    """
    first, last = min(positions), max(positions)
    start, stop = int(segment.offsets[first]), int(segment.offsets[last + 1])
    with _opened(segment.path) as datasets:
        values, pts_seconds = datasets["features"][start:stop], datasets["pts_seconds"][start:stop]
        videos: list[Features] = []
        for position in positions:
            rows = slice(int(segment.offsets[position]) - start, int(segment.offsets[position + 1]) - start)
            extracted = segment.provenance.source is None
            videos.append(
                VideoFeatures(values[rows], pts_seconds[rows]) if extracted else ImportedFeatures(values[rows])
            )
        return videos


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[dict[str, h5py.Dataset]]:
    """Give a segment's datasets; whatever is wrong with the file, inside the block too, becomes a CacheError."""
    try:
        # Without HDF5's locks: the file never changes, and read-only disks and network folders refuse them.
        with h5py.File(path, "r", locking=False) as file:
            yield {name: _plain(file, name, path.stat().st_size) for name in _KINDS}
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, VideoError) as error:
        raise CacheError(
            f"{path}: this segment can't be read ({reason_of(error)}); move the file away and run `vqa extract` again"
        ) from error


def _plain(file: h5py.File, name: str, file_bytes: int) -> h5py.Dataset:
    """Return a dataset that lies in this file, checksummed, uncompressed, of the expected type.

    A file may come from a stranger: links, virtual and external datasets would read other files, and a claimed
    shape that the file can't hold would fill the memory.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or a link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != _KINDS[name]:
        raise ValueError(f"{name} is no dataset of {_KINDS[name]} dimensions")
    if not dataset.fletcher32:  # HDF5 has no checksums for virtual and external datasets, so none of those passes
        raise ValueError(f"{name} lies elsewhere or has no checksums")
    if dataset.id.get_create_plist().get_nfilters() != 1 or dataset.nbytes > file_bytes:
        raise ValueError(f"{name} is larger than its file")
    if not _has_type(dataset, name):
        raise ValueError(f"{name} is of type {dataset.dtype}")
    return dataset


def _has_type(dataset: h5py.Dataset, name: str) -> bool:
    if name == "keys":
        text = h5py.check_string_dtype(dataset.dtype)
        return text is not None and text.encoding == "utf-8" and text.length is not None
    types = {"features": ("f2", "f4"), "offsets": ("i8",), "pts_seconds": ("f8",)}
    return any(dataset.dtype == kind for kind in types[name])


def _source(text: str) -> Source:
    values = json.loads(text)
    return Source(_text(values["file"]), _text(values["sha256"]), int(values["missing"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("an attribute is no text")
    return value


def _check_offsets(offsets: NDArray[np.int64], videos: int, rows: list[int]) -> None:
    """Refuse offsets that do not cut the rows into that many non-empty parts."""
    whole = len(offsets) == videos + 1 and offsets[0] == 0 and bool((np.diff(offsets) > 0).all())
    if not whole or rows != [int(offsets[-1])] * 2:
        raise ValueError("its offsets do not fit its rows")
