"""Extractors that are made up, for tests of the driver: they answer at once, or die of what they are asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqa.errors import VqaError
from vqa.extract.decoding import Stamp
from vqa.pipeline.cluster.members import Answer, Member, Node
from vqa.pipeline.cluster.work import Done, Looked, Prepared, Pulse, Row, Settled, Todo

ASKED = (0, 1)


@dataclass(frozen=True)
class Named:
    """As much of a candidate as the driver looks at."""

    name: str
    precision: str = "float32"

    def __str__(self) -> str:
        return self.name


def rows(count: int) -> Iterator[Row]:
    """Return so many rows."""
    return (Row(f"v{number}", Path(f"{number}.mp4")) for number in range(count))


def todo(row: Row) -> Todo:
    """Return what is to be done of a row: all that is asked for."""
    return Todo(row.video, row.file, f"{int(row.file.stem):016x}" + "0" * 48, Stamp(1, 1), ASKED, 10.0)


@dataclass
class Harm:
    """What is to go wrong."""

    dies: Callable[[Member, str, tuple[Any, ...]], bool] = lambda member, method, arguments: False
    """Whether an extractor dies of a call."""
    blamed: bool = True
    """Whether its node stays alive then."""
    lacking: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """By the node, candidates that can't be had there."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """By the node, SHA-256 of its weights; else `same`."""


class FakeCrew:
    """Extractors on nodes `a`, `b`, ... that answer at once, the longest asked first.

    Args:
        nodes: How many there are at first.
        harm: What goes wrong.
    """

    def __init__(self, nodes: int, harm: Harm | None = None) -> None:
        self.harm = harm or Harm()
        self.members: list[Member] = []
        self.nodes = [Node(chr(97 + number), "host", 1, 0.0) for number in range(nodes)]
        self.asked: deque[tuple[Member, str, tuple[Any, ...]]] = deque()
        self.done: list[tuple[str, Todo]] = []
        """By which node each video was done."""
        self.blocks: list[tuple[str, tuple[str, ...]]] = []
        self.dismissed: list[str] = []
        self.is_slow = False
        """Whether work on a block takes longer than all else."""

    def enlist(self) -> None:
        for node in self.nodes:
            if not any(member.node is node for member in self.members):
                member = Member(node, None)
                self.members.append(member)
                self.ask(member, "begin")

    def ask(self, member: Member, method: str, *arguments: Any) -> None:
        if method == "work_on":
            self.blocks.append((member.node.id, tuple(each.video for each in arguments[0])))
        member.busy[method] += 1
        self.asked.append((member, method, arguments))

    def dismiss(self, member: Member, error: VqaError) -> None:
        self.dismissed.append(member.node.id)
        self.members.remove(member)

    def wait(self, seconds: float) -> list[Answer]:
        if self.is_slow:
            self.asked = deque(sorted(self.asked, key=lambda asked: asked[1] in ("work_on", "pulse")))
        member, method, arguments = self.asked.popleft()
        member.busy[method] -= 1
        if member not in self.members or self.harm.dies(member, method, arguments):
            if member in self.members:
                self.members.remove(member)
                if not self.harm.blamed:
                    self.nodes.remove(member.node)
            return [Answer(member, method, arguments, lost=True, to_blame=self.harm.blamed)]
        return [Answer(member, method, arguments, getattr(self, f"_{method}")(member, *arguments))]

    def _begin(self, member: Member) -> None:
        member.begun = True

    def _join(self, member: Member, candidates: Sequence[Named]) -> None: ...

    def _agree_on(self, member: Member, probes: Mapping[int, Any]) -> None: ...

    def _settle(self, member: Member, specs: Sequence[Any], new_generation: bool) -> Settled:
        return Settled((Named("one"), Named("two")), {})

    def _look_at(self, member: Member, chunk: Sequence[Row]) -> Looked:
        todos = tuple(map(todo, chunk))
        return Looked(tuple(each.key for each in todos), ((),) * len(todos), todos, ())

    def _prepare(self, member: Member, models: Sequence[int]) -> Prepared:
        lacking = {place: why for place, why in self.harm.lacking.get(member.node.id, {}).items() if place in models}
        had = [place for place in models if place not in lacking]
        digest = self.harm.weights.get(member.node.id, "same")
        return Prepared(dict.fromkeys(had, digest), dict.fromkeys(had, (1.0, 2.0)), lacking)

    def _work_on(self, member: Member, block: Sequence[Todo]) -> Done:
        assert {place for each in block for place in each.models} <= member.prepared
        self.done += [(member.node.id, each) for each in block]
        stored = {place: sum(place in each.models for each in block) for place in ASKED}
        return Done(stored, {}, len(block), ())

    def _pulse(self, member: Member) -> Pulse:
        return Pulse(0, 0)
