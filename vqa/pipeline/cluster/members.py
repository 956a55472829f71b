"""Who works for a run, and what they answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vqa.errors import VqaError
from vqa.pipeline.cluster.work import Pulse


@dataclass(frozen=True)
class Node:
    """A node that is alive."""

    id: str
    host: str
    cpus: int
    gpus: float

    @property
    def name(self) -> str:
        """What to call it: nodes may share a machine."""
        return f"{self.host} ({self.id[:8]})"


@dataclass(eq=False)
class Member:
    """One extractor."""

    node: Node
    actor: Any
    late: bool = False
    """Whether it was started after others had begun: the run can do without it."""
    begun: bool = False
    """Whether it has started; its crew knows it first."""
    joined: bool = False
    """Whether it knows the run's candidates, and may be given work."""
    prepared: frozenset[int] = frozenset()
    """Candidates whose models it has loaded."""
    trying: bool = False
    """Whether it works on a video that others died with, and on nothing else."""
    busy: Counter[str] = field(default_factory=Counter)
    """How many calls of each method are under way."""
    pulsed: float = 0.0
    """When it was last asked how far it is, in seconds of a monotonic clock."""
    pulse: Pulse = field(default_factory=lambda: Pulse(0, 0))
    """How far it said it was."""


@dataclass(frozen=True)
class Answer:
    """What became of a call."""

    member: Member
    method: str
    arguments: tuple[Any, ...]
    value: Any = None
    lost: bool = False
    """The extractor has died."""
    to_blame: bool = False
    """It died although its node is alive."""


class Crew(Protocol):
    """Extractors that can be asked."""

    @property
    def members(self) -> Sequence[Member]:
        """Those that are thought to live."""

    def enlist(self) -> None:
        """Start extractors where they are missing."""

    def ask(self, member: Member, method: str, *arguments: Any) -> None:
        """Call a method of an extractor."""

    def dismiss(self, member: Member, error: VqaError) -> None:
        """Do without an extractor that came late and can't work with the others."""

    def wait(self, seconds: float) -> list[Answer]:
        """Return the answers that have come, after so many seconds at the latest."""
