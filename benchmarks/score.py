"""Scoring side by side: `vqa score` and a loop by hand; and what timelines of long videos take.

    python benchmarks/score.py speed vqa-demo/scorer.vqa --rounds 5
    python benchmarks/score.py timeline vqa-demo/scorer.vqa --minutes 2 --minutes 4 --minutes 8

Whole processes, in turn, several rounds. The loop by hand: PyAV, the library's PIL transforms, float32, one clip after
the other, each decoded once for all networks, a batch for each clip and network, and the bundle's own head on the
means. Same clips, networks, weights and number of frames. It leaves out what `vqa score` does beside: weights and probe
features checked, colour rules, limits, decoders that may crash.

Seconds to the first score are those of a process that scores one clip; seconds a clip are the slope between one clip
and all of them, and start-up is what the slope does not explain of the first. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import csv
import io
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import torch
from clips import make_clip, repeat_clip
from contenders import CPU, by_hand, sampled_pictures, transform_of
from meters import MemoryWatch

from vqa.extract.machine import devices, usable_cores
from vqa.extract.model import load_network
from vqa.extract.spec import InputSpec
from vqa.pipeline.backbones import Backbones
from vqa.train.bundle import load_bundle

SHORT_SECONDS = 8
BY_HAND, OURS, CACHED = "by hand", "`vqa score`", "`vqa score`, all cached"


@dataclass(eq=False)
class Way:
    """One way to score, and what was measured of it."""

    command: Sequence[str]
    scores: Mapping[str, float] = field(default_factory=dict)
    """Of the last run, by clip: rows come in whatever order they are done."""
    first: list[float] = field(default_factory=list)
    """Seconds to the first score, for each round."""
    slope: list[float] = field(default_factory=list)
    """Seconds a clip."""

    def run(self, clips: Sequence[Path]) -> float:
        """Score clips in a process of its own; return its seconds."""
        command = [*self.command, *map(str, clips)]
        begin = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        seconds = time.perf_counter() - begin
        self.scores = {row["video"]: float(row["score"]) for row in csv.DictReader(io.StringIO(done.stdout))}
        return seconds

    def measure(self, clips: Sequence[Path]) -> None:
        """Time one clip, then all."""
        self.first.append(self.run(clips[:1]))
        self.slope.append((self.run(clips) - self.first[-1]) / (len(clips) - 1))

    @property
    def startup(self) -> list[float]:
        """Return the seconds to the first score that are not the clip's own."""
        return [first - slope for first, slope in zip(self.first, self.slope, strict=True)]


@click.group()
def main() -> None:
    """Measure scoring, and print Markdown."""


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--clips", "count", type=click.IntRange(2), default=21, show_default=True)
@click.option("--lines", type=int, default=540, show_default=True, help="Height of the clips; 16:9.")
@click.option("--rounds", type=int, default=5, show_default=True)
def speed(bundle: Path, count: int, lines: int, rounds: int) -> None:
    """Compare seconds to the first score and seconds a clip with a loop by hand."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [
            make_clip(folder / f"{number}.mp4", lines=lines, seconds=SHORT_SECONDS, seed=number)
            for number in range(count)
        ]
        ways = {
            BY_HAND: Way([sys.executable, __file__, "by-hand", str(bundle)]),
            OURS: Way(_score_command(bundle)),
            CACHED: Way([*_score_command(bundle), "--cache", str(folder / "cache")]),
        }
        for way in ways.values():
            way.run(clips)  # files into the system's memory, features into the cache
        for number in range(1, rounds + 1):
            for name, way in ways.items():
                way.measure(clips)
                click.echo(f"round {number}: {name}: {way.first[-1]:.1f} s, {way.slope[-1]:.2f} s a clip", err=True)
    click.echo(f"{_machine()}.\n{count} clips of {lines} lines, {SHORT_SECONDS} s at 30 frames/s; {rounds} rounds.\n")
    click.echo(
        "| way | s to the first score | of that start-up | s a clip | x by hand | largest difference of a score |"
    )
    click.echo("|" + "---|" * 6)
    for name, way in ways.items():
        click.echo(_speed_row(name, way, ways[BY_HAND]))


def _score_command(bundle: Path) -> list[str]:
    return [sys.executable, "-m", "vqa", "score", "--model", str(bundle), "--format", "csv"]


def _speed_row(name: str, way: Way, naive: Way) -> str:
    ratios = [theirs / ours for theirs, ours in zip(naive.slope, way.slope, strict=True)]
    difference = max(abs(way.scores[clip] - score) for clip, score in naive.scores.items())
    cells = [name, _spread(way.first, ".1f"), _spread(way.startup, ".1f"), _spread(way.slope, ".3f")]
    return "| " + " | ".join([*cells, _spread(ratios, ".2f"), f"{difference:.2f}"]) + " |"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def _machine() -> str:
    device = devices()[0]
    return (
        f"{platform.machine()}, {device.model}, {usable_cores()} cores ({device.capability}); torch {torch.__version__}"
    )


@main.command("by-hand", hidden=True)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def score_by_hand(bundle: Path, clips: Sequence[Path]) -> None:
    """Score clips as one does by hand."""
    loaded = load_bundle(bundle)
    candidates = Backbones(loaded, CPU).candidates
    networks, transforms = [], []
    for candidate in candidates:
        if not isinstance(candidate.input, InputSpec) or candidate.clip_frames or candidate.spec.view != "resize":
            raise click.ClickException(f"{candidate}: the loop by hand knows image networks alone; train without it")
        networks.append(by_hand(load_network(candidate)))
        transforms.append(transform_of(candidate.input))
    click.echo("video,score")
    for clip in clips:
        pictures = list(sampled_pictures(clip, candidates[0].spec.frames))
        means = {}
        for name, network, transform in zip(loaded.names, networks, transforms, strict=True):
            with torch.inference_mode():
                features = network(torch.stack([transform(picture) for picture in pictures]))
            means[name] = features.mean(0, keepdim=True).numpy()
        click.echo(f"{clip},{loaded.predict(means).scores[0]}")


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--minutes", type=float, multiple=True, default=(2, 4, 8), show_default=True)
@click.option("--lines", type=int, default=540, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
def timeline(bundle: Path, minutes: Sequence[float], lines: int, rounds: int) -> None:
    """Measure seconds and peak memory of timelines, by length."""
    click.echo(f"{_machine()}.\n{lines} lines, 30 frames/s, windows of 4 s, one every 2 s; {rounds} rounds.\n")
    click.echo("| minutes | windows | s | s a window | peak MB | main process | workers |\n|" + "---|" * 7)
    with tempfile.TemporaryDirectory() as name:
        short = make_clip(Path(name) / "short.mp4", lines=lines, seconds=SHORT_SECONDS, seed=0)
        for length in minutes:
            clip = repeat_clip(Path(name) / f"{length:g}.mp4", short, round(length * 60 / SHORT_SECONDS))
            runs = [_watch([*_score_command(bundle), "--timeline", str(clip)]) for _ in range(rounds)]
            walls, peaks, mains, workers = zip(*(run[1:] for run in runs), strict=True)
            windows = runs[0][0]
            cells = [f"{length:g}", str(windows), _spread(walls, ".1f")]
            cells += [_spread([wall / windows for wall in walls], ".3f")]
            cells += [_spread(megabytes, ".0f") for megabytes in (peaks, mains, workers)]
            click.echo("| " + " | ".join(cells) + " |")


def _watch(command: Sequence[str]) -> tuple[int, float, float, float, float]:
    """Run a command; return its rows, its seconds, and the peaks of it with its workers, of it alone, and of them."""
    begin = time.perf_counter()
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,  # noqa: S603
        MemoryWatch(process.pid) as watch,
    ):
        out, _ = process.communicate()
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} failed")
    return len(out.splitlines()) - 1, time.perf_counter() - begin, watch.peak_mb, watch.main_mb, watch.workers_mb


if __name__ == "__main__":
    main()
