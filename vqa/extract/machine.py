"""What this machine has: devices, native bfloat16, cores, decoders, free space."""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from av.codec.codec import UnknownCodecError

from vqa.extract.precision import native_bfloat16
from vqa.extract.processor import cpu_capabilities, torch_threads
from vqa.rlimits import usable_cores

__all__ = ["Device", "Space", "decoders", "devices", "ffmpeg_libraries", "free_space", "torch_threads", "usable_cores"]

_DECODERS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),  # FFmpeg's own `av1` decodes on some graphics cards only
    "mpeg4": ("mpeg4",),
    "prores": ("prores",),
}


@dataclass(frozen=True)
class Device:
    """A device that networks can run on."""

    name: str
    """As `--device` takes it."""
    model: str
    memory_gb: float | None
    """Its own memory; None for the CPU and what shares the CPU's."""
    bfloat16: bool
    """Whether it multiplies bfloat16 in hardware."""
    capability: str
    """What says so."""


@dataclass(frozen=True)
class Space:
    """Free space of one place."""

    use: str
    path: Path
    free_gb: float


def devices() -> tuple[Device, ...]:
    """Return the CPU, and all CUDA devices or Apple's."""
    found = [_cpu()]
    if torch.cuda.is_available():
        found += [_cuda(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        mps = torch.device("mps")
        found.append(Device("mps", platform.machine(), None, native_bfloat16(mps), "Metal, not asked"))
    return tuple(found)


def _cpu() -> Device:
    known = cpu_capabilities()
    has = [name for name in ("amx_bf16", "avx512_bf16") if known.get(name)]
    capability = ", ".join(has) or "neither amx_bf16 nor avx512_bf16"
    return Device("cpu", _cpu_model(), None, native_bfloat16(torch.device("cpu")), capability)


def _cuda(index: int) -> Device:
    device = torch.device("cuda", index)
    properties = torch.cuda.get_device_properties(device)
    return Device(
        name=str(device),
        model=properties.name,
        memory_gb=properties.total_memory / 1e9,
        bfloat16=native_bfloat16(device),
        capability=f"compute capability {properties.major}.{properties.minor}, bfloat16 from 8.0 on",
    )


def _cpu_model() -> str:
    """Return the processor's name as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def decoders() -> Mapping[str, str | None]:
    """Return for each common video codec the decoder that FFmpeg has here, None where it has none."""
    return {codec: next((name for name in names if _decodes(name)), None) for codec, names in _DECODERS.items()}


def _decodes(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except UnknownCodecError:
        return False
    return True


def ffmpeg_libraries() -> Mapping[str, str]:
    """Return the versions of the FFmpeg libraries that PyAV brings."""
    return {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())}


def free_space(places: Mapping[str, Path]) -> tuple[Space, ...]:
    """Return the free space of places by their use; one that is not there yet has that of the folder it will lie in."""
    spaces = []
    for use, path in places.items():
        there = next((parent for parent in (path, *path.parents) if parent.exists()), Path())
        with contextlib.suppress(OSError):
            spaces.append(Space(use, path, shutil.disk_usage(there).free / 1e9))
    return tuple(spaces)
