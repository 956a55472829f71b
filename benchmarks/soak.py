"""A long run over many short clips, some of them broken: does it hold its memory, its files and its threads?

    python benchmarks/soak.py --clips 2000

Makes tiny distinct clips, 5 % of them broken in five ways, extracts three cheap candidates in one run of the command
line, and looks at its processes every second. Prints medians for each quarter of the run, and whether they stay flat.
Afterwards `vqa cache verify` has to pass, and each clip to be stored or in the ledger. Results: benchmarks/RESULTS.md.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
import psutil
import timm
import torch
from safetensors.torch import save_file

_TOLERANCE = 1.05
"""A run is flat if no median of its last quarter is larger than this times that of the second."""
_NETWORK = "test_resnet"


@dataclass(frozen=True)
class Sample:
    """What a run holds at one moment."""

    main_mb: float
    """Resident memory of the main process, shared memory apart."""
    workers_mb: float
    """The same of all it has started."""
    shared_mb: float
    files: float
    """Open descriptors of the main process."""
    threads: float
    """Of the main process."""
    processes: float
    """That it has started."""


def write_clip(path: Path, number: int) -> None:
    """Write 8 frames of noise, 64 x 48, that no other number gives."""
    rng = np.random.default_rng(number)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(8):
            pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _truncated(path: Path, number: int) -> None:
    path.write_bytes(path.read_bytes()[: 500 + number % 500])


def _garbage(path: Path, number: int) -> None:
    path.write_bytes(np.random.default_rng(number).bytes(4000))


def _unknown_codec(path: Path, number: int) -> None:
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))


def _no_pictures(path: Path, number: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        noise = np.random.default_rng(number).normal(0, 0.1, (1, 48000)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _no_key_frame(path: Path, number: int) -> None:
    """Overwrite the pictures with zeros and leave the header, which promises them."""
    content = path.read_bytes()
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    path.write_bytes(content[:start] + number.to_bytes(4) + bytes(end - start - 4) + content[end:])


_WAYS: Sequence[Callable[[Path, int], None]] = (_truncated, _garbage, _unknown_codec, _no_pictures, _no_key_frame)


def make_workspace(folder: Path, clips: int) -> tuple[list[str], int]:
    """Write clips, one in 20 broken, and a tiny network; return the candidates and how many are broken."""
    (folder / "clips").mkdir()
    broken = 0
    for number in range(clips):
        path = folder / "clips" / f"{number:05d}.mp4"
        write_clip(path, number)
        if number % 20 == 7:
            _WAYS[broken % len(_WAYS)](path, number)
            broken += 1
    (folder / "vqa.toml").write_text('[dataset]\nvideos = "clips"\n[extract]\nframes = 4\nprecision = "float32"\n')
    torch.manual_seed(0)
    weights = folder / f"{_NETWORK}.safetensors"
    save_file(timm.create_model(_NETWORK, pretrained=False).state_dict(), str(weights))
    return ["classic:siti", "classic:nss", f"timm:{_NETWORK}/{weights}"], broken


def look(process: psutil.Process) -> Sample:
    """Take one sample."""
    others = process.children(recursive=True)
    return Sample(
        _private_mb(process),
        sum(map(_private_mb, others)),
        _shared_mb(process),
        process.num_fds(),
        process.num_threads(),
        len(others),
    )


def _shared_mb(process: psutil.Process) -> float:
    """Return the shared memory that a process holds, each piece once."""
    held = {}
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(file.readlink()).startswith("/memfd:vqa"):
                held[file.stat().st_ino] = file.stat().st_size
    return sum(held.values()) / 1e6


def _private_mb(process: psutil.Process) -> float:
    try:
        memory = process.memory_info()
    except psutil.Error:  # it has ended meanwhile
        return 0.0
    return float(memory.rss - memory.shared) / 1e6


def vqa(folder: Path, *arguments: str) -> list[str]:
    """Return the words of a command."""
    return [sys.executable, "-m", "vqa", *arguments, "-C", str(folder), "--json"]


def watch(command: Sequence[str]) -> tuple[list[Sample], int, dict[str, Any], float]:
    """Run a command; return what it held each second, its exit status, its report and how many seconds it took."""
    began, samples = time.perf_counter(), []
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words
        known = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                samples.append(look(known))
            except (psutil.Error, FileNotFoundError):
                break
            time.sleep(1.0)
        status = process.wait()
        out.seek(0)
        return samples, status, json.load(out), time.perf_counter() - began


def quarters(samples: Sequence[Sample]) -> list[list[float]]:
    """Return the medians of each quarter of a run, once its workers are there and until they go."""
    full = max(sample.processes for sample in samples)
    busy = [astuple(sample) for sample in samples if sample.processes == full]
    return [np.median(part, axis=0).tolist() for part in np.array_split(np.array(busy), 4)]


def is_flat(parts: Sequence[Sequence[float]]) -> bool:
    """Return whether the last quarter holds no more than the second, after which nothing is loaded any more."""
    return all(last <= _TOLERANCE * second for second, last in zip(parts[1], parts[3], strict=True))


def print_quarters(parts: Sequence[Sequence[float]]) -> None:
    """Print the table of a run."""
    print("\n| quarter | main, MB | workers, MB | shared, MB | open files | threads | processes |")
    print("|---|---|---|---|---|---|---|")
    for number, part in enumerate(parts, start=1):
        print(f"| {number} | " + " | ".join(f"{value:.0f}" for value in part) + " |")


@click.command()
@click.option("--clips", default=2000, show_default=True, type=click.IntRange(400))
def soak(clips: int) -> None:
    """Make the clips, extract them, and say what was held meanwhile and what came of it."""
    with tempfile.TemporaryDirectory(prefix="vqa-soak-") as name:
        folder = Path(name)
        models, broken = make_workspace(folder, clips)
        named = [word for model in models for word in ("--models", model)]
        samples, status, report, seconds = watch(vqa(folder, "extract", *named))
        verify = vqa(folder, "cache", "verify")
        verified = subprocess.run(verify, stdout=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - our own words
    stored = [row["stored"] for row in report["candidates"]]
    parts = quarters(samples)
    print(f"{clips} clips, {broken} of them broken; {len(models)} candidates, {seconds:.0f} s, {len(samples)} samples")
    print_quarters(parts)
    failed = len({failure["video"] for failure in report["failures"]})
    right = stored == [clips - broken] * len(models) and failed == broken and (status, verified) == (3, 0)
    print(f"\nstored {stored}, in the ledger {failed}; exit status {status}, of `vqa cache verify` {verified}")
    print(f"{'right' if right else 'WRONG'}, and {'flat' if is_flat(parts) else 'NOT FLAT'}")
    sys.exit(not (right and is_flat(parts)))


if __name__ == "__main__":
    soak()
