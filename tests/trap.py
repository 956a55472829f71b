"""A backend whose networks do harm, and harm to the process that extracts with it; orders come from the environment.

It is what an installed package would be: `faults.start` lets a run find it. Orders are JSON:

    marks       folder for a file for each slow video that was begun, and for each network that was loaded
    puts        file for a line for each pair that was put into the cache, and by which process
    meet        file with a number: before a process puts its first pair, so many have to be there
    decoders    file for a line for each video that `mean` saw, and by which kind of actor
    hold        file with a number: while it is there, no process puts a pair after so many of `puts`
    looks       file for a line for each video that `mean` begins and ends to look at
    signal      name of one that a process gets that looks at a video of grey 160, as from outside
    times       how often, 1 if nothing is said
    kills       a grey at which the network `mixture` kills the process that runs it
    operations  file for a line for each operation on the disk under the cache folder
    segment     videos of a segment
    pause       seconds that each video takes longer
    delay       seconds that each operation on a segment's file takes longer
    strike      of a `striking.Strike` on the cache folder: number, how, and whatever else
    cache       that folder
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from disk import Disk, Operation, Perform
from striking import Strike
from torch import nn

from vqa.cache.store import FeatureStore, SegmentWriter
from vqa.extract.backends import Backend
from vqa.extract.spec import InputSpec, ModelSpec, NativeInput, Plan

ORDERS: dict[str, Any] = json.loads(os.environ["VQA_TRAP"])
_FRAMES = InputSpec(resize=(32,), crop=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Trap(nn.Module):
    """Is killed at grey 160, dies at 200, waits at 220, spins at 180, takes 8 GB at 240, is slow at 100."""

    def forward(self, runs: torch.Tensor) -> torch.Tensor:
        grey = runs.float().mean((1, 2, 3, 4))
        if "decoders" in ORDERS:
            with Path(ORDERS["decoders"]).open("a") as lines:
                lines.write(f"{_actor()}\n")
        _look("begin", float(grey[0]))
        if abs(grey[0] - 160) < 3 and len(list(Path(ORDERS["marks"]).glob("killed*"))) < ORDERS.get("times", 1):
            (Path(ORDERS["marks"]) / f"killed-{time.time_ns()}").touch()
            os.kill(os.getpid(), signal.Signals[ORDERS["signal"]])
            time.sleep(5)
        if abs(grey[0] - 240) < 3:
            torch.ones(8 << 30, dtype=torch.uint8)
        if abs(grey[0] - 200) < 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        while abs(grey[0] - 220) < 3:
            time.sleep(1)
        while abs(grey[0] - 180) < 3:
            (Path(ORDERS["marks"]) / "spins").touch()
        if abs(grey[0] - 100) < 3:
            (Path(ORDERS["marks"]) / str(time.time_ns())).touch()
            time.sleep(0.5)
        time.sleep(ORDERS.get("pause", 0))
        _look("end", float(grey[0]))
        return grey[:, None]


def _look(what: str, grey: float) -> None:
    if "looks" in ORDERS:
        with Path(ORDERS["looks"]).open("a") as lines:
            lines.write(f"{what} {grey:.0f} {os.getpid()}\n")


def _actor() -> str:
    """Return the name of the Ray actor that this process works for, empty where that is none."""
    titles = (" ".join(parent.cmdline()) for parent in psutil.Process().parents())
    return next((title.split()[0] for title in titles if title.startswith("ray::")), "")


class Spread(nn.Module):
    """Gives mean and deviation of each colour: a candidate that is measured where the video is decoded."""

    def forward(self, runs: torch.Tensor) -> torch.Tensor:
        return torch.cat([runs.float().mean((1, 3, 4)), runs.float().std((1, 3, 4))], dim=1)


def mixture() -> nn.Module:
    """Return a network with fixed weights, which runs in the main process; a mark tells that it was loaded."""
    (Path(ORDERS["marks"]) / "mixture").touch()
    mix = nn.Linear(48, 8, bias=False)
    mix.weight.data = torch.linspace(-1, 1, 48 * 8).view(8, 48)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), mix).eval()
    if "kills" in ORDERS:
        network.register_forward_pre_hook(_kill_at_grey)
    return network


def _kill_at_grey(network: nn.Module, inputs: tuple[torch.Tensor]) -> None:
    greys = (inputs[0].float().mean((1, 2, 3)) * 0.5 + 0.5) * 255
    if (abs(greys - ORDERS["kills"]) < 3).any():
        os.kill(os.getpid(), signal.SIGKILL)


def describe(spec: ModelSpec) -> Plan:
    return Plan(_FRAMES, "trap mixture 1") if spec.name == "mixture" else Plan(NativeInput(), "none")


def load(spec: ModelSpec) -> nn.Module:
    return {"mean": Trap, "spread": Spread, "mixture": mixture}[spec.name]()


BACKEND = Backend("trap", lambda: ("mean", "spread", "mixture"), describe, build=load, load=load)


def _obey(orders: dict[str, Any]) -> None:
    """Do to this process what was ordered."""
    if "segment" in orders:
        assert "max_videos" in (FeatureStore.writer.__kwdefaults__ or {})
        FeatureStore.writer.__kwdefaults__["max_videos"] = orders["segment"]
    if "meet" in orders:
        _meet_first(Path(orders["meet"]))
    if "puts" in orders:
        _note_puts(Path(orders["puts"]))
    if "hold" in orders:
        _hold_puts(Path(orders["hold"]), Path(orders["puts"]))
    if "delay" in orders:
        Disk(Path(orders["cache"]), lambda operation, perform: _late(operation, perform, orders["delay"])).__enter__()
    if "strike" in orders:
        Disk(Path(orders["cache"]), Strike(**orders["strike"])).__enter__()
    if "operations" in orders:
        _note_operations(Path(orders["cache"]), Path(orders["operations"]))


def _note_puts(file: Path) -> None:
    put = SegmentWriter.put

    def noted(writer: SegmentWriter, key: str, features: Any, *, seconds: float) -> None:
        with file.open("a") as lines:
            lines.write(f"{writer.provenance.record.name} {key} {os.getpid()}\n")
        put(writer, key, features, seconds=seconds)

    SegmentWriter.put = noted  # type: ignore[method-assign]


def _meet_first(file: Path) -> None:
    put = SegmentWriter.put

    def late(writer: SegmentWriter, key: str, features: Any, *, seconds: float) -> None:
        file.with_name(f"{file.name}-{os.getpid()}").touch()
        deadline = time.monotonic() + 200
        while len(list(file.parent.glob(f"{file.name}-*"))) < int(file.read_text()):
            assert time.monotonic() < deadline, "the others never came"
            time.sleep(0.02)
        put(writer, key, features, seconds=seconds)

    SegmentWriter.put = late  # type: ignore[method-assign]


def _hold_puts(file: Path, puts: Path) -> None:
    put = SegmentWriter.put

    def held(writer: SegmentWriter, key: str, features: Any, *, seconds: float) -> None:
        deadline = time.monotonic() + 200
        while file.exists() and puts.exists() and len(puts.read_text().splitlines()) >= int(file.read_text()):
            assert time.monotonic() < deadline, "nobody let go"
            time.sleep(0.02)
        put(writer, key, features, seconds=seconds)

    SegmentWriter.put = held  # type: ignore[method-assign]


def _late(operation: Operation, perform: Perform, seconds: float) -> Any:
    if ".h5" in operation.path:
        time.sleep(seconds)
    return perform()


def _note_operations(cache: Path, file: Path) -> None:
    def note(operation: Operation, perform: Perform) -> Any:
        with file.open("a") as lines:
            lines.write(f"{operation.kind} {operation.path}\n")
        return perform()

    Disk(cache, note).__enter__()


if multiprocessing.parent_process() is None:  # not in the decode workers
    _obey(ORDERS)
