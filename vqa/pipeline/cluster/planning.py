"""Cuts videos that are to be done into blocks: long ones first, large blocks first.

    videos, longest first   |------|-----|----|---|---|--|--|-|-|-|-|
    blocks                  |      0     |    1   |  2   | 3  | 4 | 5       each about a share of what is left

As in guided self-scheduling (Polychronopoulos and Kuck, 1987): each block is a part of what is left, so that all
workers end at about the same time however long a video really takes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import replace

from vqa.pipeline.cluster.work import Todo

MOST_VIDEOS = 64
"""Of a block: as many as a segment holds."""
MOST_SECONDS = 640.0
"""Of video in a block."""
_LEAST_VIDEOS = 4
_LEAST_SECONDS = 40.0
"""A block that has neither is not worth a segment of its own."""
_SHARE = 3
"""A block is that part of what one worker still has to do."""


class Planner:
    """Videos that wait for a worker. Two of the same bytes are one: the second waits for none.

    A video whose worker has died is a suspect: it comes last, when its death harms nobody else's work, and alone.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[bool, float, int, Todo]] = []
        self._order = itertools.count()
        self._seconds = 0.0
        self._keys: set[str] = set()
        """Of videos that wait or are in work."""

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def busy(self) -> bool:
        """Whether any video waits or is in work."""
        return bool(self._keys)

    @property
    def comes_to_suspects(self) -> bool:
        """Whether only suspects wait."""
        return bool(self._heap) and self._heap[0][0]

    def add(self, todos: Iterable[Todo]) -> int:
        """Take videos that are to be done; return how many pairs are new."""
        pairs = 0
        for todo in todos:
            if todo.key not in self._keys:
                self._keys.add(todo.key)
                self._push(todo)
                pairs += len(todo.models)
        return pairs

    def put_back(self, block: Iterable[Todo], *, tried: bool) -> None:
        """Take back a block that came to nothing.

        Args:
            block: Its videos.
            tried: Whether one of them may be to blame.
        """
        for todo in block:
            self._push(replace(todo, tries=todo.tries + tried, begun=True))

    def finish(self, block: Iterable[Todo]) -> None:
        """Note that a block is done."""
        self._keys.difference_update(todo.key for todo in block)

    def cut(self, workers: int, *, more: bool = False) -> tuple[Todo, ...]:
        """Take the next block off what waits, longest videos first, suspects last; empty where none waits.

        Args:
            workers: How many share what is left.
            more: Whether more is known to come.
        """
        if not self._heap:
            return ()
        parts = (1 if more else _SHARE) * max(1, workers)
        seconds = min(MOST_SECONDS, max(_LEAST_SECONDS, self._seconds / parts))
        videos = min(MOST_VIDEOS, max(_LEAST_VIDEOS, -(-len(self._heap) // parts)))
        block = [self._pop()]
        held = block[0].seconds
        while self._heap and not self._heap[0][0] and len(block) < videos and held < seconds:
            if held + self._heap[0][3].seconds > MOST_SECONDS:
                break
            block.append(self._pop())
            held += block[-1].seconds
        return tuple(block)

    def _push(self, todo: Todo) -> None:
        heapq.heappush(self._heap, (todo.tries > 0, -todo.seconds, next(self._order), todo))
        self._seconds += todo.seconds

    def _pop(self) -> Todo:
        todo = heapq.heappop(self._heap)[3]
        self._seconds = max(0.0, self._seconds - todo.seconds) if self._heap else 0.0
        return todo
