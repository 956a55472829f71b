"""Versions of the libraries that decide features, told without importing them."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Mapping

from vqa.extract.backends import plugin_versions

_LIBRARIES = ("vqa", "torch", "torchvision", "timm", "open_clip_torch", "transformers", "av", "numpy")


def library_versions() -> Mapping[str, str]:
    """Return the versions of the installed libraries that take part in computing features, plug-ins among them."""
    versions: dict[str, str] = {}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {**versions, **plugin_versions()}
