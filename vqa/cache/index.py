"""A quick index of a candidate's folder: what each segment says of itself, in one file.

Segments never change and their names carry the SHA-256 of their bytes, so an entry holds for as long as a file of its
name is there. The index is a copy: it is made anew where it is missing, damaged or old, and nothing depends on it.

    names (S, .)   keys (N, .)   counts (S,)   offsets (N + S,)   created_ns (N,)   seconds, width, bytes (S,)
    origins (S,): which of the `provenances`, JSON, a segment has
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vqa.cache.segment import Provenance, Segment, Source, check_segment
from vqa.errors import MALFORMED
from vqa.files import put_whole, require_regular
from vqa.records import CandidateRecord
from vqa.urls import Place

_NAME = ".index"
_SCHEMA = "1"
_MOST_PADDING = 4
_TENSORS = ("names", "keys", "counts", "offsets", "created_ns", "seconds", "width", "bytes", "origins", "provenances")


def write_index(folder: Place, segments: Sequence[Segment]) -> None:
    """Write a folder's index, whole or not at all; a folder that can't be written to goes without.

    So does one whose keys differ much in length: here all take as much as the longest.
    """
    lengths = [len(key) for segment in segments for key in segment.keys]
    if max(lengths) * len(lengths) > _MOST_PADDING * sum(lengths):
        return
    origins: dict[str, int] = {}
    numbers = [origins.setdefault(_packed(segment.provenance), len(origins)) for segment in segments]
    tensors: dict[str, NDArray[Any]] = {
        "names": _as_bytes(segment.path.name for segment in segments),
        "keys": _as_bytes(key for segment in segments for key in segment.keys),
        "counts": np.array([len(segment.keys) for segment in segments], dtype=np.int64),
        "offsets": np.concatenate([segment.offsets for segment in segments]),
        "created_ns": np.concatenate([segment.created_ns for segment in segments]),
        "seconds": np.array([segment.seconds for segment in segments], dtype=np.float64),
        "width": np.array([segment.width for segment in segments], dtype=np.int64),
        "bytes": np.array([segment.bytes for segment in segments], dtype=np.int64),
        "origins": np.array(numbers, dtype=np.int64),
        "provenances": np.frombuffer(("[" + ",".join(origins) + "]").encode(), dtype=np.uint8),
    }
    with contextlib.suppress(OSError, SafetensorError):
        put_whole(folder / _NAME, save(tensors, metadata={"schema": _SCHEMA, "sha256": _digest(tensors)}))


def read_index(folder: Place, paths: Sequence[Place]) -> dict[Place, Segment]:
    """Return those of a folder's segments that its index knows; none where it can't be used."""
    tensors = _load(folder / _NAME)
    try:
        return _unpacked({path.name: path for path in paths}, tensors) if tensors else {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}


def wrong_index(folder: Place, segments: Sequence[Segment]) -> Place | None:
    """Return a folder's index if it says of any of these segments something else than they do."""
    known = read_index(folder, [segment.path for segment in segments])
    differs = any(not _alike(known[segment.path], segment) for segment in segments if segment.path in known)
    return folder / _NAME if differs else None


def _alike(one: Segment, other: Segment) -> bool:
    plain = all(
        getattr(one, name) == getattr(other, name) for name in ("provenance", "seconds", "keys", "width", "bytes")
    )
    return plain and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("created_ns", "offsets"))


def forget_index(folder: Place) -> None:
    """Remove a folder's index, since most of its segments are gone."""
    with contextlib.suppress(OSError):
        (folder / _NAME).unlink(missing_ok=True)


def _load(file: Place) -> dict[str, NDArray[Any]]:
    """Return the tensors of an index, none where it is missing, damaged or of another schema."""
    try:
        require_regular(file)
        content = file.read_bytes()
        metadata = _metadata(content)
        if metadata.get("schema") != _SCHEMA:
            return {}
        found = load(content)
        tensors = {name: found[name] for name in _TENSORS}
    except (OSError, SafetensorError, *MALFORMED):
        return {}
    return tensors if _digest(tensors) == metadata.get("sha256") else {}


def _metadata(content: bytes) -> dict[str, Any]:
    """Return what the header of a safetensors file says beside its tensors, which its own reader of bytes leaves out.

    length of the header, 8 bytes, little-endian | header, JSON | tensors
    """
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return dict(metadata)


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over all tensors, each with its type and shape."""
    digest = hashlib.sha256()
    for name in _TENSORS:
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype} {tensor.shape};".encode())
        digest.update(tensor.data)
    return digest.hexdigest()


def _as_bytes(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return texts without NUL as rows of bytes of one length, shape (N, length)."""
    array = np.array([text.encode("utf-8") for text in texts])
    return array.view(np.uint8).reshape(len(array), array.dtype.itemsize)


def _as_texts(rows: NDArray[np.uint8]) -> list[str]:
    """Return the texts that `_as_bytes` packed."""
    return [text.decode("utf-8") for text in rows.view(f"S{rows.shape[1]}").ravel().tolist()]


def _packed(provenance: Provenance) -> str:
    source = None if provenance.source is None else asdict(provenance.source)
    values = {
        "record": asdict(provenance.record),
        "weights_sha256": provenance.weights_sha256,
        "versions": dict(provenance.versions),
        "source": source,
        "probe": provenance.probe,
    }
    return json.dumps(values, sort_keys=True)


def _provenance(values: dict[str, Any]) -> Provenance:
    return Provenance(
        CandidateRecord(**values["record"]),
        values["weights_sha256"],
        values["versions"],
        None if values["source"] is None else Source(**values["source"]),
        tuple(values["probe"]),
    )


def _unpacked(wanted: Mapping[str, Place], tensors: Mapping[str, NDArray[Any]]) -> dict[Place, Segment]:
    provenances = [_provenance(values) for values in json.loads(tensors["provenances"].tobytes())]
    segments: dict[Place, Segment] = {}
    stops = np.cumsum(tensors["counts"]).tolist()
    for number, (name, stop) in enumerate(zip(_as_texts(tensors["names"]), stops, strict=True)):
        if name not in wanted:
            continue
        videos = slice(stop - int(tensors["counts"][number]), stop)
        segment = Segment(
            path=wanted[name],
            provenance=provenances[int(tensors["origins"][number])],
            created_ns=tensors["created_ns"][videos],
            seconds=float(tensors["seconds"][number]),
            keys=tuple(_as_texts(tensors["keys"][videos])),
            offsets=tensors["offsets"][videos.start + number : stop + number + 1],
            width=int(tensors["width"][number]),
            bytes=int(tensors["bytes"][number]),
        )
        check_segment(segment)
        segments[segment.path] = segment
    return segments
