"""Extraction on a Ray cluster: what it costs beside one process, and how very many videos are planned.

    python benchmarks/cluster.py overhead --clips 200 --rounds 3 --niceness 0 --niceness 15
    python benchmarks/cluster.py planning --videos 10000 --videos 100000 --videos 1000000 --videos 10000000

`overhead` runs whole commands in turn, on the same clips, models and cores: `vqa extract`, and `vqa extract --engine
ray` on clusters of one node with all cores and of as many nodes as there are cores, started beforehand. One clip tells
what starting takes; the rest is told apart. A few clips are encoded; the others are their bytes with another box at the
end, which no player reads: other videos to the cache, as long to decode.

`planning` drives the driver's own loop with extractors that answer at once, so that what is measured is the driver:
seconds to the first block, seconds a video, and the process's peak memory. Each number of videos has a process of its
own. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import json
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from clips import make_clip

from vqa.cache.ledger import Ledger
from vqa.errors import VqaError
from vqa.extract.decoding import Stamp
from vqa.extract.machine import devices, usable_cores
from vqa.extract.spec import Candidate, ModelSpec, NativeInput
from vqa.pipeline.cluster.driving import Drive
from vqa.pipeline.cluster.members import Answer, Member, Node
from vqa.pipeline.cluster.results import Results
from vqa.pipeline.cluster.work import Done, Looked, Prepared, Pulse, Row, Settled, Todo
from vqa.pipeline.progress import SILENT
from vqa.pipeline.storing import FailureBook

_ENCODED = 10
_BOX = b"\x00\x00\x00\x10free"
_LOCAL = "one process"


@click.group()
def main() -> None:
    """Measure extraction on clusters, and print Markdown."""


@dataclass(eq=False)
class Way:
    """One way to extract, and what was measured of it, in seconds."""

    options: Sequence[str]
    one: list[float] = field(default_factory=list)
    """Of a command that has one clip to do."""
    all: list[float] = field(default_factory=list)
    """Of a command that has all to do."""

    @property
    def work(self) -> list[float]:
        """Return what all clips but one take."""
        return [whole - start for whole, start in zip(self.all, self.one, strict=True)]


@main.command()
@click.option("--clips", default=200)
@click.option("--lines", default=540)
@click.option("--seconds", default=8.0, help="Of each clip.")
@click.option("--rounds", default=3)
@click.option("--models", multiple=True, default=("bundled:tf_efficientnet_lite0", "bundled:vit_small_patch14_dinov2"))
@click.option("--nodes", multiple=True, type=int, help="Of a cluster; one, and one for each core, if not given.")
@click.option("--niceness", multiple=True, type=int, default=(0,), help="Of actors; Ray's own is 15.")
def overhead(
    clips: int,
    lines: int,
    seconds: float,
    rounds: int,
    models: Sequence[str],
    nodes: Sequence[int],
    niceness: Sequence[int],
) -> None:
    """Time whole commands on one process, and on clusters that share its cores."""
    from ray.cluster_utils import Cluster

    cores = usable_cores()
    with tempfile.TemporaryDirectory() as folder:
        make_clips(Path(folder) / "few", 1, lines=lines, seconds=seconds)
        make_clips(Path(folder) / "many", clips, lines=lines, seconds=seconds)
        clusters = {
            f"Ray, {count} node(s) of {cores // count} core(s), niceness {nice}": (count, _node(cores // count, nice))
            for count in nodes or sorted({1, cores})
            for nice in niceness
        }
        ways = {_LOCAL: Way(()), **{name: Way(("--engine", "ray")) for name in clusters}}
        for number in range(1, rounds + 1):
            _measure(Path(folder), ways[_LOCAL], models)
            for name, (count, node) in clusters.items():
                cluster = Cluster(initialize_head=True, head_node_args=node)
                for _ in range(count - 1):
                    cluster.add_node(**node)
                ways[name].options = ("--engine", "ray", "--address", cluster.address)
                _measure(Path(folder), ways[name], models)
                cluster.shutdown()
            click.echo(
                f"round {number}: " + ", ".join(f"{name} {way.all[-1]:.1f}" for name, way in ways.items()), err=True
            )
    _tell_machine()
    click.echo(f"{clips} clips of {lines} lines, {seconds:g} s, 8 frames each; {', '.join(models)}; {rounds} rounds:\n")
    click.echo(
        "| | s, all clips | s, one clip | s, the difference | of one process | with start |\n|---|---|---|---|---|---|"
    )
    for name, way in ways.items():
        click.echo(
            f"| {name} | {_spread(way.all)} | {_spread(way.one)} | {_spread(way.work)} "
            f"| {_ratio(way.work, ways[_LOCAL].work)} | {_ratio(way.all, ways[_LOCAL].all)} |"
        )


def _node(cores: int, niceness: int) -> dict[str, Any]:
    return {
        "num_cpus": cores,
        "include_dashboard": False,
        "object_store_memory": 100 << 20,
        "env_vars": {"RAY_worker_niceness": str(niceness)},
    }


def make_clips(folder: Path, count: int, *, lines: int, seconds: float) -> Path:
    """Make a workspace with so many videos."""
    (folder / "clips").mkdir(parents=True)
    originals = [
        make_clip(folder / "clips" / f"{number:05d}.mp4", lines=lines, seconds=seconds, seed=number)
        for number in range(min(count, _ENCODED))
    ]
    for number in range(len(originals), count):
        copy = shutil.copyfile(originals[number % len(originals)], folder / "clips" / f"{number:05d}.mp4")
        with copy.open("ab") as file:
            file.write(_BOX + number.to_bytes(8, "big"))
    (folder / "vqa.toml").write_text('[dataset]\nvideos = "clips"\n')
    return folder


def _measure(folder: Path, way: Way, models: Sequence[str]) -> None:
    for times, workspace in ((way.one, folder / "few"), (way.all, folder / "many")):
        shutil.rmtree(workspace / "cache", ignore_errors=True)
        named = [word for model in models for word in ("--models", model)]
        command = [sys.executable, "-m", "vqa", "extract", "-q", "-C", str(workspace), *named, *way.options]
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        times.append(time.perf_counter() - begin)


def _spread(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):.1f} ({min(figures):.1f}-{max(figures):.1f})"


def _ratio(figures: Sequence[float], others: Sequence[float]) -> str:
    ratios = [one / other for one, other in zip(figures, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _tell_machine() -> None:
    click.echo(f"{platform.machine()}, {devices()[0].model}, {usable_cores()} cores\n")


class InstantCrew:
    """Extractors that answer at once: every row is a video to do, every block is done."""

    def __init__(self, count: int, settled: Settled) -> None:
        self.members = [
            Member(Node(f"{number}", f"node{number}", 32, 1.0), None, begun=True) for number in range(count)
        ]
        self.first_block = 0.0
        self._settled = settled
        self._answers: list[Answer] = []
        for member in self.members:
            self.ask(member, "begin")

    def enlist(self) -> None:
        """All are here."""

    def ask(self, member: Member, method: str, *arguments: Any) -> None:
        """Answer at once."""
        value = {
            "settle": lambda: self._settled,
            "look_at": lambda: _looked(arguments[0]),
            "prepare": lambda: Prepared({0: "0" * 64}, {0: (1.0,)}, {}),
            "work_on": lambda: Done({0: len(arguments[0])}, {0: 1.0}, len(arguments[0]), ()),
            "pulse": lambda: Pulse(0, 0),
        }.get(method, lambda: None)()
        if method == "work_on" and not self.first_block:
            self.first_block = time.perf_counter()
        member.busy[method] += 1
        self._answers.append(Answer(member, method, arguments, value))

    def dismiss(self, member: Member, error: VqaError) -> None:
        """None comes late."""

    def wait(self, seconds: float) -> list[Answer]:
        """Give all answers."""
        answers, self._answers = self._answers, []
        for answer in answers:
            answer.member.busy[answer.method] -= 1
        return answers


def _looked(rows: Sequence[Row]) -> Looked:
    keys = [f"{int(row.video) * 0x9E3779B97F4A7C15 % (1 << 64):016x}{'0' * 48}" for row in rows]
    stamp = Stamp(1, 1)
    todo = [
        Todo(row.video, row.file, key, stamp, (0,), 5.0 + int(key[:4], 16) / 1000)
        for row, key in zip(rows, keys, strict=True)
    ]
    return Looked(tuple(keys), ((),) * len(keys), tuple(todo), ())


def _rows(count: int) -> Iterator[Row]:
    return (Row(str(number), Path(f"/videos/{number:08d}.mp4")) for number in range(count))


@main.command()
@click.option("--videos", multiple=True, type=int, default=(10_000, 100_000, 1_000_000, 10_000_000))
@click.option("--extractors", default=100)
def planning(videos: Sequence[int], extractors: int) -> None:
    """Plan so many videos, each number in a process of its own."""
    _tell_machine()
    click.echo(f"{extractors} extractors:\n")
    click.echo("| videos | s to the first block | s | µs a video | MB at the start | peak MB |\n|" + "---|" * 6)
    for count in videos:
        command = [sys.executable, __file__, "plan", str(count), str(extractors)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        found = json.loads(done.stdout)
        click.echo(
            f"| {count:,} | {found['first']:.3f} | {found['seconds']:.1f} | {1e6 * found['seconds'] / count:.1f} "
            f"| {found['before']:.0f} | {found['peak']:.0f} |"
        )


@main.command(hidden=True)
@click.argument("count", type=int)
@click.argument("extractors", type=int)
def plan(count: int, extractors: int) -> None:
    """Plan in this process; print figures as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        results = Results(FailureBook(Ledger(Path(folder))), SILENT, count)
        candidate = Candidate(ModelSpec("classic", "siti"), NativeInput(), "none", "float32")
        crew = InstantCrew(extractors, Settled((candidate,), {}))
        before = _peak_megabytes()
        begin = time.perf_counter()
        drive = Drive(crew, _rows(count), results)
        drive.settle((), new_generation=False)
        drive.go()
        seconds = time.perf_counter() - begin
    assert results.stored[0] == results.videos == count
    found = {"first": crew.first_block - begin, "seconds": seconds, "before": before, "peak": _peak_megabytes()}
    click.echo(json.dumps(found))


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
