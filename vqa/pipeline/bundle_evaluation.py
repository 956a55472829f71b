"""Evaluate a finished bundle: what it says of labelled videos that it was not trained on, by their cached features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.errors import CacheMissError, DegenerateDataError
from vqa.pipeline.crossing import CrossContender, CrossReport, results_name, test_rows, write_predictions
from vqa.pipeline.features import look_up, read_table, require_all
from vqa.pipeline.opening import open_dataset
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.trusting import TRAINING_ROWS, check_told, has_trained_probe, row_hashes
from vqa.records import FeatureTable
from vqa.train.bundle import Bundle, load_bundle
from vqa.train.metrics import score_predictions
from vqa.workspace import open_workspace


def evaluate_bundle(
    folder: Path, model: Path | None = None, *, on: Path | None = None, progress: Progress = SILENT
) -> CrossReport:
    """Compare a bundle's scores with labels; rows that it was trained on are left out.

    Args:
        folder: A workspace, which gets the results.
        model: The bundle; by default the workspace's.
        on: The workspace to test on, by default `folder`: its test split, or all of its labelled videos.
        progress: Told what a user should know of the bundle.

    Raises:
        BundleError: the bundle can't be read.
        CacheMissError: the cache of the workspace tested on lacks features that the bundle takes.
        DegenerateDataError: no video is left to test on, or their scores are all equal.
    """
    workspace, tested = open_workspace(folder), open_workspace(on or folder)
    results, file = workspace.results_folder(results_name("bundle", tested.root)), model or workspace.bundle_file
    bundle = load_bundle(file)
    if bundle.note:
        progress.note(bundle.note)
    check_told(bundle)
    store = FeatureStore(tested.cache_dir)
    rows, part = test_rows(open_dataset(tested))
    candidates = _find_candidates(bundle, store)
    found = look_up(tested, store, rows, candidates)
    require_all(found, candidates)
    table = read_table(store, rows, found, candidates)
    table, in_both = _leave_out_training(bundle, table)
    if not table.ids:
        raise DegenerateDataError(
            f"{tested.root}: the {in_both} videos to test on were all trained on; test on another workspace with --on"
        )
    said = bundle.predict(table.blocks)
    name = str(bundle.header.get("method", {}).get("name", "bundle"))
    metrics = score_predictions(table.mos, said.scores)
    report = CrossReport(
        contenders=(CrossContender(name, f"the bundle {file}", metrics),),
        trained_on=str(file),
        tested_on=str(on or folder),
        training_videos=int(bundle.header["videos"]),
        test_videos=len(table.ids),
        test_part=part,
        in_both=in_both,
        chosen=bundle.names,
        not_in_both=(),
        falling=metrics.srocc < 0,
        note=str(bundle.header["labels"]),
        other_note=tested.dataset.note,
        files=(results / "predictions.csv", results / "evaluation.json"),
    )
    write_predictions(report, table, {name: said})
    return report


def _find_candidates(bundle: Bundle, store: FeatureStore) -> list[StoredCandidate]:
    """Return what a cache holds of a bundle's backbones, with the numbers that the bundle was trained on."""
    entries = bundle.header["models"]
    alike = {entry["name"]: store.candidate(entry["fingerprint"]) for entry in entries}
    found = {
        name: stored for name, stored in alike.items() if stored is not None and has_trained_probe(bundle, name, stored)
    }
    lacking = [name for name in bundle.names if name not in found]
    if lacking:
        raise CacheMissError(
            f"{store.root}: has no features of {len(lacking)} of the bundle's {len(entries)} models as they were in "
            f"training ({', '.join(lacking[:3])}); run {filling_command(lacking)} there"
        )
    return [found[name] for name in bundle.names]


def _leave_out_training(bundle: Bundle, table: FeatureTable) -> tuple[FeatureTable, int]:
    """Return the rows that a bundle was not trained on, and how many were left out."""
    blocks: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = table.blocks
    seen = np.isin(row_hashes([blocks[name] for name in bundle.names]), bundle.extras[TRAINING_ROWS])
    return table.take(np.flatnonzero(~seen)), int(seen.sum())
