"""Which keys a run has come by: 8 bytes for each video, so that ten million take no room to speak of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DIGITS = 16
_RECENT = 1 << 16


class Seen:
    """Keys, told apart by their first 64 bits.

    Two different keys are taken for one with a chance of 3 in a million among ten million: enough to count by, and to
    tell what may have been seen.
    """

    def __init__(self) -> None:
        self._sorted: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def add(self, key: str) -> bool:
        """Note a key; return whether it is new.

        Args:
            key: 64 hexadecimal digits.
        """
        number = int(key[:_DIGITS], 16)
        if number in self._recent or self._is_old(np.uint64(number)):
            return False
        self._recent.add(number)
        if len(self._recent) >= _RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            recent.sort()
            self._sorted = np.insert(self._sorted, np.searchsorted(self._sorted, recent), recent)
            self._recent.clear()
        return True

    def _is_old(self, number: np.uint64) -> bool:
        place = int(np.searchsorted(self._sorted, number))
        return place < len(self._sorted) and bool(self._sorted[place] == number)
