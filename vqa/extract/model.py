"""One candidate, ready to run: its network on its device, and the one function that gives features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa.errors import VqaError
from vqa.extract.backends import find_backend, weights_sha256
from vqa.extract.spec import Candidate
from vqa.extract.views import normalise


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded candidate. Features for training and for scoring come from its `features`, and from nowhere else."""

    candidate: Candidate
    network: nn.Module
    weights_sha256: str
    """Over the loaded parameters and buffers."""
    device: torch.device

    def features(self, frames: Tensor) -> Tensor:
        """Run the network on a batch.

        Args:
            frames: uint8 pixels, (B, 3, h, w) for an image network, (B, T, 3, h, w) for a video network.

        Returns:
            Features (B, D), float32, on the CPU.
        """
        return run_network(self.network, frames.to(self.device), self.candidate)


def run_network(network: nn.Module, frames: Tensor, candidate: Candidate) -> Tensor:
    """Normalise a uint8 batch and run a network on it in the candidate's precision; features (B, D), float32, CPU."""
    spec = candidate.input
    with torch.inference_mode():
        if spec.clip_frames:
            pixels = normalise(frames.flatten(0, 1), spec).view(frames.shape).transpose(1, 2)
        else:
            pixels = normalise(frames, spec).contiguous(memory_format=torch.channels_last)
        low = candidate.precision == "bfloat16"
        with torch.autocast(frames.device.type, dtype=torch.bfloat16, enabled=low):
            features: Tensor = network(pixels)
        return features.float().cpu()


def choose_device(name: str) -> torch.device:
    """Return the device of that name; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        VqaError: torch does not know the device or can't use it here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise VqaError(f"device {name!r} can't be used ({reason}); use `auto`, `cpu` or `cuda`") from error
    return device


def load_network(candidate: Candidate, device: torch.device) -> nn.Module:
    """Load a candidate's network with its real weights, in evaluation mode, ready to run.

    Raises:
        WeightsError: the weights can't be had or do not fit.
    """
    network = find_backend(candidate.spec.backend).load(candidate.spec).eval().requires_grad_(requires_grad=False)
    network = network.to(device)
    return network if candidate.input.clip_frames else network.to(memory_format=torch.channels_last)


def load_model(candidate: Candidate, device: torch.device) -> Model:
    """Load a candidate whose precision is settled."""
    network = load_network(candidate, device)
    return Model(candidate, network, weights_sha256(network), device)
