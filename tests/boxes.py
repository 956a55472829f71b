"""Boxes put into MP4 files that FFmpeg can't be told to write: ISO/IEC 14496-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def put_box(path: Path, kind: bytes, body: bytes) -> Path:
    """Put a box into the sample entry of the first track of a file whose index lies at its end; return the file."""
    content = bytearray(path.read_bytes())
    trail, begin, end = [], 0, len(content)
    for name in _SAMPLE_ENTRY:
        at, size = next((at, size) for at, size, found in _boxes(content, begin, end) if found == name)
        trail.append(at)
        begin, end = at + 8, at + size
    entry, size, _ = next(_boxes(content, begin + 8, end))
    box = struct.pack(">I", 8 + len(body)) + kind + body
    content[entry + size : entry + size] = box
    for at in [*trail, entry]:
        content[at : at + 4] = struct.pack(">I", struct.unpack_from(">I", content, at)[0] + len(box))
    path.write_bytes(content)
    return path


def _boxes(content: bytearray, begin: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, begin)
        yield begin, size, kind
        begin += size


def put_clean_aperture(path: Path, width: int, height: int, across: int, down: int) -> Path:
    """Crop a file to a size whose middle is so many pixels right of and below that of the whole."""
    return put_box(path, b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, across, 1, down, 1))
