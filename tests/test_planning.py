"""Blocks of a cluster's run: long videos first, of bounded size, every video once."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vqa.extract.decoding import Stamp
from vqa.pipeline.cluster.planning import MOST_SECONDS, MOST_VIDEOS, Planner
from vqa.pipeline.cluster.work import Todo

LENGTHS = st.lists(st.floats(0.01, 2000, allow_nan=False), max_size=300)
WORKERS = st.integers(1, 50)


def todo(number: int, seconds: float = 10.0, *, tries: int = 0) -> Todo:
    """Return a video whose key tells its number."""
    return Todo(f"v{number}", Path(f"v{number}.mp4"), f"{number:064x}", Stamp(1, 1), (0, 2), seconds, tries)


def cut_all(planner: Planner, workers: int, *, more: bool = False) -> list[tuple[Todo, ...]]:
    """Cut blocks until nothing waits."""
    blocks = []
    while block := planner.cut(workers, more=more):
        blocks.append(block)
    return blocks


def test_blocks_shrink_as_the_end_comes_near() -> None:
    planner = Planner()
    assert planner.add(todo(number) for number in range(60)) == 120
    assert [len(block) for block in cut_all(planner, 2)] == [10, 9, 7, 6, 5, 4, 4, 4, 4, 4, 3]


def test_while_more_is_to_come_each_worker_gets_its_whole_share() -> None:
    planner = Planner()
    planner.add(todo(number) for number in range(60))
    assert len(planner.cut(2, more=True)) == 30


def test_the_longest_come_first_and_equal_ones_in_their_order() -> None:
    planner = Planner()
    planner.add([todo(0, 5), todo(1, 700), todo(2, 30), todo(3, 30), todo(4, 90)])
    assert [[each.video for each in block] for block in cut_all(planner, 1)] == [["v1"], ["v4"], ["v2", "v3"], ["v0"]]


@given(LENGTHS, WORKERS, st.booleans())
def test_every_video_comes_out_once_in_bounded_blocks_the_longest_first(
    lengths: list[float], workers: int, more: bool
) -> None:
    planner, todos = Planner(), [todo(number, seconds) for number, seconds in enumerate(lengths)]
    assert planner.add(todos) == 2 * len(todos)
    blocks = cut_all(planner, workers, more=more)
    taken = [each for block in blocks for each in block]
    assert sorted(taken, key=lambda each: each.key) == todos
    assert [each.seconds for each in taken] == sorted(lengths, reverse=True)
    assert all(len(block) <= MOST_VIDEOS for block in blocks)
    assert all(len(block) == 1 or sum(each.seconds for each in block) <= MOST_SECONDS for block in blocks)
    assert (len(planner), planner.busy) == (0, bool(todos))
    for block in blocks:
        planner.finish(block)
    assert not planner.busy


@given(st.lists(st.integers(0, 9), max_size=60))
def test_the_same_bytes_come_once_until_they_are_done(numbers: list[int]) -> None:
    planner = Planner()
    assert planner.add(todo(number) for number in numbers) == 2 * len(set(numbers))
    blocks = cut_all(planner, 3)
    assert sorted(each.key for block in blocks for each in block) == sorted({todo(number).key for number in numbers})
    assert planner.add(todo(number) for number in numbers) == 0
    assert planner.cut(3) == ()


@given(LENGTHS, WORKERS, st.sets(st.integers(0, 299)))
def test_what_may_have_killed_its_worker_comes_alone_and_last(
    lengths: list[float], workers: int, suspects: set[int]
) -> None:
    planner = Planner()
    planner.add(todo(number, seconds) for number, seconds in enumerate(lengths))
    taken = [each for block in cut_all(planner, workers) for each in block]
    tried = [each for number, each in enumerate(taken) if number in suspects]
    untried = [each for number, each in enumerate(taken) if number not in suspects]
    planner.put_back(tried, tried=True)
    planner.put_back(untried, tried=False)
    blocks = cut_all(planner, workers)
    assert [block[0].key for block in blocks if block[0].tries] == [each.key for each in tried]
    assert all(len(block) == 1 for block in blocks if any(each.tries for each in block))
    firsts = [bool(block[0].tries) for block in blocks]
    assert firsts == sorted(firsts)
    assert sorted(each.key for block in blocks for each in block if not each.tries) == sorted(x.key for x in untried)


def test_tries_are_counted_for_each_video() -> None:
    planner = Planner()
    planner.add([todo(0), todo(1)])
    planner.put_back(planner.cut(1), tried=True)
    first = planner.cut(1)
    planner.put_back(first, tried=True)
    planner.finish(planner.cut(1))
    assert [(each.video, each.tries) for each in planner.cut(1)] == [("v0", 2)]
    assert planner.busy
