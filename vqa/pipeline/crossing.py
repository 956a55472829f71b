"""Evaluate on another dataset: trained on one workspace's rows, tested on another's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqa.cache.store import FeatureStore, StoredCandidate, filling_command
from vqa.dataset import Dataset, VideoRow
from vqa.errors import CacheMissError, DegenerateDataError
from vqa.escaping import csv_text
from vqa.extract.probe import probes_agree
from vqa.files import write_text
from vqa.pipeline.contest import Round, find_entrants, measure, predict_rounds
from vqa.pipeline.documents import write_document
from vqa.pipeline.features import current_candidates, look_up, read_table, run_on_all
from vqa.pipeline.opening import open_dataset
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.ranking import RankedTable, choose_models, read_training_table
from vqa.records import FeatureTable
from vqa.train.fitted import DEFAULT_COVERAGE, Predictions
from vqa.train.metrics import Metrics
from vqa.workspace import Workspace, open_workspace

CROSSING_SCHEMA = 1


@dataclass(frozen=True)
class CrossContender:
    """One line of the table: a method or a baseline."""

    name: str
    title: str
    metrics: Metrics
    """Plain PLCC and RMSE compare two scales and mean little; those after the fit are on the other dataset's scale."""


@dataclass(frozen=True)
class CrossReport:
    """What `evaluate_on` measured."""

    contenders: tuple[CrossContender, ...]
    trained_on: str
    tested_on: str
    """The workspaces' folders."""
    training_videos: int
    test_videos: int
    test_part: str
    """`test split` or `all labelled videos`."""
    in_both: int
    """Test videos left out because a training video has the very same features."""
    chosen: tuple[str, ...]
    not_in_both: tuple[str, ...]
    """Candidates that only one of the two has, or has for all of its videos."""
    falling: bool
    """Whether scores fall as the other's labels rise."""
    note: str
    other_note: str
    """What the labels are, where they are not people's opinion."""
    files: tuple[Path, ...]


def evaluate_on(
    folder: Path,
    other: Path,
    *,
    top_k: int | None = None,
    criterion: str | None = None,
    methods: Sequence[str] = (),
    baselines: bool = True,
    progress: Progress = SILENT,
) -> CrossReport:
    """Select and train on one workspace, and test on another.

    Scores stay on the first one's scale. Rank correlations need no common scale; PLCC and RMSE are taken after the
    4-parameter logistic fit to the other's labels, which is the only map between the scales.

    Args:
        folder: The workspace to train on: its training split, or all of its labelled videos.
        other: The workspace to test on: its test split, or all of its labelled videos.
        top_k: How many candidates to select, 0 for all; by default what `vqa.toml` says.
        criterion: What they are ranked by; by default what `vqa.toml` says.
        methods: Names of methods; by default what `vqa.toml` says.
        baselines: Whether RidgeCV, SVR and the best single model are measured, too.
        progress: Told how far the run is.

    Raises:
        CacheMissError: the two share no candidate, or test videos have no features.
        DegenerateDataError: too few videos, or equal scores.
    """
    workspace, tested = open_workspace(folder), open_workspace(other)
    settings, results = workspace.train, workspace.results_folder(results_name("on", other))
    entrants = find_entrants(settings, methods, baselines=baselines)
    ranked = read_training_table(workspace)
    test = _read_test(tested, ranked)
    shared = ranked.table.keep(tuple(test.table.blocks))
    ranking, chosen = choose_models(workspace, shared, top_k=top_k, criterion=criterion)
    single = Round(
        source=shared,
        train_rows=np.arange(len(shared.ids)),
        target=test.table,
        test_rows=np.arange(len(test.table.ids)),
        ranking=ranking,
        chosen=chosen,
        random_state=settings.random_state,
    )
    said = predict_rounds([single], entrants.methods, entrants.baselines, coverage=DEFAULT_COVERAGE, progress=progress)
    contenders = tuple(
        CrossContender(name, entrants.titles[name], measure([single], own)[0]) for name, own in said.items()
    )
    report = CrossReport(
        contenders=contenders,
        trained_on=str(folder),
        tested_on=str(other),
        training_videos=len(shared.ids),
        test_videos=len(test.table.ids),
        test_part=test.part,
        in_both=test.in_both,
        chosen=chosen,
        not_in_both=test.not_in_both,
        falling=contenders[0].metrics.srocc < 0,
        note=workspace.dataset.note,
        other_note=tested.dataset.note,
        files=(results / "predictions.csv", results / "evaluation.json"),
    )
    write_predictions(report, test.table, {name: own[0] for name, own in said.items()})
    return report


def results_name(kind: str, other: Path) -> str:
    """Return what to call the folder of results on another workspace: its name may stand for several."""
    place = str(other.resolve())
    return f"{kind}-{other.resolve().name}-{hashlib.sha256(place.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, eq=False)
class _Test:
    """The other workspace's rows."""

    table: FeatureTable
    part: str
    in_both: int
    not_in_both: tuple[str, ...]


def _read_test(tested: Workspace, ranked: RankedTable) -> _Test:
    """Read the test rows' features of every candidate that both workspaces have."""
    store = FeatureStore(tested.cache_dir)
    rows, part = test_rows(open_dataset(tested))
    here = {stored.record.name: stored for stored in current_candidates(store, tested)}
    known = {name: stored.record.fingerprint for name, stored in ranked.candidates.items()}
    shared = [stored for name, stored in here.items() if name in known and _are_alike(stored, ranked.candidates[name])]
    if not shared:
        raise CacheMissError(
            f"{tested.root}: its cache shares no model with the one trained on; "
            f"run {filling_command(list(known)[:3])} there"
        )
    found = look_up(tested, store, rows, shared)
    shared = run_on_all(found, shared)
    table = read_table(store, rows, found, shared)
    twice = _trained_on(table, ranked.table)
    if twice.all():
        raise DegenerateDataError(
            f"{tested.root}: the {len(twice)} videos to test on were all trained on; test on other videos"
        )
    names = {stored.record.name for stored in shared}
    return _Test(
        table=table.take(np.flatnonzero(~twice)),
        part=part,
        in_both=int(twice.sum()),
        not_in_both=tuple(sorted((set(here) | set(known)) - names)),
    )


def _are_alike(one: StoredCandidate, other: StoredCandidate) -> bool:
    """Say whether two caches hold one candidate with the same numbers."""
    same = one.record.fingerprint == other.record.fingerprint
    return same and probes_agree(one.probe, other.probe, precision=one.record.text("precision"))


def test_rows(dataset: Dataset) -> tuple[Sequence[VideoRow], str]:
    """Return the labelled rows of split `test`, or all labelled rows where the dataset has no splits."""
    rows = [row for row in dataset.labelled if row.split == "test"]
    return (rows, "test split") if rows else (dataset.labelled, "all labelled videos")


def _trained_on(test: FeatureTable, trained: FeatureTable) -> NDArray[np.bool_]:
    """Say of each test row whether a training row has the very same features of all models, shape (N,).

    Videos are told by their features, since two files of one video, or imported rows, have nothing else in common.
    """
    names = list(test.blocks)
    seen = {b"".join(trained.blocks[name][row].tobytes() for name in names) for row in range(len(trained.ids))}
    rows = range(len(test.ids))
    return np.array([b"".join(test.blocks[name][row].tobytes() for name in names) in seen for row in rows], dtype=bool)


def write_predictions(report: CrossReport, table: FeatureTable, said: dict[str, Predictions]) -> None:
    """Write a row for each test video, and the figures."""
    predictions_file, summary_file = report.files
    scores = (own.scores.tolist() for own in said.values())
    rows = zip(table.ids, table.mos.tolist(), *scores, strict=True)
    write_text(predictions_file, csv_text([("id", "mos", *said), *rows]))
    summary = {**asdict(report), "files": [file.name for file in report.files]}
    write_document(summary_file, CROSSING_SCHEMA, summary, indent=2)
