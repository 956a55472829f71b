"""Extraction side by side: a naive loop for each model, ours in float32, ours in auto precision.

    python benchmarks/extract.py speed --lines 540 --rounds 3
    python benchmarks/extract.py memory
    python benchmarks/extract.py startup

Same clips, same frames, same networks, same machine, in one run, in turn, several rounds. The naive loop is what one
writes by hand for one model: PyAV, the library's PIL transform, float32, a batch for each clip. `six` are the bundled
pool's image networks with their real weights, six naive loops against one run of ours; the others have random weights.
Model loading is left out of all times but the start-up's.

Efficiency: CPU-seconds of pure decoding plus those of pure forward passes on ready tensors, over all CPU-seconds that
this process and its workers used. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import click
import numpy as np
import psutil
import torch
from clips import make_clip, repeat_clip
from contenders import Collected, Contender, load_contender, load_exact, members, run_naive, run_ours
from meters import MemoryWatch, pure_cpu_seconds, timed
from numpy.typing import NDArray

from vqa.extract.machine import devices, usable_cores
from vqa.extract.model import Model

MODES = ("naive", "float32", "auto")
OURS = MODES[1:]
_MEMORY_MODELS = ("bundled:tf_efficientnet_lite0", "classic:siti")
_LONG = 75
"""How often the clip of 8 seconds stands in the one of 10 minutes."""


@dataclass(eq=False)
class Comparison:
    """What was measured of one row, a figure for each round."""

    walls: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    cpus: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    pure: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {mode: [] for mode in OURS})
    cosines: dict[str, float] = field(default_factory=lambda: dict.fromkeys(OURS, 1.0))
    """To the naive loop with accurate colours."""
    plain_cosine: float = 1.0
    """Of float32, to the naive loop as it is timed."""

    def ratios(self, mode: str) -> list[float]:
        """Return how many times as fast as the naive loop, round by round."""
        return [naive / ours for naive, ours in zip(self.walls["naive"], self.walls[mode], strict=True)]

    def efficiencies(self, mode: str) -> list[float]:
        """Return the part of the CPU time that went into the bare work, round by round."""
        return [sum(pure) / used for pure, used in zip(self.pure[mode], self.cpus[mode], strict=True)]

    def busy(self, mode: str) -> list[float]:
        """Return the part of all cores' time that was used, round by round."""
        return [cpu / wall / usable_cores() for cpu, wall in zip(self.cpus[mode], self.walls[mode], strict=True)]


def compare(label: str, contenders: Sequence[Contender], clips: Sequence[Path], frames: int, rounds: int) -> Comparison:
    """Time the three ways in turn, several rounds, and compare their features."""
    result = Comparison()
    expected = [run_naive(contender, clips, frames, accurate=True) for contender in contenders]
    ways = {"float32": [c.exact for c in contenders], "auto": [c.auto for c in contenders]}
    for number in range(1, rounds + 1):
        naive: list[list[NDArray[np.float32]]] = []
        _note(result, "naive", timed(lambda: naive.extend(run_naive(c, clips, frames) for c in contenders)))  # noqa: B023
        for mode, models in ways.items():
            ours: list[Collected] = []
            with tempfile.TemporaryDirectory() as folder:
                _note(result, mode, timed(lambda: ours.append(run_ours(models, clips, Path(folder)))))  # noqa: B023
            result.pure[mode].append(pure_cpu_seconds(models, clips, frames))
            found = [smallest_cosine(ours[0], index, theirs, clips) for index, theirs in enumerate(expected)]
            result.cosines[mode] = min(result.cosines[mode], *found)
            if mode == "float32":
                found = [smallest_cosine(ours[0], index, theirs, clips) for index, theirs in enumerate(naive)]
                result.plain_cosine = min(result.plain_cosine, *found)
        click.echo(f"{label}: round {number}: {_round(result)}", err=True)
    return result


def _note(result: Comparison, mode: str, spent: tuple[float, float]) -> None:
    result.walls[mode].append(spent[0])
    result.cpus[mode].append(spent[1])


def _round(result: Comparison) -> str:
    """Say what the last round gave, with the bare work that the profile consists of."""
    told = [f"{mode} {result.walls[mode][-1]:.1f} s ({result.cpus[mode][-1]:.1f} CPU-s)" for mode in MODES]
    bare = [f"{mode} decode {result.pure[mode][-1][0]:.1f} + forward {result.pure[mode][-1][1]:.1f}" for mode in OURS]
    return ", ".join(told) + "; pure CPU-s: " + ", ".join(bare)


def smallest_cosine(ours: Collected, model: int, theirs: Sequence[NDArray[np.float32]], clips: Sequence[Path]) -> float:
    """Return the smallest cosine between our features and the naive loop's, over all frames."""
    mine = torch.from_numpy(np.concatenate([ours.values[clip.name, model] for clip in clips]))
    return float(torch.nn.functional.cosine_similarity(mine, torch.from_numpy(np.concatenate(theirs))).min())


HEAD = (
    "| networks | bf16 in auto | naive s | float32 s | auto s | x float32 | x auto | eff. float32 | eff. auto "
    "| cores busy | cosine float32 | cosine auto | cosine float32, colours as PyAV's default |\n|" + "---|" * 13
)


def told(label: str, low: str, result: Comparison) -> str:
    """Return one row of the table: medians, with the spread of times and ratios."""
    cells = [label, low]
    cells += [_spread(result.walls[mode], ".1f") for mode in MODES]
    cells += [_spread(result.ratios(mode), ".2f") for mode in OURS]
    cells += [f"{statistics.median(result.efficiencies(mode)):.2f}" for mode in OURS]
    cells += [" / ".join(f"{statistics.median(result.busy(mode)):.2f}" for mode in OURS)]
    cells += [f"{cosine:.6f}" for cosine in (*result.cosines.values(), result.plain_cosine)]
    return "| " + " | ".join(cells) + " |"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def _machine() -> str:
    device = devices()[0]
    return (
        f"{platform.machine()}, {device.model}, {usable_cores()} cores ({device.capability}); "
        f"torch {torch.__version__}, PyAV {av.__version__}"
    )


@click.group()
def main() -> None:
    """Measure extraction, and print Markdown."""


@main.command()
@click.option("--lines", type=int, default=540, show_default=True, help="Height of the clips; 16:9.")
@click.option("--clips", "count", type=int, default=12, show_default=True)
@click.option("--seconds", type=float, default=8.0, show_default=True, help="Length of each clip, at 30 frames/s.")
@click.option("--frames", type=int, default=16, show_default=True, help="Frames sampled from each.")
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--backbones", multiple=True, default=("resnet50", "convnext_base", "six"), show_default=True)
def speed(lines: int, count: int, seconds: float, frames: int, rounds: int, backbones: tuple[str, ...]) -> None:
    """Compare speed, efficiency and features with naive loops."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [
            make_clip(Path(folder) / f"{number}.mp4", lines=lines, seconds=seconds, seed=number)
            for number in range(count)
        ]
        click.echo(
            f"{_machine()}.\n{count} clips of {lines} lines, {seconds:g} s at 30 frames/s, {frames} frames each; "
            f"{rounds} rounds.\n\n{HEAD}"
        )
        for label in backbones:
            contenders = [load_contender(name, frames) for name in members(label)]
            low = sum(contender.auto.candidate.precision == "bfloat16" for contender in contenders)
            run_ours([contenders[0].exact], clips[:2], Path(folder) / f"warm-{label}")  # starts the workers' server
            result = compare(label, contenders, clips, frames, rounds)
            click.echo(told(label, f"{low} of {len(contenders)}", result))


@main.command()
@click.option("--lines", type=int, default=1080, show_default=True)
@click.option("--frames", type=int, default=16, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--times", type=int, default=_LONG, show_default=True, help="Length of the long clip, in short ones.")
def memory(lines: int, frames: int, rounds: int, times: int) -> None:
    """Compare the peak memory of a clip of 8 seconds with a long one's, each in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        short = make_clip(Path(folder) / "short.mp4", lines=lines, seconds=8, seed=0)
        long = repeat_clip(Path(folder) / "long.mp4", short, times)
        click.echo(f"{_machine()}.\n{lines} lines, {', '.join(_MEMORY_MODELS)}, {frames} frames; {rounds} rounds.\n")
        click.echo("| clip | peak MB | s |\n|---|---|---|")
        for clip in (short, long):
            runs = [_fresh("one-clip", str(clip), "--frames", str(frames)) for _ in range(rounds)]
            peaks, walls = [run["peak_mb"] for run in runs], [run["seconds"] for run in runs]
            length = 8 if clip == short else 8 * times
            click.echo(f"| {length} s | {_spread(peaks, '.0f')} | {_spread(walls, '.1f')} |")


def _fresh(*arguments: str) -> Mapping[str, float]:
    """Run a command of this script in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very script
    return dict(json.loads(done.stdout))


@main.command("one-clip", hidden=True)
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.option("--frames", type=int, required=True)
def one_clip(clip: Path, frames: int) -> None:
    """Print the peak memory of this process and its workers on one clip, and how long each step took."""
    imported = time.time() - psutil.Process().create_time()
    models: list[Model] = []
    loaded, _ = timed(lambda: models.extend(load_exact(name, frames) for name in _MEMORY_MODELS))
    with tempfile.TemporaryDirectory() as folder, MemoryWatch() as watch:
        seconds, _ = timed(lambda: run_ours(models, [clip], Path(folder)))
        again, _ = timed(lambda: run_ours(models, [clip], Path(folder) / "again"))
    figures = {"peak_mb": watch.peak_mb, "seconds": seconds, "again": again, "imported": imported, "loaded": loaded}
    click.echo(json.dumps(figures))


@main.command()
@click.option("--rounds", type=int, default=5, show_default=True)
def startup(rounds: int) -> None:
    """Measure what a run costs before its first video."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", lines=540, seconds=1, seed=0)
        runs = [_fresh("one-clip", str(clip), "--frames", "2") for _ in range(rounds)]
    click.echo(f"{_machine()}.\n\n| step | s |\n|---|---|")
    click.echo(f"| import of all libraries | {_spread([run['imported'] for run in runs], '.1f')} |")
    click.echo(
        f"| {_MEMORY_MODELS[0]}: read and check its weights | {_spread([run['loaded'] for run in runs], '.1f')} |"
    )
    workers = [run["seconds"] - run["again"] for run in runs]
    click.echo(f"| the decode workers' server, once | {_spread(workers, '.1f')} |")


if __name__ == "__main__":
    main()
