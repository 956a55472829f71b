"""Harm done to a run on a cluster: it goes on, or the next one does; nothing stored is lost or done again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from clusters import Nodes, cluster, rows_of, said
from faults import Pairs, environment, finish, readable_pairs, reasons, stored, temporary_files, workspace

pytest.importorskip("ray")

MODELS = ("trap:mean", "trap:mixture")
GREYS = tuple(range(10, 94, 3))
KILLS = 250
BEGUN = 14
"""Pairs after which a run is held: with segments of 3, two nodes have written one at the least."""

Run = Callable[..., tuple[int, str, str]]


@dataclass
class Harmed:
    """A workspace, a run in it that is held in its middle, and what the cache held then."""

    folder: Path
    base: Path
    nodes: Nodes
    process: subprocess.Popen[str] | None = None
    before: Pairs = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def begin(self) -> None:
        """Start a run, and wait until it is held and has written something."""
        (self.base / "hold").write_text(str(BEGUN))
        self.process = self.nodes.start(self.folder, "--json", models=MODELS)
        self.wait(lambda: len(self.puts()) >= BEGUN and bool(rows_of(self.cache)))
        self.before = readable_pairs(self.cache)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until something is so, while the run goes on."""
        assert self.process is not None
        deadline = time.monotonic() + 200
        while not done():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def let_go(self) -> None:
        """Hold it no longer."""
        (self.base / "hold").unlink(missing_ok=True)

    def end(self) -> tuple[int, str, list[str]]:
        """Let it run to its end; return its status, its output and what it told."""
        self.let_go()
        assert self.process is not None
        status, out, err = finish(self.process)
        return status, out, said(err)

    def puts(self) -> list[list[str]]:
        """Return candidate, key and process of each pair that was put."""
        file = self.base / "puts"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def assert_whole(self, run: Run) -> None:
        """All pairs are there; what could be read before the harm is as it was, and was computed once."""
        now, rows = readable_pairs(self.cache), Counter(rows_of(self.cache))
        assert len(now) == len(GREYS) * len(MODELS)
        assert self.before.items() <= now.items()
        puts = Counter((name, key) for name, key, _ in self.puts())
        names = {print_: name for name in MODELS for print_, _ in now if self.folder_of(print_).startswith(name[5:])}
        for print_, key in self.before:
            assert puts[names[print_], key] == 1
            assert rows[self.folder_of(print_, whole=True), key] == 1
        assert sum(puts.values()) < 2 * len(now)
        assert run("cache", "verify", "-C", self.folder)[0] == 0
        run("cache", "compact", "-C", self.folder)  # sweeps what a process left that was killed in a write
        assert temporary_files(self.cache) == []

    def folder_of(self, print_: str, *, whole: bool = False) -> str:
        """Return the name of a candidate's folder, without the backend unless it is to be whole."""
        (folder,) = self.cache.glob(f"*-{print_}*")
        return folder.name if whole else folder.name.partition("_")[2]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nodes, Path]]:
    base = tmp_path_factory.mktemp("faults")
    orders = {name: str(base / name) for name in ("puts", "hold", "meet")}
    site = workspace(base / "site", ())
    told = environment(site, **orders, segment=3, delay=0.03, kills=KILLS, **{"cache": str(base)})
    with cluster(2, {name: told[name] for name in ("PYTHONPATH", "VQA_TRAP")}) as running:
        yield running, base


@pytest.fixture
def harmed(nodes: tuple[Nodes, Path], request: pytest.FixtureRequest) -> Iterator[Harmed]:
    running, base = nodes
    (base / "meet").write_text("1")
    for mark in [*base.glob("meet-*"), *base.glob("puts")]:
        mark.unlink()
    made = Harmed(workspace(base / request.node.name, GREYS), base, running)
    try:
        yield made
    finally:
        made.let_go()
        if made.process is not None:
            made.process.kill()


@pytest.mark.slow
def test_a_run_bears_the_loss_of_an_extractor(harmed: Harmed, run: Run) -> None:
    harmed.begin()
    harmed.nodes.extractors()[1].kill()
    status, out, told = harmed.end()
    assert (status, told) == (0, [])
    assert '"failures": []' in out
    harmed.assert_whole(run)


def test_a_node_that_joins_works_and_a_node_and_an_extractor_that_go_are_done_without(harmed: Harmed, run: Run) -> None:
    (harmed.base / "meet").write_text("3")
    harmed.process = harmed.nodes.start(harmed.folder, "--json", models=MODELS)
    harmed.wait(lambda: len(list(harmed.base.glob("meet-*"))) == 2)
    (harmed.base / "hold").write_text(str(BEGUN))
    harmed.nodes.add()
    harmed.wait(lambda: len(list(harmed.base.glob("meet-*"))) == 3)
    harmed.wait(lambda: len(harmed.puts()) >= BEGUN and bool(rows_of(harmed.cache)))
    harmed.before = readable_pairs(harmed.cache)
    harmed.nodes.remove(1)
    harmed.wait(lambda: len(harmed.nodes.extractors()) == 2)
    harmed.nodes.extractors()[0].kill()
    status, out, told = harmed.end()
    assert (status, told) == (0, [])
    assert '"failures": []' in out
    harmed.assert_whole(run)
    assert len({process for _, _, process in harmed.puts()}) in (3, 4)  # the extractor that took the dead one's place


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_driver_that_is_gone_leaves_what_is_whole_and_the_next_goes_on(
    harmed: Harmed, run: Run, number: signal.Signals, status: int
) -> None:
    harmed.begin()
    assert harmed.process is not None
    os.killpg(harmed.process.pid, number)  # as a terminal does
    found, out, told = harmed.end()
    assert (found, out, len(told)) == (status, "", 0 if number == signal.SIGKILL else 1), told
    wait_for_none(harmed.nodes.extractors)
    kept = readable_pairs(harmed.cache)
    assert harmed.before.items() <= kept.items()
    if number == signal.SIGINT:
        assert len(kept) == len(harmed.puts())
    status, report, _ = harmed.nodes.extract(harmed.folder, models=MODELS)
    assert (status, stored(report)) == (0, len(GREYS) * len(MODELS) - len(kept))
    harmed.before = kept
    harmed.assert_whole(run)


def wait_for_none(left: Callable[[], list[psutil.Process]]) -> None:
    """Wait until processes are gone."""
    deadline = time.monotonic() + 60
    while found := left():
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.slow
def test_a_video_that_kills_its_extractors_is_given_up(harmed: Harmed) -> None:
    folder = workspace(harmed.base / "killer", (*GREYS[:9], KILLS, *GREYS[9:12]))
    status, report, err = harmed.nodes.extract(folder, models=MODELS)
    assert status == 3
    reason = "3 extractors died while they had it; try it by itself with --retry-failed"
    assert reasons(report) == {"09-250.mp4": reason}
    assert said(err) == []
    rows = [line for file in (folder / "cache" / "failures").iterdir() for line in file.read_text().splitlines()]
    assert len(rows) == 1
    pairs = readable_pairs(folder / "cache")
    assert len({key for _, key in pairs}) in (12, 13)  # what is measured while decoding may be stored before it dies
    assert len(pairs) >= 12 * len(MODELS)
    status, report, _ = harmed.nodes.extract(folder, models=MODELS)
    assert (status, report["decoded"], reasons(report)) == (3, 0, {"09-250.mp4": reason})


@pytest.mark.slow
def test_where_all_nodes_are_lost_one_line_says_so(tmp_path: Path, run: Run) -> None:
    base, folder = tmp_path, tmp_path / "w"
    workspace(folder, GREYS)
    told = environment(folder, puts=str(base / "puts"), hold=str(base / "hold"), segment=3)
    variables = {name: told[name] for name in ("PYTHONPATH", "VQA_TRAP")}
    with cluster(2, variables) as running:
        harmed = Harmed(folder, base, running)
        harmed.begin()
        address = running.address
        running.remove(1)
        running.remove(0)
        status, out, lines = harmed.end()
    assert (status, out) == (1, ""), lines
    assert lines == [
        f"Error: {address}: the cluster's head node is gone; start the cluster anew. "
        "What was stored stays, the same command goes on"
    ]
    kept = readable_pairs(harmed.cache)
    assert harmed.before.items() <= kept.items()
    with cluster(1, variables) as running:
        status, report, _ = running.extract(folder, models=MODELS)
    assert (status, stored(report)) == (0, len(GREYS) * len(MODELS) - len(kept))
    harmed.assert_whole(run)
