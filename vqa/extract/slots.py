"""Slots: shared memory for the views of one video each, made and freed by the main process."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vqa.errors import VqaError
from vqa.extract.items import bytes_needed
from vqa.extract.looking import Block
from vqa.extract.shared import room, share
from vqa.extract.spec import Candidate

_MEBI = 1 << 20


class Slot:
    """Shared memory for the views of one video.

    Raises:
        VqaError: the system has no room for it.
    """

    def __init__(self, size: int) -> None:
        try:
            self._memory = share(max(size, 1))
        except OSError as error:
            raise VqaError(
                f"shared memory: no room for {size // _MEBI + 1} MB more ({error.strerror}); "
                "lower --memory, or wait for the other runs on this machine"
            ) from error

    @property
    def name(self) -> str:
        """By which a worker finds it."""
        return self._memory.name

    @property
    def buffer(self) -> memoryview:
        """Its bytes."""
        return self._memory.buffer

    def block(self, block: Block) -> Tensor:
        """Return a view's frames, uint8 (count, 3, h, w), without copying them."""
        return block.within(self.buffer)

    def close(self) -> None:
        """Give the memory back; a tensor that still looks at it keeps it mapped until it goes."""
        self._memory.close()


def slot_count(candidates: Sequence[Candidate], memory_bytes: int, wanted: int, *, spans: int = 1) -> tuple[int, int]:
    """Return how many slots to make, and their size in bytes: two at least, so that one is filled while one is read.

    Args:
        candidates: All that look at a video at once.
        memory_bytes: What all slots may take together.
        wanted: More than this would never be used.
        spans: Most parts of a video that are looked at as videos of their own.

    Raises:
        VqaError: not even two videos fit, or the one that is wanted.
    """
    size = bytes_needed(candidates) * spans
    limit, source = memory_bytes, "--memory"
    if (left := room()) is not None and (free := left[0] * 9 // 10) < limit:
        limit, source = free, left[1]
    least = min(2, wanted)
    if least * size > limit:
        raise VqaError(
            f"the frames of {least} video(s) for {len(candidates)} models take {least * size // _MEBI + 1} MB, more "
            f"than {source} ({limit // _MEBI} MB); raise it, or take fewer models at once"
        )
    return (min(wanted, limit // size) if size else wanted), size
