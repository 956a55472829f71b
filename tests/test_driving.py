"""The driver's loop with extractors that are made up: who is asked what, and what is asked again of whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vqa.cache.ledger import Ledger
from vqa.errors import VqaError, WeightsError
from vqa.extract.decoding import Stamp
from vqa.pipeline.cluster.driving import CHUNK, HORIZON, Drive
from vqa.pipeline.cluster.members import Answer, Member, Node
from vqa.pipeline.cluster.planning import MOST_VIDEOS
from vqa.pipeline.cluster.results import Results
from vqa.pipeline.cluster.work import Done, Looked, Prepared, Pulse, Row, Settled, Todo
from vqa.pipeline.progress import SILENT
from vqa.pipeline.storing import FailureBook

ASKED = (0, 1)


@dataclass(frozen=True)
class Named:
    """As much of a candidate as the driver looks at."""

    name: str
    precision: str = "float32"

    def __str__(self) -> str:
        return self.name


def rows(count: int) -> Iterator[Row]:
    return (Row(f"v{number}", Path(f"{number}.mp4")) for number in range(count))


def todo(row: Row) -> Todo:
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

    def _begin(self, member: Member) -> None: ...

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


@dataclass
class Finished:
    """A drive that went to its end."""

    crew: FakeCrew
    results: Results
    unavailable: Mapping[int, str]

    @property
    def videos(self) -> list[str]:
        return [each.video for _, each in self.crew.done]


@pytest.fixture
def drive(tmp_path: Path) -> Callable[..., Finished]:
    """Drive so many rows through a crew."""

    def go(crew: FakeCrew, count: int, *, source: Iterator[Row] | None = None) -> Finished:
        results = Results(FailureBook(Ledger(tmp_path / "cache")), SILENT, count)
        driver = Drive(crew, source or rows(count), results)
        driver.settle((), new_generation=False)
        driver.go()
        return Finished(crew, results, driver.unavailable)

    return go


def once(count: int) -> list[str]:
    return sorted(f"v{number}" for number in range(count))


def first_time(*, node: str, method: str) -> Callable[[Member, str, tuple[Any, ...]], bool]:
    """Die of the first such call on a node."""
    met: list[str] = []

    def dies(member: Member, asked: str, arguments: tuple[Any, ...]) -> bool:
        if met or member.node.id != node or asked != method:
            return False
        met.append(asked)
        return True

    return dies


def test_every_video_is_done_once_and_all_nodes_work(drive: Callable[..., Finished]) -> None:
    finished = drive(FakeCrew(3), 500)
    assert sorted(finished.videos) == once(500)
    assert {node for node, _ in finished.crew.done} == {"a", "b", "c"}
    assert (finished.results.videos, finished.results.decoded) == (500, 500)
    assert finished.results.stored == {0: 500, 1: 500}


@pytest.mark.parametrize("method", ["begin", "settle", "join", "look_at", "prepare", "agree_on", "work_on", "pulse"])
@pytest.mark.parametrize("blamed", [True, False])
def test_whatever_an_extractor_was_asked_when_it_died_others_do(
    drive: Callable[..., Finished], method: str, blamed: bool
) -> None:
    node = "b" if method == "join" else "a"  # the one that settles is not told what it knows
    finished = drive(FakeCrew(2, Harm(first_time(node=node, method=method), blamed=blamed)), 200)
    assert sorted(finished.videos) == once(200)
    assert not finished.results.failures
    assert [member.node.id for member in finished.crew.members] == (["b" if node == "a" else "a", node][: 1 + blamed])


def test_a_video_that_kills_three_extractors_is_given_up_and_takes_no_other_with_it(
    drive: Callable[..., Finished],
) -> None:
    killers = ("v7", "v8")

    def dies(member: Member, method: str, arguments: tuple[Any, ...]) -> bool:
        return method == "work_on" and any(each.video in killers for each in arguments[0])

    finished = drive(FakeCrew(1, Harm(dies)), 40)
    assert sorted(finished.videos) == sorted(set(once(40)) - set(killers))
    assert sorted(failure.video for failure in finished.results.failures.values()) == list(killers)
    reasons = {failure.reason for failure in finished.results.failures.values()}
    assert reasons == {"3 extractors died while they had it; try it by itself with --retry-failed"}
    for killer in killers:
        together = [block for _, block in finished.crew.blocks if killer in block]
        assert len(together) == 3
        assert together[1:] == [(killer,), (killer,)]


def test_a_suspect_is_alone_on_its_extractor(drive: Callable[..., Finished]) -> None:
    beside: list[int] = []

    def dies(member: Member, method: str, arguments: tuple[Any, ...]) -> bool:
        if method == "work_on" and arguments[0][0].tries:
            beside.append(member.busy["work_on"])
        return method == "work_on" and any(each.video == "v7" for each in arguments[0])

    drive(FakeCrew(2, Harm(dies)), 40)
    assert len(beside) > 2
    assert set(beside) == {0}


def test_a_node_that_goes_blames_no_video(drive: Callable[..., Finished]) -> None:
    harm = Harm(lambda member, method, _: method == "work_on" and member.node.id > "a", blamed=False)
    finished = drive(FakeCrew(4, harm), 90)
    assert sorted(finished.videos) == once(90)
    assert {each.tries for _, each in finished.crew.done} == {0}
    assert [node.id for node in finished.crew.nodes] == ["a"]


def test_weights_that_differ_between_nodes_are_refused(drive: Callable[..., Finished]) -> None:
    with pytest.raises(WeightsError, match=r"^one: its weights on host \(b\) are not those on host \(a\); name one "):
        drive(FakeCrew(2, Harm(weights={"b": "other"})), 90)


@pytest.mark.parametrize("without", ["a", "b"])
def test_a_model_that_one_node_lacks_is_refused(drive: Callable[..., Finished], without: str) -> None:
    having = "b" if without == "a" else "a"
    reason = rf"^two: can't be had on host \({without}\) \(gone\), while host \({having}\) has it; fetch it there "
    with pytest.raises(WeightsError, match=reason):
        drive(FakeCrew(2, Harm(lacking={without: {1: "gone"}})), 90)


def test_a_model_that_no_node_has_costs_only_itself(drive: Callable[..., Finished]) -> None:
    finished = drive(FakeCrew(2, Harm(lacking={"a": {1: "gone"}, "b": {1: "gone"}})), 90)
    assert finished.unavailable == {1: "gone"}
    assert sorted(finished.videos) == once(90)
    assert {each.models for _, each in finished.crew.done} == {(0,)}


def test_where_no_model_can_be_had_nothing_is_done(drive: Callable[..., Finished]) -> None:
    finished = drive(FakeCrew(2, Harm(lacking={node: {0: "gone", 1: "gone too"} for node in "ab"})), 90)
    assert finished.unavailable == {0: "gone", 1: "gone too"}
    assert finished.videos == []


def test_a_node_that_comes_late_and_cannot_do_the_work_is_left_out(
    drive: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vqa.pipeline.cluster.driving._ENLIST_SECONDS", 0)
    crew = FakeCrew(1, Harm(weights={"b": "other"}))
    late = Node("b", "host", 1, 0.0)
    enlist = crew.enlist

    def enlist_late() -> None:
        enlist()
        if crew.blocks and late.id not in crew.dismissed and not any(each.node is late for each in crew.members):
            member = Member(late, None, late=True)
            crew.members.append(member)
            crew.ask(member, "begin")

    crew.enlist = enlist_late  # type: ignore[method-assign]
    finished = drive(crew, 2000)
    assert crew.dismissed == ["b"]
    assert {node for node, _ in crew.done} == {"a"}
    assert finished.results.videos == 2000


def test_a_node_that_joins_late_gets_work(drive: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqa.pipeline.cluster.driving._ENLIST_SECONDS", 0)
    crew = FakeCrew(1)

    def dies(member: Member, method: str, arguments: tuple[Any, ...]) -> bool:
        if len(crew.done) > 50 and len(crew.nodes) == 1:
            crew.nodes.append(Node("late", "host", 1, 0.0))
        return False

    crew.harm.dies = dies
    finished = drive(crew, 2000)
    assert sorted(finished.videos) == once(2000)
    assert {node for node, _ in finished.crew.done} == {"a", "late"}


def test_rows_are_taken_only_as_they_are_needed(drive: Callable[..., Finished]) -> None:
    """However many there are: those that wait and those that are being looked at."""
    crew, taken, most = FakeCrew(2), 0, 0

    def counted() -> Iterator[Row]:
        nonlocal taken, most
        for row in rows(100_000):
            taken += 1
            most = max(most, taken - len(crew.done))
            yield row

    crew.is_slow = True
    finished = drive(crew, 100_000, source=counted())
    assert len(finished.videos) == len(set(finished.videos)) == 100_000
    assert HORIZON < most <= HORIZON + 2 * 2 * (CHUNK + MOST_VIDEOS)
