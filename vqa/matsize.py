"""How large a MATLAB file gets in memory: a small one may claim any size."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

_CHUNK = 1 << 20
_HEADER, _PACKED = 128, 15


def unpacked_bytes(file: Path, *, limit: int) -> int:
    """Return the size of a MATLAB 5 file once its variables are inflated, counted without keeping them.

    header (128 bytes), then for each variable: type (4 bytes), length (4 bytes), that many bytes

    Args:
        file: A MATLAB 4 file packs nothing: its own size is returned.
        limit: Counting ends beyond it.

    Raises:
        OSError, zlib.error: the file can't be read, or is damaged.
    """
    size, total = file.stat().st_size, 0
    with file.open("rb") as stream:
        order = {b"IM": "<", b"MI": ">"}.get(stream.read(_HEADER)[-2:])
        if order is None:
            return size
        while len(tag := stream.read(8)) == 8 and total <= limit:
            kind, length = struct.unpack(f"{order}II", tag)
            if kind == _PACKED:
                total += _inflated_bytes(stream.read(min(length, size)), limit)
            else:
                total += length
                stream.seek(length, 1)
    return total


def _inflated_bytes(packed: bytes, limit: int) -> int:
    total, inflater = 0, zlib.decompressobj()
    while packed and not inflater.eof and total <= limit:
        total += len(inflater.decompress(packed, _CHUNK))
        packed = inflater.unconsumed_tail
    return total
