"""How many actors a node gets, and what is said while none has started; no cluster is started here."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("ray")

from ray.exceptions import ActorDiedError, RayTaskError

from vqa.errors import VqaError
from vqa.files import Downloads
from vqa.pipeline.cluster import crew as module
from vqa.pipeline.cluster.connecting import RayOptions
from vqa.pipeline.cluster.crew import Crew
from vqa.pipeline.cluster.head import Head
from vqa.pipeline.cluster.members import Member, Node
from vqa.pipeline.cluster.work import Order
from vqa.settings import ExtractSettings


def crew(options: RayOptions, notes: list[str] | None = None) -> Crew:
    def order(cores: int) -> Order:
        return Order(None, ExtractSettings(), False, cores, Downloads())  # type: ignore[arg-type]

    return Crew(order, options, lambda nodes: None, ([] if notes is None else notes).append, head=Head("127.0.0.1:1"))


@pytest.mark.parametrize(
    ("num_cpus", "num_gpus", "cpus", "gpus", "actors", "each"),
    [
        (None, None, 16, 0.0, 1, (16, 0.0)),
        (None, None, 16, 2.0, 1, (16, 2.0)),
        (4, None, 16, 0.0, 4, (4, 0.0)),
        (5, None, 16, 0.0, 3, (5, 0.0)),
        (4, 1.0, 16, 2.0, 2, (4, 1.0)),
        (2, 0.5, 16, 2.0, 4, (2, 0.5)),
        (2, 0.1, 16, 1.0, 8, (2, 0.1)),
        (2, 0.6, 16, 2.0, 2, (2, 0.6)),
        (2, 0.3, 16, 2.0, 6, (2, 0.3)),
        (1, 0.1, 16, 1.0, 10, (1, 0.1)),
        (4, 0.0, 16, 2.0, 4, (4, 0.0)),
        (32, None, 16, 2.0, 0, (32, 2.0)),
        (1, 4.0, 16, 2.0, 0, (1, 4.0)),
    ],
)
def test_a_node_gets_as_many_actors_as_its_cores_and_gpus_are_enough_for(
    num_cpus: int | None, num_gpus: float | None, cpus: int, gpus: float, actors: int, each: tuple[int, float]
) -> None:
    made, node = crew(RayOptions(num_cpus=num_cpus, num_gpus=num_gpus)), Node("0" * 56, "node", cpus, gpus)
    assert (made._room(node), made._share(node)) == (actors, each)


@pytest.mark.parametrize(
    "wrong", [{"num_cpus": 0}, *({"num_gpus": gpus} for gpus in (-1.0, float("inf"), float("nan"), 1.5, 0.00005))]
)
def test_an_actor_of_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(VqaError, match="an actor can't have"):
        RayOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alive", "deaths", "options", "said"),
    [
        (0, 0, RayOptions(), "no node with a core is alive"),
        (1, 3, RayOptions(), "extractors on all 1 node(s) died 3 times or more"),
        (1, 0, RayOptions(num_cpus=8), "none of 1 node(s) has 8 cores and 0 GPUs for an actor; lower --num-cpus"),
    ],
)
def test_a_run_that_nobody_can_work_for_says_why(
    alive: int, deaths: int, options: RayOptions, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, node = crew(options), Node("0" * 56, "node", 4, 0.0)
    monkeypatch.setattr(module, "alive_nodes", lambda: [node] * alive)
    monkeypatch.setattr(made._head, "require", lambda now=False: None)
    made._deaths[node.id] = deaths
    with pytest.raises(VqaError, match=re.escape(said)):
        made.enlist()


def test_decoders_alone_are_no_crew(monkeypatch: pytest.MonkeyPatch) -> None:
    made, helping = crew(RayOptions()), Node("1" * 56, "decodes", 4, 0.0)
    monkeypatch.setattr(module, "alive_nodes", lambda: [helping])
    monkeypatch.setattr(made._head, "require", lambda now=False: None)
    made._helpers.append(Member(helping, None))
    with pytest.raises(VqaError, match="the nodes that have a GPU are gone; start one again, or add --device cpu"):
        made.enlist()


class Dying:
    """An actor that answers so many more times."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.__ray_ready__ = self
        self.work_on = self

    def options(self, **_: object) -> Dying:
        return self

    def remote(self, *arguments: object) -> tuple[Dying, bool]:
        return self, bool(arguments)


def get(reference: tuple[Dying, bool], timeout: float | None = None) -> None:
    actor, is_work = reference
    if is_work:
        raise RayTaskError("work_on", "", ConnectionResetError(104, "Connection reset by peer"))
    actor.answers -= 1
    if actor.answers < 0:
        raise ActorDiedError


@pytest.mark.parametrize(("answers", "is_lost"), [(0, True), (2, True), (10**9, False)])
def test_what_an_extractor_says_while_it_dies_is_no_error_of_the_run(
    answers: int, is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DYING_SECONDS", 1.0)
    monkeypatch.setattr(module.ray, "get", get)
    monkeypatch.setattr(module, "alive_nodes", list)
    made = crew(RayOptions())
    monkeypatch.setattr(made._head, "require", lambda now=False: None)
    member = Member(Node("0" * 56, "node", 1, 0.0), Dying(answers))
    made.members.append(member)
    made.ask(member, "work_on", ())
    (reference,) = made._asked
    if is_lost:
        answer = made._answer(reference)
        assert (answer.lost, answer.to_blame, made.members) == (True, False, [])
    else:
        with pytest.raises(ConnectionResetError):
            made._answer(reference)


def test_it_is_said_once_that_no_actor_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    made = crew(RayOptions(), notes)
    member = Member(Node("0" * 56, "node", 1, 0.0), None)
    made.members.append(member)
    made._tell_of_waiting()
    assert notes == []
    monkeypatch.setattr(module, "_START_SECONDS", -1.0)
    member.begun = True
    made._tell_of_waiting()
    assert notes == []
    member.begun = False
    made._tell_of_waiting()
    made._tell_of_waiting()
    assert len(notes) == 1
    assert "ray status" in notes[0]
