"""A look around in a folder: what is there of the whole job, and what to do next. It loads no model library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.dataset import Dataset
from vqa.errors import MALFORMED, BundleError, CacheMissError, VqaError, WorkspaceError
from vqa.pipeline.datahash import rows_sha256
from vqa.pipeline.documents import EVALUATION_FILE, read_evaluation
from vqa.pipeline.features import REPAIRING, CachedRows, current_candidates, look_up, outdated_models
from vqa.pipeline.opening import open_dataset
from vqa.pipeline.selected import StoredSelection, find_stored, read_stored_selection
from vqa.records import is_imported
from vqa.train.header import read_header
from vqa.workspace import FILE_NAME, Workspace, open_workspace

_SHOWN = 3


@dataclass(frozen=True)
class NextStep:
    """What to do next."""

    command: str
    why: str


@dataclass(frozen=True)
class Overview:
    """What `look_around` found; all but the steps is empty where the folder is no workspace."""

    folder: Path
    workspace: bool
    videos: int = 0
    labelled: int = 0
    models: int = 0
    """With features in the cache that fit the workspace."""
    failed: int = 0
    """Videos without features because they failed."""
    selected: tuple[str, ...] = ()
    trained_videos: int | None = None
    """That the bundle was trained on; None where there is none."""
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Files that are there and can't be used: by their names the reason, with the command that mends it."""
    steps: tuple[NextStep, ...] = ()
    """The most useful first."""


@dataclass(frozen=True, eq=False)
class _State:
    """All that decides the next step."""

    workspace: Workspace
    dataset: Dataset
    store: FeatureStore
    candidates: Sequence[StoredCandidate]
    found: CachedRows
    """All videos of the dataset."""
    training: CachedRows
    """Those to select and train on."""
    selection: StoredSelection | None
    trained_videos: int | None
    trained_on: tuple[str, ...]
    """Fingerprints of the bundle's models."""
    is_evaluated: bool
    damaged: Mapping[str, str]


def look_around(folder: Path = Path()) -> Overview:
    """Say what a folder has of the whole job, and what to do next.

    Raises:
        WorkspaceError, LabelsError, CacheError: it is a workspace, and it, its labels or its cache can't be read.
    """
    if not (folder / FILE_NAME).is_file():
        return Overview(folder, workspace=False, steps=_first_steps(folder))
    state = _look(open_workspace(folder))
    return Overview(
        folder,
        workspace=True,
        videos=len(state.dataset.rows),
        labelled=len(state.dataset.labelled),
        models=len(state.candidates),
        failed=len(state.found.failures),
        selected=() if state.selection is None else tuple(row.name for row in state.selection.chosen),
        trained_videos=state.trained_videos,
        damaged=state.damaged,
        steps=_next_steps(state),
    )


def _first_steps(folder: Path) -> tuple[NextStep, ...]:
    """Say what to do where there is no workspace."""
    below = sorted(file.parent.name for file in folder.glob(f"*/{FILE_NAME}"))[:_SHOWN]
    return (
        *(NextStep(f"cd {name}", "a workspace") for name in below),
        NextStep("vqa demo", "the whole job on free clips, in minutes"),
        NextStep("vqa init DIR --videos VIDEOS --labels LABELS.csv", "a workspace of your own videos"),
    )


def _look(workspace: Workspace) -> _State:
    dataset, store = open_dataset(workspace), FeatureStore(workspace.cache_dir)
    candidates: tuple[StoredCandidate, ...] = ()
    with contextlib.suppress(CacheMissError):  # nothing cached that fits
        candidates = current_candidates(store, workspace)
    damaged: dict[str, str] = {}
    selection = None
    if workspace.selection_file.is_file():
        with _noting(damaged, workspace.selection_file):
            selection = read_stored_selection(workspace)
    trained_videos: int | None = None
    trained_on: tuple[str, ...] = ()
    if workspace.bundle_file.is_file():
        with _noting(damaged, workspace.bundle_file):
            trained_videos, trained_on = _bundle(workspace)
    is_evaluated = False
    with _noting(damaged, workspace.results_dir / EVALUATION_FILE):
        is_evaluated = read_evaluation(workspace.results_dir) is not None
    found = look_up(workspace, store, dataset.rows, candidates)
    damaged |= {str(lines.file): f"{lines}; run `vqa extract`{REPAIRING}" for lines in found.damaged}
    return _State(
        workspace,
        dataset,
        store,
        candidates,
        found=found,
        training=look_up(workspace, store, dataset.training_rows(), candidates),
        selection=selection,
        trained_videos=trained_videos,
        trained_on=trained_on,
        is_evaluated=is_evaluated,
        damaged=damaged,
    )


@contextlib.contextmanager
def _noting(damaged: dict[str, str], file: Path) -> Iterator[None]:
    """Note what is damaged in place of ending with it: it is made anew."""
    try:
        yield
    except (WorkspaceError, BundleError) as error:
        damaged[file.name] = str(error)


def _bundle(workspace: Workspace) -> tuple[int, tuple[str, ...]]:
    """Return how many videos the bundle was trained on, and its models' fingerprints.

    Raises:
        BundleError: it can't be used.
    """
    header = read_header(workspace.bundle_file)
    try:
        return int(header["videos"]), tuple(str(model["fingerprint"]) for model in header["models"])
    except MALFORMED as error:
        raise BundleError(
            f"{workspace.bundle_file}: does not say what it was trained on; run `vqa train` again"
        ) from error


def _next_steps(state: _State) -> tuple[NextStep, ...]:
    for look in (_features_step, _labels_step, _selection_step, _training_step):
        if step := look(state):
            return (step,)
    return _last_steps(state)


def _features_step(state: _State) -> NextStep | None:
    """Return how to get the features that are missing."""
    if not state.candidates:
        if outdated := outdated_models(state.store, state.workspace):
            why = f"cached features are of {next(iter(outdated.values()))}"
            return NextStep(filling_command(list(outdated)).strip("`"), why)
        if state.workspace.dataset.videos:
            return NextStep("vqa extract --models all", "no features are cached yet")
        return NextStep("vqa cache import FILE --as NAME", "no features are cached yet, and there are no videos")
    gaps = {name: ids for name, ids in state.found.lacking.items() if ids and not is_imported(name)}
    if gaps:
        videos = len({video for ids in gaps.values() for video in ids})
        return NextStep("vqa extract --models all", f"{videos} videos lack features of {len(gaps)} models")
    return None


def _labels_step(state: _State) -> NextStep | None:
    if state.training.ids:
        return None
    return NextStep(f"edit {FILE_NAME}", "no video to train on has a label; name a file of labels as `labels`")


def _selection_step(state: _State) -> NextStep | None:
    """Return how to choose models, where none are chosen or the choice is stale."""
    selection, names = state.selection, {stored.record.name for stored in state.candidates}
    if selection is None or not selection.chosen:
        unusable = state.workspace.selection_file.name in state.damaged
        ranks = f"ranks the {len(names)} models and chooses the best"
        return NextStep("vqa select", "selection.json can't be used; choose anew" if unusable else ranks)
    try:
        find_stored(state.store, selection.chosen)
    except VqaError:
        return NextStep("vqa select", "a selected model is no longer in the cache, or has newer features")
    added = names - {row.name for row in selection.rows} - selection.left_out
    if added:
        return NextStep("vqa select", f"{len(added)} cached models were never ranked")
    return _recount("vqa select", "ranked", selection.videos, state) or _relabel(selection, state)


def _relabel(selection: StoredSelection, state: _State) -> NextStep | None:
    """Return what to do where the labels are others by now."""
    now = rows_sha256(state.dataset.training_rows(), state.training.ids)
    if selection.rows_sha256 in ("", now):
        return None
    return NextStep("vqa select", "labels changed since models were ranked")


def _training_step(state: _State) -> NextStep | None:
    """Return how to train, where there is no bundle or it is stale."""
    chosen = () if state.selection is None else tuple(row.fingerprint for row in state.selection.chosen)
    if state.trained_videos is None:
        unusable = state.workspace.bundle_file.name in state.damaged
        fits = "fits a scorer to their cached features"
        return NextStep("vqa train --cached", "scorer.vqa can't be used; train anew" if unusable else fits)
    if state.trained_on != chosen:
        return NextStep("vqa train --cached", "the scorer is of another selection")
    return _recount("vqa train --cached", "trained", state.trained_videos, state)


def _recount(command: str, what: str, before: int, state: _State) -> NextStep | None:
    """Return what to do anew where the number of videos is another by now."""
    now = len(state.training.ids)
    return None if before == now else NextStep(command, f"{what} on {before} videos, and there are {now}")


def _last_steps(state: _State) -> tuple[NextStep, ...]:
    """Say what a trained scorer is good for."""
    steps = []
    if EVALUATION_FILE in state.damaged:
        steps.append(NextStep("vqa evaluate", f"{EVALUATION_FILE} can't be used; measure anew"))
    elif not state.is_evaluated:
        steps.append(NextStep("vqa evaluate", "how good it is on videos it has not seen"))
    if state.selection is not None and any(is_imported(row.name) for row in state.selection.chosen):
        steps.append(NextStep("vqa export scorer.onnx", "the scorer for other programs; its features are imported"))
    else:
        steps.append(NextStep("vqa score VIDEO", "a score, its interval, and what it means"))
    steps.append(NextStep("vqa report", "all results on one page"))
    return tuple(steps)
