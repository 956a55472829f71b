"""Selection at scale: reading a synthetic cache bare, and comparing its candidates by all criteria.

    python benchmarks/selection.py --candidates 60 --videos 28000 --width 1024 --frames 1

The cache is written by the package's own writer into a temporary folder, with empty files for videos, and read once
beforehand, so that both runs find it in the system's page cache. Each run has a process of its own; times are without
imports, memory is the process's largest resident set. Of the frames' features all count: with `--frames 1` reading is
fastest, so the ratio is hardest. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from vqa.cache.key import KeyMemo
from vqa.cache.store import FeatureStore
from vqa.records import CandidateRecord, VideoFeatures
from vqa.workspace import DatasetSettings, ExtractSettings, Workspace, write_workspace

_HIDDEN = 32
"""Directions in which a candidate's features vary; the first one has the MOS in it, the more the better it is."""


def make_workspace(folder: Path, *, candidates: int, videos: int, width: int, frames: int) -> None:
    """Write a workspace whose cache holds all candidates of all videos."""
    random = np.random.default_rng(0)
    mos = random.normal(3, 0.6, videos).clip(1, 5)
    (folder / "clips").mkdir(parents=True)
    memo, keys = KeyMemo(folder / "cache"), []
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "mos"])
        for number, score in enumerate(mos):
            path = folder / "clips" / f"v{number:06d}.mp4"
            path.write_text(str(number))
            keys.append(memo.key(path))
            writer.writerow([path.stem, score])
    write_workspace(
        Workspace(folder, DatasetSettings("clips", "labels.csv"), ExtractSettings(models=("all",), frames=frames))
    )
    store = FeatureStore(folder / "cache")
    for number in range(candidates):
        details = json.dumps({"input": {}, "spec": {"frames": frames}})
        record = CandidateRecord(f"synthetic:c{number:02d}", f"{number:012x}", details)
        means = _features(mos, number / candidates, width, random)
        with store.writer(record, weights_sha256="0" * 64, versions={}) as segments:
            for key, mean in zip(keys, means, strict=True):
                values = np.repeat(mean[None], frames, axis=0)
                segments.put(key, VideoFeatures(values, np.arange(frames, dtype=np.float64)), seconds=0.01)


def _features(
    mos: NDArray[np.float64], goodness: float, width: int, random: np.random.Generator
) -> NDArray[np.float16]:
    """Return features of one candidate, shape (N, width), in which the MOS shows more or less."""
    hidden = random.normal(size=(len(mos), _HIDDEN)).astype(np.float32)
    hidden[:, 0] += np.float32(2 * goodness) * (mos - 3).astype(np.float32)
    mixed = hidden @ random.normal(size=(_HIDDEN, width)).astype(np.float32)
    return (mixed + random.standard_normal((len(mos), width), dtype=np.float32)).astype(np.float16)


def read_all(folder: Path) -> None:
    """Read the time average of every candidate, one after the other, and keep none."""
    store = FeatureStore(folder / "cache")
    keys: list[str] = []
    for stored in store.candidates():
        keys = keys or sorted(store.keys(stored.record.fingerprint))
        store.read_means(stored.record.fingerprint, keys)


def select(folder: Path) -> None:
    """Do what `vqa select` does."""
    from vqa.pipeline import rank_models

    rank_models(folder)


RUNS = {"reading": read_all, "selecting": select}


def _measure(name: str, folder: Path) -> dict[str, float]:
    """Run one of `RUNS` in a process of its own."""
    command = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, float] = json.loads(told.stdout)
    return found


def _run(name: str, folder: Path) -> None:
    import vqa.pipeline.ranking  # noqa: F401 - so that its import is in neither time

    began = time.perf_counter()
    RUNS[name](folder)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(json.dumps({"seconds": seconds, "peak_mb": peak}))


@click.command()
@click.option("--candidates", default=60)
@click.option("--videos", default=28_000)
@click.option("--width", default=1024)
@click.option("--frames", default=1)
@click.option("--rounds", default=2)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the workspace is kept; made if it is not there.")
@click.option("--run", type=click.Choice(list(RUNS)), hidden=True)
def main(
    candidates: int, videos: int, width: int, frames: int, rounds: int, folder: Path | None, run: str | None
) -> None:
    """Print a table of times and memory."""
    if run and folder:
        _run(run, folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary) / "w"
        if not place.exists():
            make_workspace(place, candidates=candidates, videos=videos, width=width, frames=frames)
        read_all(place)
        cpu, cores = platform.processor() or platform.machine(), os.cpu_count()
        click.echo(
            f"{candidates} candidates, {videos} videos, {width} features, {frames} frames each; {cores} {cpu} cores\n"
        )
        click.echo("| round | reading, s | selecting, s | ratio | peak reading, MB | peak selecting, MB |")
        click.echo("|---|---|---|---|---|---|")
        for number in range(1, rounds + 1):
            bare, whole = (_measure(name, place) for name in RUNS)
            ratio = whole["seconds"] / bare["seconds"]
            click.echo(
                f"| {number} | {bare['seconds']:.1f} | {whole['seconds']:.1f} | {ratio:.2f} "
                f"| {bare['peak_mb']:.0f} | {whole['peak_mb']:.0f} |"
            )


if __name__ == "__main__":
    main()
