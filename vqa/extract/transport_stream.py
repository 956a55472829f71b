"""What FFmpeg does not tell of MPEG streams: whether pictures are whole, and whether they are scrambled.

MPEG-TS cuts each picture into packets of 188 bytes; only the last of a picture is filled up (ISO/IEC 13818-1, 2.4.3):

    | sync | flags, PID | scrambled, adaptation?, payload?, counter | length, flags, ... 0xff 0xff | payload |
      0      1      2     3                                           4       5
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SIZES = (188, 192, 204)
"""As sent; with a time before each, as on Blu-ray; with parity behind each."""
_HEAD_BYTES = 6
_AT_ONCE = 1 << 16
_END_CODE, _PADDING = b"\x00\x00\x01\xb9", b"\xff" * 8


def is_scrambled(file: Path, pid: int) -> bool:
    """Tell whether packets of a transport stream say that they are scrambled.

    Args:
        file: The file.
        pid: The packet identifier of its video stream.
    """
    return bool((_heads(file, pid)[:, 3] & 0xC0).any())


def ends_whole(file: Path, pid: int | None) -> bool:
    """Tell whether a file ends where a picture ends, for sure: one that happens to fill its last packet does not.

    Args:
        file: The file.
        pid: The packet identifier in a transport stream, None for a program stream, which ends in its end code or in
            padding (2.5.3.2, 2.4.3.7).
    """
    if pid is None:
        with file.open("rb") as stream:
            stream.seek(-min(file.stat().st_size, len(_PADDING)), 2)
            return stream.read().endswith((_END_CODE, _PADDING))
    heads = _heads(file, pid)
    return bool(len(heads)) and bool(_is_filled(heads[-1:])[0])


def count_joins(file: Path, pid: int) -> int | None:
    """Count where the counter of packets begins anew between two whole pictures, as where segments were joined.

    Args:
        file: The file.
        pid: The packet identifier of its video stream.

    Returns:
        How many such places there are; None where it jumps amid a picture, or a packet is marked as faulty.
    """
    heads = _heads(file, pid)
    if len(heads) == 0 or (heads[:, 1] & 0x80).any():
        return None
    if (heads[:, 3] & 0x0F == heads[0, 3] & 0x0F).all():
        return len(heads)  # it does not count at all, which proves nothing
    counter, carries = heads[:, 3] & 0x0F, (heads[1:, 3] & 0x10) != 0
    announced = ((heads[1:, 3] & 0x20) != 0) & (heads[1:, 4] > 0) & ((heads[1:, 5] & 0x80) != 0)
    jumps = (counter[1:] != (counter[:-1] + carries) % 16) & ~announced
    clean = ((heads[1:, 1] & 0x40) != 0) & _is_filled(heads[:-1])
    return None if (jumps & ~clean).any() else int(jumps.sum())


def _is_filled(heads: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which packets are filled up: their adaptation field is longer than flags, PCR, OPCR and splice count are."""
    length, flags = heads[:, 4].astype(int), heads[:, 5]
    needed = 1 + 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1) + (flags >> 2 & 1)
    filled: NDArray[np.bool_] = ((heads[:, 3] & 0x20) != 0) & ((length == 0) | (length > needed))
    return filled


def _heads(file: Path, pid: int) -> NDArray[np.uint8]:
    """Return the first bytes of each packet of a stream, shape (P, 6); none where the file has another form."""
    found = [np.empty((0, _HEAD_BYTES), np.uint8)]
    with file.open("rb") as stream:
        begin, size = _layout(stream.read(16 * max(_SIZES)))
        stream.seek(begin)
        while size and len(data := stream.read(size * _AT_ONCE)) >= size:
            heads = np.frombuffer(data, np.uint8, len(data) // size * size).reshape(-1, size)[:, :_HEAD_BYTES]
            found.append(heads[(heads[:, 1] & 0x1F).astype(int) << 8 | heads[:, 2] == pid].copy())
    return np.concatenate(found)


def _layout(data: bytes) -> tuple[int, int]:
    """Return where the first packet begins, and how far the next is from it; 0 where there are none."""
    layouts = ((at, size) for size in _SIZES for at in range(size) if data[at : at + 8 * size : size] == b"\x47" * 8)
    return next(layouts, (0, 0))
