"""Train: fit the regressor on the cache alone, and write the bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.errors import DegenerateDataError
from vqa.pipeline.datahash import data_sha256
from vqa.pipeline.extraction import extract_features
from vqa.pipeline.features import look_up, read_table, require_all
from vqa.pipeline.opening import count_ignored_contents, open_dataset
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.selected import SelectionRow, find_stored, read_selection
from vqa.pipeline.trusting import TRAINING_MOS, TRAINING_ROWS, row_hashes
from vqa.pipeline.versions import library_versions
from vqa.records import Failure, FeatureTable, is_imported
from vqa.train.bundle import save_bundle
from vqa.train.fitting import FittedRegressor, TrainJob, fit_many
from vqa.train.methods import Method, find_method
from vqa.train.table import join_blocks
from vqa.train.weights import dbi_weights
from vqa.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class TrainingReport:
    """What `train_regressor` did."""

    bundle: Path
    videos: int
    method: str
    weights: Mapping[str, float]
    """Fusion weight of each chosen candidate; they sum to 1."""
    epochs: tuple[int, ...]
    """Epochs each restart kept: by its inner validation rows, or all of them where rows are too few to hold any out."""
    failures: tuple[Failure, ...]
    """Training videos left out because they failed."""
    ignored_contents: int
    """Contents that the labels name and `vqa.toml` says not to read."""


def train_regressor(
    folder: str | Path, *, cached: bool = False, method: str | None = None, progress: Progress = SILENT
) -> TrainingReport:
    """Fit the regressor on the selected candidates' features and write the workspace's bundle.

    Args:
        folder: The workspace; `rank_models` has chosen the candidates.
        cached: Touch no video: what the cache lacks is an error, not a reason to extract.
        method: `blend` or `ptm-vqa`; by default what `vqa.toml` says.
        progress: Told how far an extraction is.

    Raises:
        CacheMissError: with `cached`, features are missing; the message names the command that computes them.
        WorkspaceError: nothing is selected yet.
        DegenerateDataError: too few videos, or equal scores.
    """
    workspace = open_workspace(folder)
    chosen = read_selection(workspace)
    extracted = tuple(row.name for row in chosen if not is_imported(row.name))
    if extracted and not cached:
        extract_features(folder, extracted, progress=progress)
    store = FeatureStore(workspace.cache_dir)
    rows = open_dataset(workspace).training_rows()
    candidates = find_stored(store, chosen)
    found = look_up(workspace, store, rows, candidates)
    require_all(found, candidates)
    table = read_table(store, rows, found, candidates)
    used = find_method(method or workspace.train.method, workspace.train.overrides)
    job = make_job(table, used, [row.dbi for row in chosen], workspace.train.random_state)
    fitted = fit_many([job], settings=used.settings)[0]
    weights = fitted.fusion_weights
    header = _header(workspace, table, chosen, candidates, fitted, used)
    probes = {stored.record.name: np.array(stored.probe, np.float32) for stored in candidates if stored.probe}
    known = {TRAINING_MOS: np.sort(table.mos), TRAINING_ROWS: np.sort(row_hashes(list(table.blocks.values())))}
    save_bundle(workspace.bundle_file, fitted, header, {**probes, **known})
    return TrainingReport(
        bundle=workspace.bundle_file,
        videos=len(table.ids),
        method=used.name,
        weights={row.name: weight for row, weight in zip(chosen, weights, strict=True)},
        epochs=fitted.epochs,
        failures=found.failures,
        ignored_contents=count_ignored_contents(workspace, table.ids),
    )


def make_job(table: FeatureTable, method: Method, dbis: Sequence[float], random_state: int) -> TrainJob:
    """Turn a table of chosen candidates, with their DBI, into one training job."""
    joined = join_blocks(table)
    weights = None if method.fusion == "srocc" else dbi_weights(dbis, method.fusion)
    return TrainJob(
        features=joined.features,
        mos=table.mos,
        groups=table.groups,
        block_widths=joined.widths,
        fusion_weights=weights,
        random_state=random_state,
    )


def _header(
    workspace: Workspace,
    table: FeatureTable,
    chosen: Sequence[SelectionRow],
    candidates: Sequence[StoredCandidate],
    fitted: FittedRegressor,
    method: Method,
) -> dict[str, object]:
    """Return what a bundle says of itself; the same data gives the same bytes, so no time stands in it."""
    if not table.ids:
        raise DegenerateDataError("no labelled video has features; check the labels, or run `vqa extract`")
    models = [
        {
            "name": row.name,
            "fingerprint": stored.record.fingerprint,
            "details": json.loads(stored.record.details),
            "weights_sha256": stored.weights_sha256,
            "versions": dict(stored.versions),
            "dbi": row.dbi,
            "weight": weight,
        }
        for row, stored, weight in zip(chosen, candidates, fitted.fusion_weights, strict=True)
    ]
    low, high = float(table.mos.min()), float(table.mos.max())
    scale = workspace.dataset.scale or (low, high)
    return {
        "models": models,
        "method": {"name": method.name, "fusion": method.fusion, **asdict(method.settings)},
        "scale": list(scale),
        "mos_range": [low, high],
        "labels": workspace.dataset.note,
        "videos": len(table.ids),
        "data_sha256": data_sha256(table, [stored.record.fingerprint for stored in candidates]),
        "versions": dict(library_versions()),
    }
