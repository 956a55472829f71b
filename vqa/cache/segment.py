"""One immutable HDF5 file: the features of some videos by one candidate, end to end.

    keys      a        b           c             shape (N,), fixed-length UTF-8
    features  a a a a  b b b b b   c c c c       shape (sum of T, D), float16; imported ones (N, D), float32
    offsets   0        4           9         13  shape (N + 1,), int64: video i has rows offsets[i] to offsets[i + 1]
    pts_seconds: the time of each row            shape (sum of T,), float64
    created_ns: when each video was extracted    shape (N,), int64, Unix time in nanoseconds
    probe: the candidate's features of the probe shape (P,), float32; missing where there is none

Every dataset carries Fletcher-32 checksums, and the file's name the SHA-256 of its bytes, since a flip in HDF5's own
metadata passes Fletcher-32. The name begins with the time of writing, so that names sort from old to new.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vqa.cache.folder import reason_of
from vqa.cache.key import MAX_KEY_BYTES
from vqa.cache.plain import DATASETS, plain_attributes, plain_dataset
from vqa.errors import MALFORMED, CacheError, VideoError
from vqa.files import require_regular
from vqa.records import CandidateRecord, ImportedFeatures, VideoFeatures
from vqa.urls import Place

SCHEMA = 2
"""Raised by hand when the layout changes."""
SUFFIX = ".h5"
MENDING = "run `vqa cache verify --repair`, then `vqa extract` again"
"""The next step where a segment is damaged."""

Features = VideoFeatures | ImportedFeatures


class SegmentGoneError(CacheError):
    """A segment that was listed is no longer there: it was merged into another one, or its candidate was dropped."""


_NAME = re.compile(r"(?P<moment>[0-9]{8}T[0-9]{6})\.[0-9]{9}Z-[0-9a-f]{8}-(?P<sha256>[0-9a-f]{64})" + re.escape(SUFFIX))
_MAY_LACK = frozenset(["probe"])
_NAMED_YEARS = range(1969, 2262)
"""A name that says another year was not written by us. The first holds what takes the place of segments of 1970."""


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
    probe: tuple[float, ...] = ()
    """The candidate's features of the probe, float32; empty for imported features."""


@dataclass(frozen=True, eq=False)
class SegmentRow:
    """One video's part of a segment."""

    key: str
    features: Features
    created_ns: int
    """When it was extracted, Unix time in nanoseconds."""


@dataclass(frozen=True, eq=False)
class Segment:
    """What is known of a segment without reading its features."""

    path: Place
    provenance: Provenance
    created_ns: NDArray[np.int64]
    """When each video was extracted, shape (N,), Unix time in nanoseconds."""
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


def sortable_time(nanoseconds: int) -> str:
    """Return a Unix time in nanoseconds as a segment's name begins with it: UTC, digits in sorting order."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}.{rest:09d}Z"


def utc_time(nanoseconds: int) -> str:
    """Return a Unix time in nanoseconds as people read it: UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).isoformat(timespec="seconds")


def named_time(path: Place) -> int:
    """Return the Unix time in nanoseconds that a segment's name begins with."""
    whole, rest = path.name.split("Z-", 1)[0].split(".")
    moment = datetime.strptime(whole, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(rest)


def sha256_in_name(path: Place) -> str | None:
    """Return the SHA-256 that a segment's name says its bytes have, None where the name is no segment's.

    None, too, where the name's time is none, or so far off that no segment could be sorted before or after it.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    try:
        year = datetime.strptime(match["moment"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).year
    except ValueError:
        return None
    return match["sha256"] if year in _NAMED_YEARS else None


def open_segment(path: Place) -> Segment:
    """Read what a segment holds, without its features.

    Raises:
        CacheError: the file is no segment, is damaged, or is of another schema.
    """
    with _opened(path) as datasets:
        attributes = plain_attributes(datasets["keys"].file)
        if int(attributes["schema"]) != SCHEMA:
            raise ValueError(f"schema {attributes['schema']}, this version of vqa reads {SCHEMA}")
        text = {name: _text(attributes[name]) for name in ("name", "fingerprint", "candidate", "weights_sha256")}
        json.loads(text["candidate"]).items()
        if datasets["keys"].dtype.itemsize > MAX_KEY_BYTES:
            raise ValueError(f"its keys are longer than {MAX_KEY_BYTES} bytes")
        keys = tuple(key.decode("utf-8") for key in datasets["keys"][()].tolist())
        offsets, created_ns = np.asarray(datasets["offsets"][()]), np.asarray(datasets["created_ns"][()])
        source = _source(_text(attributes["source"])) if "source" in attributes else None
        _check_offsets(offsets, len(keys), [len(datasets["features"]), len(datasets["pts_seconds"])])
        if len(created_ns) != len(keys):
            raise ValueError(f"{len(created_ns)} times of extraction for {len(keys)} videos")
        provenance = Provenance(
            CandidateRecord(text["name"], text["fingerprint"], text["candidate"]),
            text["weights_sha256"],
            _versions(_text(attributes["versions"])),
            source,
            tuple(datasets["probe"][()].tolist()) if "probe" in datasets else (),
        )
        if datasets["features"].dtype != feature_type(provenance):
            raise ValueError(f"features is of type {datasets['features'].dtype}")
        return Segment(
            path=path,
            provenance=provenance,
            created_ns=created_ns,
            seconds=_seconds(attributes["seconds"]),
            keys=keys,
            offsets=offsets,
            width=int(datasets["features"].shape[1]),
            bytes=path.stat().st_size,
        )


def check_segment(segment: Segment) -> None:
    """Refuse what another file says of a segment where it can't be: that file may come from a stranger, too.

    Raises:
        OSError: the segment is gone.
        ValueError, TypeError, AttributeError: it can't be.
    """
    record, source = segment.provenance.record, segment.provenance.source
    texts = [record.name, record.fingerprint, record.details, segment.provenance.weights_sha256]
    texts += [*segment.provenance.versions.values(), *([] if source is None else [source.file, source.sha256])]
    for text in texts:
        _text(text)
    json.loads(record.details).items()
    _seconds(segment.seconds)
    _check_offsets(segment.offsets, len(segment.keys), [int(segment.offsets[-1])] * 2)
    size, cells = segment.path.stat().st_size, int(segment.offsets[-1]) * segment.width
    least = cells * np.dtype(feature_type(segment.provenance)).itemsize
    if segment.width < 1 or len(segment.created_ns) != len(segment.keys) or segment.bytes != size or least > size:
        raise ValueError("its sizes do not fit the file")


def read_videos(segment: Segment, positions: Sequence[int]) -> list[Features]:
    """Return the features of the videos at the given positions of a segment, in that order.

    Raises:
        CacheError: the file is damaged or gone.
    """
    first, last = min(positions), max(positions)
    start, stop = int(segment.offsets[first]), int(segment.offsets[last + 1])
    wanted_bytes = (stop - start) * segment.width * np.dtype(feature_type(segment.provenance)).itemsize
    with _opened(segment.path, ("keys", "offsets", "features", "pts_seconds"), wanted_bytes) as datasets:
        _check_unchanged(segment, datasets, first, last)
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
def _opened(
    path: Place, names: Iterable[str] = tuple(DATASETS), wanted_bytes: int = 0
) -> Iterator[dict[str, h5py.Dataset]]:
    """Give datasets of a segment; whatever is wrong with the file, inside the block too, becomes a CacheError.

    So many bytes are wanted of them beside what is wanted of every segment, which decides how a remote one is read.
    """
    try:
        require_regular(path)
        with _hdf5(path, wanted_bytes) as file:
            here = [name for name in names if name not in _MAY_LACK or name in file]
            yield {name: plain_dataset(file, name, path.stat().st_size) for name in here}
    except (OSError, RuntimeError, VideoError, *MALFORMED) as error:
        if not path.exists():  # HDF5 says so in more ways than one, when the file goes while it is opened
            raise SegmentGoneError(f"{path}: this segment is gone; run the command again") from error
        raise CacheError(f"{path}: this segment can't be read ({reason_of(error)}); {MENDING}") from error


def _hdf5(path: Place, wanted_bytes: int) -> h5py.File:
    if isinstance(path, Path):
        # Without HDF5's locks: the file never changes, and read-only disks and network folders refuse them.
        return h5py.File(path, "r", locking=False)
    return h5py.File(path.open_random(wanted_bytes), "r")


def feature_type(provenance: Provenance) -> type[np.floating]:
    """Return what a segment's features are stored as: float16, imported ones float32."""
    return np.float16 if provenance.source is None else np.float32


def _versions(text: str) -> dict[str, str]:
    return {name: _text(version) for name, version in json.loads(text).items()}


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"its model took {seconds} s")
    return seconds


def _source(text: str) -> Source:
    values = json.loads(text)
    return Source(_text(values["file"]), _text(values["sha256"]), int(values["missing"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("an attribute is no text")
    return value


def _check_unchanged(segment: Segment, datasets: dict[str, h5py.Dataset], first: int, last: int) -> None:
    """Refuse a file in which these videos lie elsewhere than was found when it was opened, or indexed."""
    keys = tuple(key.decode("utf-8") for key in datasets["keys"][first : last + 1].tolist())
    offsets = datasets["offsets"][first : last + 2]
    same = keys == segment.keys[first : last + 1] and np.array_equal(offsets, segment.offsets[first : last + 2])
    if not same or datasets["features"].shape[1] != segment.width:
        raise ValueError("it holds other videos than it did")


def _check_offsets(offsets: NDArray[np.int64], videos: int, rows: list[int]) -> None:
    """Refuse offsets that do not cut the rows into that many non-empty parts."""
    whole = videos > 0 and len(offsets) == videos + 1 and offsets[0] == 0 and bool((np.diff(offsets) > 0).all())
    if not whole or rows != [int(offsets[-1])] * 2:
        raise ValueError("its offsets do not fit its rows")
