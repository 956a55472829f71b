"""Dolby Vision in H.265: the configuration record of a container, and the unit that goes with each picture."""

from __future__ import annotations

import re
from pathlib import Path

from boxes import put_box


def put_dolby_vision(path: Path, profile: int, compatibility: int) -> Path:
    """Put a configuration record into an MP4 file whose index lies at its end; return the file."""
    # version 1.0, profile (7 bits), level 4 (6 bits), RPU, no enhancement layer, base layer, compatibility (4 bits)
    bits = f"{1:08b}{0:08b}{profile:07b}{4:06b}101{compatibility:04b}{0:028b}"
    return put_box(path, b"dvcC" if profile <= 7 else b"dvvC", int(bits, 2).to_bytes(8, "big") + bytes(16))


def with_reshaping_units(stream: bytes) -> bytes:
    """Put a unit of profile 5 that changes nothing behind each picture of a raw H.265 stream."""
    units = re.split(rb"(?=\x00\x00\x01)", stream)
    return b"".join(unit + _reshaping_unit() if len(unit) > 3 and unit[3] >> 1 & 0x3F < 32 else unit for unit in units)


def _reshaping_unit() -> bytes:
    """ETSI GS CCM 001: coefficients of 23 bits behind the point, full range, 10, 10 and 12 bits."""
    head = f"{25:08b}{2:06b}{18:011b}{0:08b}1" + "000" + _golomb(23) + "011" + _golomb(2) * 2 + _golomb(4) + "000001"
    pivots = (_golomb(0) + f"{0:010b}{1023:010b}") * 3
    identity = (_golomb(0) * 2 + "0" + _golomb(0) + f"{0:023b}" + _golomb(1) + f"{0:023b}") * 3
    bits = head + "00" + _golomb(0) * 3 + pivots + _golomb(0) * 2 + identity
    bits += "0" * (-len(bits) % 8 + 32)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\0\0\1\x7c\1" + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", body) + b"\x80"


def _golomb(number: int) -> str:
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits
