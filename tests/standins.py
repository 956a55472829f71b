"""Small networks in place of pretrained ones, so that pages of the documentation run without any download.

Names, views and pools stay those of the real backends; inputs are small, and what `load` returns is another
network, with fixed weights of its own for each name.
"""

from __future__ import annotations

import dataclasses
import importlib
import zlib

import torch
from torch import nn

from vqa.extract import backends
from vqa.extract.spec import InputSpec, ModelSpec, Plan

_WIDTH, _STRIDE, _INPUT, _CLIP = 24, 8, 48, 4


class StandIn(nn.Module):
    """Fixed random patches, rectified and averaged over the frame; a clip is averaged over time first."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, _WIDTH, _STRIDE, stride=_STRIDE, bias=False)
        drawn = torch.randn(self.patches.weight.shape, generator=torch.Generator().manual_seed(seed))
        self.patches.weight = nn.Parameter(drawn / _STRIDE)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        frames = frames.mean(2) if frames.ndim == 5 else frames
        return nn.functional.gelu(self.patches(frames)).mean((2, 3))


def load(spec: ModelSpec) -> nn.Module:
    """Return the network that stands for a model, whatever its view."""
    return StandIn(zlib.crc32(f"{spec.backend}:{spec.name}/{spec.weights}".encode())).eval()


def shrink(plan: Plan) -> Plan:
    """Return what a backend says of a model, with a small input."""
    if not isinstance(plan.input, InputSpec):
        return plan
    frames = min(plan.input.clip_frames, _CLIP)
    small = dataclasses.replace(plan.input, resize=(_INPUT,), crop=(_INPUT, _INPUT), clip_frames=frames)
    return dataclasses.replace(plan, input=small)


def install() -> dict[str, backends.Backend]:
    """Put them in place of every pretrained network; return the real backends."""
    real = {}
    for name, module in backends._MODULES.items():
        if name != "classic":
            real[name] = importlib.import_module(module).BACKEND
            put(name, _stand_in_for(real[name]))
    return real


def _stand_in_for(real: backends.Backend) -> backends.Backend:
    return dataclasses.replace(real, describe=lambda spec: shrink(real.describe(spec)), build=load, load=load)


def put(name: str, backend: backends.Backend) -> None:
    """Have `find_backend` return this one from now on."""
    importlib.import_module(backends._MODULES[name]).BACKEND = backend  # type: ignore[attr-defined]
