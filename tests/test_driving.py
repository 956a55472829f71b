"""The driver's loop with extractors that are made up: who is asked what, and what is asked again of whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crews import FakeCrew, Harm, rows

from vqa.cache.ledger import Ledger
from vqa.errors import WeightsError
from vqa.pipeline.cluster.driving import CHUNK, HORIZON, Drive
from vqa.pipeline.cluster.members import Member, Node
from vqa.pipeline.cluster.planning import MOST_VIDEOS
from vqa.pipeline.cluster.results import Results
from vqa.pipeline.cluster.work import Row
from vqa.pipeline.progress import SILENT
from vqa.pipeline.storing import FailureBook


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
