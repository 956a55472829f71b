"""One candidate, ready to run: its network, and the one function that gives features."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa.errors import VqaError
from vqa.extract.backends import find_backend
from vqa.extract.processor import cpu_capabilities, torch_threads
from vqa.extract.spec import Candidate, InputSpec, NativeInput
from vqa.extract.views import normalise


class OneDnnLinear(nn.Linear):
    """A linear layer whose float32 product on the CPU is oneDNN's instead of MKL's.

    On AMD's CPUs MKL uses AVX2 at best: 105 against 240 GFLOP/s a core of an EPYC with AVX-512.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the product, by torch's own layer where it is not float32 on the CPU."""
        if input.device.type != "cpu" or input.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return product


_log = logging.getLogger(__name__)
_MATRIX_MODULES = (nn.Linear, OneDnnLinear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded candidate, in host memory."""

    candidate: Candidate
    network: nn.Module
    weights_sha256: str
    """Over the loaded parameters and buffers."""

    @property
    def input(self) -> InputSpec:
        """How frames become its input; a native candidate has none."""
        spec = self.candidate.input
        assert isinstance(spec, InputSpec)
        return spec


def run_network(network: nn.Module, frames: Tensor, candidate: Candidate) -> Tensor:
    """Normalise a uint8 batch and run a network on it in the candidate's precision.

    Features for training and for scoring come from here, and from nowhere else.

    Args:
        network: On the frames' device, in evaluation mode.
        frames: uint8 pixels, (B, 3, h, w) for an image network, (B, T, 3, h, w) for a video network.
        candidate: What the network is.

    Returns:
        Features (B, D), float32, on the same device.
    """
    spec = candidate.input
    assert isinstance(spec, InputSpec)
    with torch.inference_mode():
        if spec.clip_frames:
            pixels = normalise(frames.flatten(0, 1), spec).view(frames.shape).transpose(1, 2)
        else:
            pixels = normalise(frames, spec).contiguous(memory_format=torch.channels_last)
        low = candidate.precision == "bfloat16"
        with _exact_kernels(frames.device), torch.autocast(frames.device.type, dtype=torch.bfloat16, enabled=low):
            features: Tensor = network(pixels)
        return features.float()


def _exact_kernels(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Keep cuDNN from TF32, its default for float32 convolutions, and from kernels that differ from run to run."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    flags: contextlib.AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


def choose_devices(name: str) -> tuple[torch.device, ...]:
    """Return the devices of that name; `auto` takes every CUDA device, then Apple's MPS, then the CPU.

    Args:
        name: `auto`, `cpu`, `cuda` for all CUDA devices, `cuda:1` for one, `mps`.

    Raises:
        VqaError: torch does not know the device or can't use it here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        _log.info("device auto: %s is the best of this machine", name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise VqaError(f"device {name!r} can't be used ({reason}); use `auto`, `cpu` or `cuda`") from error
    if device == torch.device("cuda"):
        return tuple(torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    torch.set_num_threads(min(torch.get_num_threads(), torch_threads()))  # a quota's, if that is less
    _log.info("device %s, %d threads of torch on the CPU", device, torch.get_num_threads())
    return (device,)


def load_network(candidate: Candidate) -> nn.Module:
    """Load a candidate's network with its real weights, in evaluation mode, on the host.

    Raises:
        WeightsError: the weights can't be had or do not fit.
    """
    network = find_backend(candidate.spec.backend).load(candidate.spec).eval().requires_grad_(requires_grad=False)
    if onednn_is_faster():
        use_onednn(network)
    if isinstance(candidate.input, NativeInput) or candidate.clip_frames:
        return network
    return network.to(memory_format=torch.channels_last)


def onednn_is_faster() -> bool:
    """Return whether float32 products are better left to oneDNN: by the kind of CPU, not by a timing that may vary."""
    known = cpu_capabilities()
    here = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    here = here and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return bool(here and known.get("avx512_f") and "AMD" in str(known.get("cpu_name")))


def use_onednn(network: nn.Module) -> None:
    """Give a network's plain linear layers oneDNN's product; layers of a class of their own stay as they are."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = OneDnnLinear


def cast_matrices(network: nn.Module, candidate: Candidate, probe: Tensor) -> None:
    """Keep a bfloat16 candidate's matrices in bfloat16, if its features stay exactly the same.

    Autocast turns them into bfloat16 for each batch anew, a tenth of the time of a large network. Networks that leave
    autocast somewhere inside need them in float32, and keep them so.

    Args:
        network: Changed in place.
        candidate: What it is.
        probe: uint8 frames or clips to compare on.
    """
    expected = run_network(network, probe, candidate)
    exact = {module: module.weight.data for module in network.modules() if type(module) in _MATRIX_MODULES}
    for module, weight in exact.items():
        module.weight.data = weight.bfloat16()
    try:
        unchanged = torch.equal(run_network(network, probe, candidate), expected)
    except RuntimeError:  # matrices and inputs of two types met
        unchanged = False
    if not unchanged:
        for module, weight in exact.items():
            module.weight.data = weight
