"""Damage done to files by chance, the same each time it is done with the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable

LENGTHS = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00" * 4, b"\x80\x00\x00\x00", b"\xff" * 8)
"""What a length or an offset in a header is replaced by: -1, the largest and the smallest of both byte orders."""
WORDS = (
    "1e999",
    "-1e999",
    "nan",
    "9" * 400,
    "-1",
    "0",
    "null",
    '"',
    "[" * 300,
    "{",
    "}",
    ",",
    "\0",
    "\x1b[2J",
    "é",
    "\n",
)
"""What a word of a text is replaced by."""
_HEADER = 600
"""Most of what a reader believes stands within so many bytes of the start or the end."""

Mutation = Callable[[bytearray, random.Random], None]


def mutated(content: bytes, seed: str) -> bytes:
    """Return a copy with one to four faults in it."""
    rng = random.Random(seed)
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_MUTATIONS)(damaged, rng)
    return bytes(damaged)


def mutated_text(content: bytes, seed: str) -> bytes:
    """Return a copy with words of it replaced, twice in three times, else as `mutated` does it."""
    rng = random.Random(seed)
    words = content.decode("utf-8").split(" ") if rng.random() < 0.66 else []
    for _ in range(rng.randint(1, 3)) if words else ():
        words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words).encode("utf-8", "surrogateescape") if words else mutated(content, seed)


def _place(damaged: bytearray, rng: random.Random) -> int:
    """Return a place: half of the time near an end, else anywhere."""
    if rng.random() < 0.5:
        near = rng.randrange(min(_HEADER, len(damaged)) or 1)
        return near if rng.random() < 0.7 else max(0, len(damaged) - 1 - near)
    return rng.randrange(len(damaged) or 1)


def _length(rng: random.Random) -> int:
    return rng.choice((1, 4, 16, 200, 4096))


def _flip(damaged: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 8, 64))):
        if damaged:
            damaged[_place(damaged, rng) % len(damaged)] ^= 1 << rng.randrange(8)


def _zero(damaged: bytearray, rng: random.Random) -> None:
    start, length = _place(damaged, rng), _length(rng)
    damaged[start : start + length] = bytes(len(damaged[start : start + length]))


def _repeat(damaged: bytearray, rng: random.Random) -> None:
    start, length = _place(damaged, rng), _length(rng)
    damaged[start:start] = damaged[start : start + length] * rng.choice((1, 2, 50))


def _drop(damaged: bytearray, rng: random.Random) -> None:
    start = _place(damaged, rng)
    del damaged[start : start + _length(rng)]


def _swap(damaged: bytearray, rng: random.Random) -> None:
    first, second, length = _place(damaged, rng), _place(damaged, rng), _length(rng)
    one, other = damaged[first : first + length], damaged[second : second + length]
    damaged[first : first + length], damaged[second : second + length] = other, one


def _insert(damaged: bytearray, rng: random.Random) -> None:
    start = _place(damaged, rng)
    damaged[start:start] = rng.randbytes(_length(rng))


def _truncate(damaged: bytearray, rng: random.Random) -> None:
    del damaged[_place(damaged, rng) :]


def _lie(damaged: bytearray, rng: random.Random) -> None:
    """Replace a field by a length that the file can't hold."""
    start, length = _place(damaged, rng), rng.choice(LENGTHS)
    damaged[start : start + len(length)] = length


_MUTATIONS: tuple[Mutation, ...] = (_flip, _zero, _repeat, _drop, _swap, _insert, _truncate, _lie, _lie)
