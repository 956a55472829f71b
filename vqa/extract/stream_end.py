"""What FFmpeg does not tell of MPEG streams: whether the last picture is whole. It matters where no decoder says so."""

from __future__ import annotations

from pathlib import Path

_PACKET = 188
_SYNC = 0x47
_TAIL_BYTES = 4 << 20
"""Looked at: in what lies before it a stream of moving pictures has not ended."""
_END_CODE, _PADDING = b"\x00\x00\x01\xb9", b"\xff" * 8


def ends_whole(file: Path, pid: int | None) -> bool:
    """Tell whether a file ends where a picture ends.

    A program stream does so in its end code, or in padding (ISO/IEC 13818-1, 2.5.3.2 and 2.4.3.7). In a transport
    stream the packet that ends a PES packet, and with it a picture, is filled up (2.4.3.5):

        | header | adaptation field: length, flags, 0xff ... | payload |

    A picture that happens to fill its last packet is taken for one that may be cut off, as is any in packets of another
    size than 188 bytes.

    Args:
        file: The file.
        pid: The packet identifier in a transport stream, None for a program stream.
    """
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        tail = stream.read(_TAIL_BYTES)
    if pid is None:
        return tail.endswith((_END_CODE, _PADDING))
    begin = next((at for at in range(_PACKET) if set(tail[at : at + 8 * _PACKET : _PACKET]) == {_SYNC}), None)
    if begin is None:
        return False
    count = (len(tail) - begin) // _PACKET
    packets = (tail[at : at + _PACKET] for at in range(begin + (count - 1) * _PACKET, -1, -_PACKET))
    last = next((packet for packet in packets if int.from_bytes(packet[1:3], "big") & 0x1FFF == pid), None)
    return last is not None and bool(last[3] & 0x20) and last[4] > _needed(last[5])


def _needed(flags: int) -> int:
    """Return how many bytes an adaptation field without stuffing has behind its length: flags, PCR, OPCR, splice."""
    return 1 + 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1) + (flags >> 2 & 1)
