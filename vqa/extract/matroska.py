"""What FFmpeg does not tell of Matroska: which tracks are enabled. RFC 8794 (EBML) and RFC 9559."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_SEGMENT, _TRACKS, _TRACK_ENTRY = 0x18538067, 0x1654AE6B, 0xAE
_TRACK_TYPE, _FLAG_ENABLED, _VIDEO = 0x83, 0xB9, 1
_BYTES_LOOKED_AT = 1 << 20  # tracks come before the frames


def enabled_video_tracks(path: Path) -> list[bool]:
    """Return for each video track, in their order, whether it is enabled; empty where that is not found."""
    with path.open("rb") as file:
        data = file.read(_BYTES_LOOKED_AT)
    return [
        _number(data, entry, _FLAG_ENABLED, default=1) != 0
        for segment in _children(data, range(len(data)), _SEGMENT)
        for tracks in _children(data, segment, _TRACKS)
        for entry in _children(data, tracks, _TRACK_ENTRY)
        if _number(data, entry, _TRACK_TYPE, default=0) == _VIDEO
    ]


def _number(data: bytes, entry: range, kind: int, *, default: int) -> int:
    body = next(_children(data, entry, kind), None)
    return default if body is None else int.from_bytes(data[body.start : body.stop], "big")


def _children(data: bytes, parent: range, kind: int) -> Iterator[range]:
    """Yield where the bodies of elements of a kind lie within another's; what is cut off ends the search."""
    at, end = parent.start, min(parent.stop, len(data))
    while at < end:
        id_length = 9 - data[at].bit_length()
        size_at = at + id_length
        if id_length > 4 or size_at >= end:
            return
        size_length = 9 - data[size_at].bit_length()
        body = size_at + size_length
        if size_length > 8 or body > end:
            return
        unknown = (1 << 7 * size_length) - 1
        size = int.from_bytes(data[size_at:body], "big") & unknown
        stop = end if size == unknown else body + size
        if int.from_bytes(data[at:size_at], "big") == kind:
            yield range(body, stop)
        at = stop
