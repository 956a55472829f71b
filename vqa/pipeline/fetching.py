"""Fetch: weights before they are needed, and where every command looks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa.errors import WeightsError, WorkspaceError
from vqa.extract.backends import find_backend
from vqa.extract.backends.hub import weights_from
from vqa.extract.places import megabytes, weights_are_here, weights_path
from vqa.extract.pools import expand_models
from vqa.extract.spec import ModelSpec
from vqa.pipeline.progress import SILENT, Progress
from vqa.settings import ExtractSettings
from vqa.workspace import FILE_NAME, Workspace, open_workspace

_DEFAULT_MODELS = ExtractSettings().models


@dataclass(frozen=True)
class FetchedModel:
    """What became of one candidate's weights."""

    spec: str
    reason: str
    """Empty where they are on this machine now, loaded into their network without a fault."""
    place: Path | None
    """File or folder they lie in; None where there are no weights, or only the library knows."""
    megabytes: float | None
    """Size of what lies there."""

    @property
    def fetched(self) -> bool:
        """Whether the candidate can be extracted without a network."""
        return not self.reason


@dataclass(frozen=True)
class FetchReport:
    """What `fetch_weights` did."""

    models: tuple[FetchedModel, ...]

    @property
    def complete(self) -> bool:
        """Whether all weights are on this machine."""
        return all(model.fetched for model in self.models)


def fetch_weights(
    patterns: Sequence[str], *, folder: Path = Path(), weights_dir: Path | None = None, progress: Progress = SILENT
) -> FetchReport:
    """Bring candidates' weights to this machine, each by its library's own loader, and load them once to be sure.

    Args:
        patterns: `all`, pool names, model specs or globs.
        folder: A workspace, for what `all` and its `weights_dir` are; need not be one.
        weights_dir: Folder to fill, made if missing, in place of the libraries' own download folders.
        progress: Told how far the run is.

    Raises:
        UnknownModelError: a name that does not exist; nothing was fetched.
        WorkspaceError: the folder can't be made.
    """
    workspace = _workspace(folder)
    models = workspace.extract.models if workspace else _DEFAULT_MODELS
    specs = expand_models(patterns, everything=models)
    for spec in specs:
        # A configuration that only the hub has is fetched with the weights.
        with contextlib.suppress(WeightsError):
            find_backend(spec.backend).describe(spec)
    place = weights_dir or _weights_dir(workspace)
    if place is not None:
        _make(place)
    fetched = []
    with weights_from(folder=place):
        for done, spec in enumerate(specs):
            progress.update("fetching weights", done, len(specs), str(spec))
            fetched.append(_fetch(spec))
    progress.update("fetching weights", len(specs), len(specs))
    return FetchReport(tuple(fetched))


def _fetch(spec: ModelSpec) -> FetchedModel:
    try:
        backend = find_backend(spec.backend)
        backend.load(spec)
        path = weights_path(spec, backend.describe(spec).weights_id)
    except WeightsError as error:
        return FetchedModel(str(spec), str(error), None, None)
    if path is None or not weights_are_here(path):
        return FetchedModel(str(spec), "", None, None)
    return FetchedModel(str(spec), "", path, megabytes(path))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{folder}: can't be made ({error.strerror}); name another --weights-dir") from error


@contextlib.contextmanager
def weights_as_set(folder: Path, *, offline: bool = False, weights_dir: Path | None = None) -> Iterator[None]:
    """Apply for the block where weights may come from: what is given here, else `[extract]` of the folder's vqa.toml.

    Args:
        folder: A workspace; need not be one.
        offline: Ask no network.
        weights_dir: Folder of weights, in place of the libraries' own download folders.

    Raises:
        WorkspaceError: the vqa.toml can't be read.
        WeightsError: there is no such folder of weights.
    """
    workspace = _workspace(folder)
    settled = offline or (workspace is not None and workspace.extract.offline)
    with weights_from(offline=settled, folder=weights_dir or _weights_dir(workspace)):
        yield


def _workspace(folder: Path) -> Workspace | None:
    return open_workspace(folder) if (folder / FILE_NAME).is_file() else None


def _weights_dir(workspace: Workspace | None) -> Path | None:
    """Return the folder that a workspace names."""
    if workspace is None or workspace.extract.weights_dir is None:
        return None
    return workspace.resolve(workspace.extract.weights_dir)
