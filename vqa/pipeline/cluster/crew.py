"""The extractors of a run, one or more on each node: started, asked, lost, and started again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import ray

from vqa.errors import VqaError
from vqa.pipeline.cluster.connecting import RayOptions
from vqa.pipeline.cluster.extractor import Extractor
from vqa.pipeline.cluster.head import Head
from vqa.pipeline.cluster.helping import Helper
from vqa.pipeline.cluster.members import Answer, Member, Node
from vqa.pipeline.cluster.nodes import alive_nodes, named, on
from vqa.pipeline.cluster.work import Order

_LOOKS, _WORKS = "looks", "works"
_GROUPS = {_LOOKS: 1, _WORKS: 4}
_OTHERS = 3
_TO_BEGIN_WITH = ("begin", "join", "prepare")
"""What shows that a node can't do the work."""
_MOST_DEATHS = 3
"""Of extractors on one node that is alive, with no block done between; those a suspect caused don't count."""
_STOP_SECONDS = 60.0
_START_SECONDS = 60.0
_DYING_SECONDS = 10.0


class Crew:
    """Extractors on all nodes of a cluster.

    Args:
        order: What the run is; each extractor gets its own number of cores.
        options: What each extractor gets of its node.
        check: Looks at nodes before they get an extractor; raises where they can't have one.
        note: Told what a user should know.
        head: Watches over the head node.
        on_gpus: Whether models run on GPUs where there are some; nodes without one then decode for those that have.
    """

    def __init__(
        self,
        order: Callable[[int], Order],
        options: RayOptions,
        check: Callable[[Sequence[Node]], None],
        note: Callable[[str], None],
        *,
        head: Head,
        on_gpus: bool = True,
    ) -> None:
        self._order, self._options, self._check, self._note = order, options, check, note
        self._head = head
        self._began = time.monotonic()
        self._is_told = False
        self._on_gpus = on_gpus and options.num_gpus != 0
        self.members: list[Member] = []
        """The extractors."""
        self._helpers: list[Member] = []
        self._asked: dict[Any, tuple[Member, str, tuple[Any, ...]]] = {}
        self._known: set[str] = set()
        """Nodes that were looked at."""
        self._deaths: Counter[str] = Counter()
        self._left_out: set[str] = set()
        """Nodes that came late and can't work with the others."""
        self._is_first = True

    def enlist(self) -> None:
        """Start extractors on nodes that have none: new ones, and those whose extractor has died.

        Raises:
            VqaError: no node has room, or one can't work with the others.
        """
        self._head.require(now=True)
        nodes = alive_nodes()
        self._look_at([node for node in nodes if node.id not in self._known])
        nodes = [node for node in nodes if node.id not in self._left_out]
        with_gpus = self._on_gpus and any(node.gpus for node in nodes)
        for node in [node for node in nodes if self._deaths[node.id] < _MOST_DEATHS]:
            here = sum(member.node.id == node.id for member in [*self.members, *self._helpers])
            helps = with_gpus and not node.gpus
            for _ in range((1 if helps else self._room(node)) - here):
                self._start(node, helps=helps)
        if not self.members:
            raise VqaError(self._emptiness(nodes))
        self._is_first = False
        self._tell_of_waiting()

    def _look_at(self, nodes: Sequence[Node]) -> None:
        """Look at new nodes: those to begin with must all be fit, one that comes later is left out if it is not."""
        self._known |= {node.id for node in nodes}
        if self._is_first:
            self._check(nodes)
            return
        for node in nodes:
            try:
                self._check([node])
            except VqaError as error:
                self._leave_out(node, error)

    def _leave_out(self, node: Node, error: VqaError) -> None:
        self._left_out.add(node.id)
        self._note(f"this node is left out: {error}")

    def dismiss(self, member: Member, error: VqaError) -> None:
        """Do without an extractor that came late and can't work with the others, and without its node."""
        self._leave_out(member.node, error)
        if member in self.members:
            self.members.remove(member)
        ray.kill(member.actor)

    def _tell_of_waiting(self) -> None:
        """Say once why nothing happens: Ray starts an actor when its node has the cores free."""
        late = time.monotonic() - self._began > _START_SECONDS
        if late and not self._is_told and not any(member.begun for member in self.members):
            self._is_told = True
            self._note("no actor has started yet; other programs may have the nodes' cores or GPUs: see `ray status`")

    def _emptiness(self, nodes: Sequence[Node]) -> str:
        if self._helpers:
            return (
                "the nodes that have a GPU are gone; start one again, or add --device cpu. "
                "What was stored stays, the same command goes on"
            )
        if any(self._deaths.values()) and nodes:
            return (
                f"extractors on all {len(nodes)} node(s) died {_MOST_DEATHS} times or more with nothing done between; "
                "look at their memory and at Ray's logs. What was stored stays, the same command goes on"
            )
        if not nodes:
            return "no node with a core is alive; start one with `ray start --address=...`. The same command goes on"
        each = f"{self._options.num_cpus or 1} cores and {self._options.num_gpus or 0:g} GPUs"
        return f"none of {len(nodes)} node(s) has {each} for an actor; lower --num-cpus or --num-gpus"

    def _room(self, node: Node) -> int:
        """Return how many extractors a node is to have."""
        cpus, gpus = self._share(node)
        by_cpus = node.cpus // cpus
        if not gpus:
            return by_cpus
        by_gpus = int(node.gpus) * int(1 / gpus + 1e-9) if gpus < 1 else int(node.gpus // gpus)
        return min(by_cpus, by_gpus)

    def _share(self, node: Node) -> tuple[int, float]:
        cpus, gpus = self._options.num_cpus, self._options.num_gpus
        return node.cpus if cpus is None else cpus, node.gpus if gpus is None else gpus

    def _start(self, node: Node, *, helps: bool) -> None:
        cpus, gpus = (node.cpus, 0.0) if helps else self._share(node)
        kind = ray.remote(Helper) if helps else ray.remote(concurrency_groups=_GROUPS)(Extractor)
        actor = kind.options(
            num_cpus=cpus,
            num_gpus=gpus,
            scheduling_strategy=on(node),
            max_restarts=0,
            max_concurrency=2 * cpus + _OTHERS if helps else _OTHERS,
        ).remote(self._order(cpus))
        member = Member(node, actor, late=not self._is_first)
        (self._helpers if helps else self.members).append(member)
        self.ask(member, "begin")

    def _share_help(self) -> None:
        """Tell all extractors who decodes for them, each with its part."""
        ready = [member for member in self._helpers if member.begun]
        helpers = [(member.actor, member.node.cpus / max(1, len(self.members))) for member in ready]
        for extractor in self.members:
            self.ask(extractor, "take_help", helpers)

    def ask(self, member: Member, method: str, *arguments: Any) -> None:
        """Call a method of an extractor; `wait` gives the answer."""
        group = {"look_at": _LOOKS, "work_on": _WORKS}.get(method)
        call = getattr(member.actor, method)
        reference = (call.options(concurrency_group=group) if group else call).remote(*arguments)
        self._asked[reference] = (member, method, arguments)
        member.busy[method] += 1

    def wait(self, seconds: float) -> list[Answer]:
        """Return the answers that have come, after so many seconds at the latest.

        Raises:
            VqaError: an extractor can't go on, the message names its node; or the head node is gone.
        """
        self._head.require()
        if not self._asked:
            time.sleep(seconds)
            return []
        ready, _ = ray.wait(list(self._asked), num_returns=1, timeout=seconds)
        also, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        answers = [self._answer(reference) for reference in dict.fromkeys([*ready, *also])]
        begun = [answer.member for answer in answers if answer.method == "begin" and not answer.lost]
        for member in begun:
            member.begun = True
            if member in self._helpers:
                self.ask(member, "live")
        if self._helpers and begun:
            self._share_help()
        return [answer for answer in answers if answer.member not in self._helpers]

    def _answer(self, reference: Any) -> Answer:
        member, method, arguments = self._asked.pop(reference)
        member.busy[method] -= 1
        try:
            value = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            to_blame = self._take(member, method, error)
        except ray.exceptions.RayError:
            to_blame = self._bury(member)
        else:
            if method == "work_on":
                self._deaths[member.node.id] = 0
            return Answer(member, method, arguments, value)
        return Answer(member, method, arguments, lost=True, to_blame=to_blame)

    def _take(self, member: Member, method: str, error: ray.exceptions.RayTaskError) -> bool:
        """Do without an extractor that raised, or raise what it did; return whether what it did is to blame."""
        told = _told(member.node, error)
        if not isinstance(told, VqaError) and _dies(member):
            return self._bury(member)
        if not (member.late and isinstance(told, VqaError) and method in _TO_BEGIN_WITH):
            raise told from error
        self.dismiss(member, told)
        return False

    def _bury(self, member: Member) -> bool:
        """Forget an extractor that has died; return whether its node is alive."""
        self._head.require(now=True)
        alive = any(node.id == member.node.id for node in alive_nodes())
        for members in (self.members, self._helpers):
            if member in members:
                members.remove(member)
                self._deaths[member.node.id] += alive and not member.trying
        return alive

    def stop(self) -> None:
        """Let all extractors store what is whole, and end."""
        if self._head.is_lost:  # they end by themselves
            return
        begun = [member for member in [*self.members, *self._helpers] if member.begun]
        ending = [member.actor.stop.remote() for member in begun]
        if ending:
            ray.wait(ending, num_returns=len(ending), timeout=_STOP_SECONDS)


def _dies(member: Member) -> bool:
    """Return whether an extractor is about to die: it may be the last of its node's processes to go.

    What it then says, a connection that is reset or a process that is gone, is none of the run's errors.
    """
    end = time.monotonic() + _DYING_SECONDS
    while time.monotonic() < end:
        try:
            ray.get(member.actor.__ray_ready__.remote(), timeout=1)
        except ray.exceptions.GetTimeoutError:
            continue
        except ray.exceptions.RayError:
            return True
        time.sleep(0.1)
    return False


def _told(node: Node, error: ray.exceptions.RayTaskError) -> BaseException:
    """Return what an extractor raised; what a user can meet names the node."""
    cause: BaseException = error.cause
    return named(node, cause) if isinstance(cause, VqaError) else cause
