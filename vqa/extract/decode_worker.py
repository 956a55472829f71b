"""What runs in a decode worker: it holds itself to limits, and writes views of one video after the other."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from vqa.extract.backends import find_backend
from vqa.extract.backends.hub import weights_from
from vqa.extract.decoding import Stamp, TouchedError, decode_video, read_stamp
from vqa.extract.items import Span
from vqa.extract.looking import DecodedVideo
from vqa.extract.shared import Shared, attach
from vqa.extract.spec import Candidate, NativeInput
from vqa.extract.timeline import DEFAULT_MAX_SECONDS, Timeline
from vqa.extract.video import Passage, read_timeline
from vqa.files import Downloads
from vqa.rlimits import limit_cpu, limit_files, limit_memory

DEFAULT_WORKER_BYTES = 4 << 30
"""Enough for a stream of the largest frames allowed, and the frames it refers to."""
_MOST_FILES = 4096
"""A worker keeps a slot's file open for each video that may wait."""
_CPU_SLACK_SECONDS = 5.0
_NICENESS = 19
_NO_ROOM = "DefaultCPUAllocator"
_TRIES = 3
"""How often a file is decoded that is touched meanwhile."""


@dataclass(frozen=True)
class WorkerLimits:
    """Bounds on one decode worker."""

    max_pixels: int
    video_seconds: float
    """A video that takes longer to decode is given up."""
    max_duration_seconds: float = DEFAULT_MAX_SECONDS
    """A video that lasts longer is refused."""
    memory_bytes: int = DEFAULT_WORKER_BYTES
    """What a worker may take beside its libraries."""
    threads: int = 1
    """Of the codec."""
    downloads: Downloads = field(default_factory=Downloads)
    """Where native candidates that have weights may take them from."""


@dataclass(eq=False)
class _Worker:
    """What a worker keeps from one video to the next."""

    candidates: tuple[Candidate, ...]
    measures: dict[Candidate, nn.Module]
    limits: WorkerLimits
    slots: dict[str, Shared]
    parted: dict[tuple[Path, Stamp], tuple[Timeline, Passage]] = field(default_factory=dict)
    """Of the video that was looked at in parts last."""

    def open_parts(self, path: Path) -> tuple[Timeline, Passage]:
        """Return a video's timeline, which is read once for all its parts, and where decoding of it was left."""
        here = (path, read_stamp(path))
        if here not in self.parted:
            self.parted = {}
            limits = self.limits
            found = read_timeline(path, max_pixels=limits.max_pixels, max_seconds=limits.max_duration_seconds)
            self.parted = {here: (found, Passage())}
        return self.parted[here]


_worker: list[_Worker] = []


def set_up(candidates: tuple[Candidate, ...], limits: WorkerLimits) -> None:
    """Prepare a worker: one thread, behind the models where both want a core, and the native candidates' networks."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    limit_memory(limits.memory_bytes)
    limit_files(_MOST_FILES)
    torch.set_num_threads(1)
    with weights_from(offline=limits.downloads.offline, folder=limits.downloads.folder):
        measures = {
            candidate: find_backend(candidate.spec.backend).load(candidate.spec)
            for candidate in candidates
            if isinstance(candidate.input, NativeInput)
        }
    _worker.append(_Worker(candidates, measures, limits, {}))


def limit_video(limits: WorkerLimits) -> None:
    """Let a decoder that spins for longer than a video may take die by SIGXCPU, even if nobody is left to kill it."""
    threads = limits.threads + 1  # the codec's, and ours
    limit_cpu(limits.video_seconds * threads + _CPU_SLACK_SECONDS)


def decode_into(
    path: Path, stamp: Stamp | None, models: tuple[int, ...], name: str, spans: tuple[Span, ...] = (), key: str = ""
) -> DecodedVideo:
    """Decode a video for some of the candidates into the shared memory of that name; the key is of its bytes.

    A file that is touched meanwhile is decoded again: its bytes may have been others for a while.

    Raises:
        VideoError: the video can't be used.
        MemoryError: it takes more memory than a worker may have.
    """
    worker = _worker[-1]
    limit_video(worker.limits)
    if name not in worker.slots:
        worker.slots[name] = attach(name)

    def decode() -> DecodedVideo:
        timeline, passage = worker.open_parts(path) if spans else (None, None)
        return decode_video(
            path,
            [worker.candidates[index] for index in models],
            worker.measures,
            worker.slots[name].buffer,
            spans=spans,
            timeline=timeline,
            passage=passage,
            max_pixels=worker.limits.max_pixels,
            max_seconds=worker.limits.max_duration_seconds,
            threads=worker.limits.threads,
            stamp=stamp,
            key=key,
        )

    try:
        for _ in range(_TRIES - 1):
            with contextlib.suppress(TouchedError):
                return decode()
        return decode()
    except RuntimeError as error:
        if _NO_ROOM in str(error):  # how torch says it
            raise MemoryError from error
        raise
