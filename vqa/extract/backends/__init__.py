"""The model libraries: for each one row here and one module beside, which imports the library only when asked."""

from __future__ import annotations

import difflib
import hashlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqa.errors import UnknownModelError
from vqa.extract.spec import ModelSpec, Plan

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backend:
    """What a model library has to offer.

    The networks that `build` and `load` return map normalised frames (B, 3, H, W), or clips (B, 3, T, H, W) for a video
    network, to features (B, D). `build` gives the architecture with whatever parameters its initialiser leaves (and
    honours an active `torch.device`); only `load` gives what may be used for features: real weights, loaded
    strictly, in evaluation mode, on the CPU, in float32.
    """

    name: str
    list_names: Callable[[], tuple[str, ...]]
    """Every NAME[/WEIGHTS] it can load."""
    describe: Callable[[ModelSpec], Plan]
    """Reads no weights; UnknownModelError with a did-you-mean, or WeightsError for a local file that is missing."""
    build: Callable[[ModelSpec], nn.Module]
    load: Callable[[ModelSpec], nn.Module]
    """Raises WeightsError where the weights can't be had or do not fit."""


_MODULES = {
    "bundled": "vqa.extract.backends.bundled",
    "timm": "vqa.extract.backends.timm",
    "open_clip": "vqa.extract.backends.open_clip",
    "torchvision": "vqa.extract.backends.torchvision",
}


def find_backend(name: str) -> Backend:
    """Return the backend of that name.

    Raises:
        UnknownModelError: there is none.
    """
    if name not in _MODULES:
        raise UnknownModelError(f"there is no backend {name!r}; {suggest(name, tuple(_MODULES))}")
    backend = importlib.import_module(_MODULES[name]).BACKEND
    assert isinstance(backend, Backend)
    return backend


def suggest(name: str, known: Sequence[str]) -> str:
    """Return a did-you-mean, or a few of the known names."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known are: {', '.join(list(known)[:6])}{', ...' if len(known) > 6 else ''}"


def weights_sha256(network: nn.Module) -> str:
    """Return a SHA-256 over all parameters and buffers that decide outputs: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
