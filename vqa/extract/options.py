"""How much memory, and how many processes and threads a run of the engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vqa.extract.model import Model
from vqa.extract.video import DEFAULT_MAX_PIXELS

CPU_BATCH = 8
"""Measured on CPUs: larger batches leave the caches and cost up to a fifth more a frame."""
GPU_BATCH = 64
MAX_CPU_RUNNERS = 4
"""More would wait for the interpreter, which all threads of Python share."""
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
    devices: tuple[torch.device, ...] = (torch.device("cpu"),)
    """Where models run, each on its own rounds of videos."""
    cpu_runners: int = 0
    """Rounds that run side by side on the CPU, each with its part of the threads; 0 for as many as suit the videos."""

    def batch_on(self, device: torch.device) -> int:
        """Return the frames per forward pass on a device."""
        return self.batch or (CPU_BATCH if device.type == "cpu" else GPU_BATCH)


def cpu_shares(threads: int, videos: int, wanted: int = 0) -> tuple[int, ...]:
    """Return how many threads each runner on the CPU gets.

    Threads of one runner meet after every layer, and wait there for the one that a decoder kept from its core; runners
    of a thread each meet never. But a runner needs videos of its own, and few videos are done sooner together.

    Args:
        threads: All there are.
        videos: How many are to be done.
        wanted: How many runners; 0 for as many as suit.
    """
    runners = wanted or (min(threads, MAX_CPU_RUNNERS) if videos >= 2 * threads else 1)
    return tuple((threads + runner) // runners for runner in range(runners))


@dataclass(frozen=True)
class Share:
    """What one runner gets of the machine."""

    device: torch.device
    threads: int
    """Of the CPU; on other devices they only hand the work over."""
    batch: int
    """Frames per forward pass."""


def share_out(options: EngineOptions, videos: int) -> tuple[Share, ...]:
    """Return the runners of a run: one on each device, several on the CPU."""
    threads = torch.get_num_threads()
    return tuple(
        Share(device, part, options.batch_on(device))
        for device in options.devices
        for part in (cpu_shares(threads, videos, options.cpu_runners) if device.type == "cpu" else (threads,))
    )


def useful_slots(models: Sequence[Model], shares: Sequence[Share], processes: int) -> int:
    """Return how many videos are worth holding: those in work, and twice what fills a batch of each runner."""
    frames = min((model.candidate.spec.frames for model in models if not model.candidate.clip_frames), default=1)
    return 2 * processes + sum(2 * -(-share.batch // frames) for share in shares)
