"""A cache's life is struck at each single operation: its writer is killed there, or the disk refuses."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cachework import check, failure, make_videos, whole, work
from disk import Disk, recorded
from striking import Strike

from vqa.cache.ledger import Ledger
from vqa.errors import CacheError

Thing = tuple[str, ...]
# A fork copies what is imported: a fresh interpreter for each of a hundred deaths would take minutes.
FORK = multiprocessing.get_context("fork")


def count_operations(folder: Path, videos: list[Path]) -> int:
    """Return how many operations an undisturbed life takes."""
    folder.mkdir()
    with recorded(folder) as operations:
        work(folder / "cache", videos, lambda thing: None)
    return len(operations)


def live_struck(folder: Path, videos: list[Path], strike: Strike, promises: Path) -> None:
    """Live until the strike; promises are noted outside the watched folder."""
    with promises.open("a", buffering=1) as file, Disk(folder, strike):
        work(folder / "cache", videos, lambda thing: file.write(json.dumps(thing) + "\n"))


def read_promises(file: Path) -> list[Thing]:
    return [tuple(json.loads(line)) for line in file.read_text().splitlines()]


def struck_lives(tmp_path: Path, live: Callable[[Path, list[Path], int, Path], None]) -> Iterator[tuple[Path, Path]]:
    """Yield, for each operation, the cache of a life that was struck there, and the file with what it promised."""
    videos = make_videos(tmp_path / "videos")
    count = count_operations(tmp_path / "undisturbed", videos)
    assert count > 30
    for number in range(1, count + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        live(folder, videos, number, tmp_path / f"{number}.promises")
        yield folder / "cache", tmp_path / f"{number}.promises"


def check_and_finish(cache: Path, videos: list[Path], promised: list[Thing]) -> None:
    check(cache, videos, promised)
    work(cache, videos, lambda thing: None)
    check(cache, videos, whole())
    assert not [path for path in cache.rglob("*") if "tmp" in path.name]


@pytest.mark.parametrize("how", [pytest.param("kill", marks=pytest.mark.slow), "kill midway"])
def test_a_writer_killed_at_any_operation_loses_nothing_that_was_promised(tmp_path: Path, how: str) -> None:
    def live(folder: Path, videos: list[Path], number: int, promises: Path) -> None:
        process = FORK.Process(target=live_struck, args=(folder, videos, Strike(number, how), promises))
        process.start()
        process.join()
        assert process.exitcode == -9

    for cache, promises in struck_lives(tmp_path, live):
        check_and_finish(cache, sorted((tmp_path / "videos").iterdir()), read_promises(promises))


@pytest.mark.parametrize(
    "how", ["full", *(pytest.param(how, marks=pytest.mark.slow) for how in ("error", "half", "short"))]
)
def test_an_operation_that_the_disk_refuses_is_said_in_one_line_and_stores_nothing_wrong(
    tmp_path: Path, how: str
) -> None:
    said = []

    def live(folder: Path, videos: list[Path], number: int, promises: Path) -> None:
        try:
            live_struck(folder, videos, Strike(number, how), promises)
        except CacheError as error:
            said.append(str(error))

    for cache, promises in struck_lives(tmp_path, live):
        check_and_finish(cache, sorted((tmp_path / "videos").iterdir()), read_promises(promises))
    assert len(said) > 20
    assert all("\n" not in line and "can't be written" in line and str(tmp_path) in line for line in said), said


@pytest.mark.parametrize("how", ["error", "half"])
def test_a_ledger_that_could_not_write_a_line_keeps_the_next_one(tmp_path: Path, how: str) -> None:
    ledger = Ledger(tmp_path / "cache")
    ledger.add(failure("v0"))
    refused = pytest.raises(CacheError, match=r"failures/.*can't be written \(Input/output error\)")
    with refused, Disk(tmp_path, Strike(1, how, kinds=("write",))):
        ledger.add(failure("v1"))
    ledger.add(failure("v2"))
    assert [entry.video for entry in Ledger(tmp_path / "cache").open_failures()] == ["v0", "v2"]
