"""Where a candidate's weights lie on this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from vqa.extract.spec import ModelSpec
from vqa.records import WEIGHT_FILE_SUFFIXES

_HUB = "hub:"


def weights_path(spec: ModelSpec, weights_id: str) -> Path | None:
    """Return where a candidate's weights belong: a file, or a repository's folder in the hub's cache.

    Args:
        spec: The candidate.
        weights_id: As its backend's plan names them.

    Returns:
        A path, whether the weights are there or not; None where there are none, or only the backend knows.
    """
    if spec.weights_are_a_file:
        return Path(spec.weights)
    if spec.backend == "bundled":
        from vqa.extract.backends.bundled import wheel_member

        return wheel_member(spec.name).cached_path
    if not weights_id.startswith(_HUB):
        return None
    source = weights_id.removeprefix(_HUB)
    if "://" in source:
        import torch.hub

        return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(source).path).name
    from huggingface_hub import constants

    repository = source.split("/")[:2]  # the name of a file in it may follow
    return Path(constants.HF_HUB_CACHE) / "--".join(("models", *repository))


def weights_are_here(path: Path) -> bool:
    """Say whether a file is there, or a repository's folder with weights in it rather than a configuration alone."""
    if path.is_file():
        return True
    return any(file.suffix in WEIGHT_FILE_SUFFIXES and file.exists() for file in path.glob("snapshots/*/**/*"))


def megabytes(path: Path) -> float:
    """Return the size of a file, or of all files of a repository, each once."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6
