"""How much a command tells beside its results: errors alone, as usual, or what it does and why as well.

What is done and why goes to the loggers of the modules that do it, all below `vqa`; a program that uses vqa as a
library hears it through `logging`, as of any other.
"""

from __future__ import annotations

from enum import Enum


class Loudness(Enum):
    """What stands on stderr."""

    QUIET = "errors alone"
    USUAL = "progress and notes as well"
    VERBOSE = "what is done and why as well"


_loudness = Loudness.USUAL


def loudness() -> Loudness:
    """Return what holds, for the whole process."""
    return _loudness


def settle_loudness(wanted: Loudness) -> None:
    """Settle how much is told from now on, for the whole process."""
    global _loudness
    _loudness = wanted
