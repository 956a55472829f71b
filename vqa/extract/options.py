"""How much memory, and how many processes and threads a run of the engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vqa.extract.decode_worker import DEFAULT_WORKER_BYTES, WorkerLimits
from vqa.extract.model import Model
from vqa.extract.processor import torch_threads
from vqa.extract.video import DEFAULT_MAX_PIXELS, DEFAULT_MAX_SECONDS
from vqa.files import downloads
from vqa.rlimits import usable_cores

CPU_BATCH = 4
"""Measured on CPUs: larger batches leave the caches and cost up to a fifth more a frame."""
GPU_BATCH = 64
MAX_LANES = 16
"""More would wait for the interpreter, which all threads of Python share."""
_MAX_CODEC_THREADS = 8
"""More hold more frames at once, and gain little."""
DEFAULT_MEMORY_BYTES = 1 << 30
DEFAULT_VIDEO_SECONDS = 600.0


@dataclass(frozen=True)
class EngineOptions:
    """Bounds on memory and work."""

    batch: int = 0
    """Frames per forward pass, 0 for what suits the device; a video network gets as many clips as fit, at least one."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Larger frames are refused."""
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    """Decoded views that may be held at once."""
    workers: int = 0
    """Decode processes; 0 for one on each core."""
    video_seconds: float = DEFAULT_VIDEO_SECONDS
    """A video that takes longer to decode is given up."""
    max_duration_seconds: float = DEFAULT_MAX_SECONDS
    """A video that lasts longer is refused."""
    worker_bytes: int = DEFAULT_WORKER_BYTES
    """What a decode process may take beside its libraries."""
    devices: tuple[torch.device, ...] = (torch.device("cpu"),)
    """Where models run, each on its own rounds of videos."""
    lanes: int = 0
    """Batches that are computed at once on the CPU, each with its part of the threads; 0 for one on each thread."""

    cores: int = 0
    """Cores to count on; 0 for all that this process may use."""

    elsewhere: int = 0
    """Videos that are decoded on other machines at once, beside those of the decode processes."""

    @property
    def usable_cores(self) -> int:
        """How many cores the run may count on."""
        return self.cores or usable_cores()

    def batch_on(self, device: torch.device) -> int:
        """Return the frames per forward pass on a device."""
        return self.batch or (CPU_BATCH if device.type == "cpu" else GPU_BATCH)


@dataclass(frozen=True)
class Share:
    """What the models get of one device."""

    device: torch.device
    batch: int
    """Frames per forward pass."""
    lanes: int = 0
    """Batches at once on the CPU; 0 on other devices."""
    threads: int = 1
    """Of each lane."""

    @property
    def runners(self) -> int:
        """Rounds that go on at once; on the CPU two, so that the end of one never leaves a lane without work."""
        return 2 if self.lanes else 1


def worker_limits(options: EngineOptions, processes: int) -> WorkerLimits:
    """Return what each of so many decode processes may take."""
    return WorkerLimits(
        options.max_pixels,
        options.video_seconds,
        max_duration_seconds=options.max_duration_seconds,
        memory_bytes=options.worker_bytes,
        threads=min(_MAX_CODEC_THREADS, max(1, options.usable_cores // processes)),
        downloads=downloads(),
    )


def share_out(options: EngineOptions, models: Sequence[Model], videos: int) -> tuple[Share, ...]:
    """Return what the models of a run get of each device.

    On the CPU a batch has one thread, unless the whole run has fewer batches of a model than there are threads.
    """
    threads = torch_threads()
    shares = []
    for device in options.devices:
        batch = options.batch_on(device)
        wanted = options.lanes or min(threads, MAX_LANES, _batches(models, videos, batch))
        each = -(-threads // wanted)
        lanes = options.lanes or threads // each
        shares.append(Share(device, batch, lanes, each) if device.type == "cpu" else Share(device, batch))
    return tuple(shares)


def _batches(models: Sequence[Model], videos: int, batch: int) -> int:
    """Return how many batches of the model that has most of them a run consists of; at least 1."""
    counts = [
        videos * max(1, spec.clips) if clip_frames else -(-videos * spec.frames // batch)
        for spec, clip_frames in ((model.candidate.spec, model.candidate.clip_frames) for model in models)
    ]
    return max(1, *counts)


def useful_slots(models: Sequence[Model], shares: Sequence[Share], processes: int) -> int:
    """Return how many videos are worth holding: those in work, and rounds of two batches in every lane for each runner.

    Twice as many as that, so that the next rounds can be decoded meanwhile.
    """
    rows = min((_frames(model) for model in models), default=1)
    return 2 * processes + sum(4 * -(-2 * share.batch * max(1, share.lanes) // rows) for share in shares)


def _frames(model: Model) -> int:
    """Return how many frames of a video a model looks at."""
    candidate = model.candidate
    return candidate.clip_frames * max(1, candidate.spec.clips) or candidate.spec.frames
