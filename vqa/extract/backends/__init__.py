"""The model libraries: for each one row here and one module beside, which imports the library only when asked.

Other packages bring backends by an entry point of the group `vqa.backends`; see docs/backends.md.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.spec import ModelSpec, Plan
from vqa.records import IMPORTED

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
    "classic": "vqa.extract.backends.classic",
    "timm": "vqa.extract.backends.timm",
    "open_clip": "vqa.extract.backends.open_clip",
    "torchvision": "vqa.extract.backends.torchvision",
    "pytorchvideo": "vqa.extract.backends.pytorchvideo",
    "transformers": "vqa.extract.backends.transformers",
}


PLUGIN_GROUP = "vqa.backends"
"""The group of entry points by which other packages offer backends: the backend's name = the `Backend` object."""


def find_backend(name: str) -> Backend:
    """Return the backend of that name: ours, or another package's, which is imported only now.

    Raises:
        UnknownModelError: there is none, or two packages offer one of that name.
        WeightsError: the package that offers it can't be imported, or offers no backend of that name.
    """
    plugins = _plugins().get(name, ())
    if name == IMPORTED:
        raise UnknownModelError(
            f"{name}: such features come from a table and can't be computed; add rows with `vqa cache import`"
        )
    if len(plugins) + (name in _MODULES) > 1:
        names = " and ".join(_package(plugin) for plugin in plugins)
        whose = "which is one of vqa's own" if name in _MODULES else "each"
        raise UnknownModelError(f"{names} bring(s) a backend {name!r}, {whose}; keep one, and uninstall the rest")
    if plugins:
        return _load_plugin(plugins[0])
    if name not in _MODULES:
        raise UnknownModelError(f"there is no backend {name!r}; {suggest(name, (*_MODULES, *_plugins()))}")
    backend = importlib.import_module(_MODULES[name]).BACKEND
    assert isinstance(backend, Backend)
    return backend


def plugin_versions() -> Mapping[str, str]:
    """Return the version of each installed package that offers backends, whether they can be imported or not."""
    offered = (plugin for plugins in _plugins().values() for plugin in plugins)
    return {plugin.dist.name: plugin.dist.version for plugin in offered if plugin.dist is not None}


def plugin_names() -> tuple[str, ...]:
    """Return the names of the backends that other packages offer."""
    return tuple(_plugins())


@functools.cache
def _plugins() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the entry points of other packages by name; none of them is imported."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    # A package seen through two folders of the path is one package.
    for plugin in dict.fromkeys(importlib.metadata.entry_points(group=PLUGIN_GROUP)):
        found[plugin.name] = (*found.get(plugin.name, ()), plugin)
    return dict(sorted(found.items()))


def _package(plugin: EntryPoint) -> str:
    """Return the name of the package that an entry point belongs to."""
    return plugin.dist.name if plugin.dist is not None else plugin.module


def _load_plugin(plugin: EntryPoint) -> Backend:
    """Import another package's backend.

    Raises:
        WeightsError: it can't be imported, or is no backend of that name.
    """
    package = _package(plugin)
    try:
        backend = plugin.load()
    except Exception as error:  # what a package raises on import is its own choice
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise WeightsError(
            f"{plugin.name}: the package {package} can't be imported ({reason}); mend or uninstall it"
        ) from error
    if not isinstance(backend, Backend) or backend.name != plugin.name:
        raise WeightsError(
            f"{plugin.name}: the package {package} offers no backend of that name at {plugin.value}; report it there"
        )
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
