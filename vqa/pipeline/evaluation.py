"""Evaluate: repeated splits by content, selection and training anew inside each, baselines on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError
from vqa.pipeline.contest import Round, find_entrants, measure, predict_rounds, share_covered
from vqa.pipeline.datahash import data_sha256
from vqa.pipeline.evaluation_files import write_evaluation
from vqa.pipeline.opening import count_ignored_contents
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.ranking import choose_models, read_training_table
from vqa.records import FeatureTable, Split
from vqa.train.fitted import DEFAULT_COVERAGE, Predictions
from vqa.train.metrics import Metrics, Summary, summarise
from vqa.train.paired import Paired, compare_paired
from vqa.train.splits import content_splits, write_splits
from vqa.workspace import Workspace, open_workspace


@dataclass(frozen=True, eq=False)
class SplitResult:
    """One split: who was chosen on its training rows, and how its test rows came out."""

    chosen: tuple[str, ...]
    test_ids: tuple[str, ...]
    mos: NDArray[np.float64]
    predicted: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Ends of each prediction's interval; NaN where it is unknown."""
    metrics: Metrics


@dataclass(frozen=True)
class Contender:
    """One line of the table: a method or a baseline over all splits."""

    name: str
    title: str
    metrics: tuple[Metrics, ...]
    """Of each split."""
    summary: Summary
    paired: Paired | None
    """The first method against this one, by SROCC; None for the first itself."""


@dataclass(frozen=True)
class EvaluationReport:
    """What `evaluate_workspace` measured."""

    splits: tuple[SplitResult, ...]
    """Of the first method."""
    contenders: tuple[Contender, ...]
    """The methods asked for, then the baselines."""
    videos: int
    groups: int
    """Source contents, or 0 where they are not known."""
    by_content: bool
    """Whether a content stands on one side of every split."""
    leaking: bool
    """Whether contents are known, and one may stand on both sides of a split."""
    selected: str
    """How models were chosen, in words."""
    criterion: str
    """What they were ranked by."""
    top_k: int
    """Most that were chosen in a split, 0 for all."""
    left_out: Mapping[str, str]
    """Candidates that could not be used, with the reason."""
    test_fraction: float
    coverage: float
    """Share of new videos whose MOS should lie in their interval."""
    covered: float | None
    """Share of test rows whose MOS lies there; None where intervals are unknown."""
    note: str
    """What the labels are, where they are not people's opinion."""
    splits_sha256: str
    files: tuple[Path, ...]
    """Where the splits, the metrics of each and all predictions were written."""

    @property
    def summary(self) -> Summary:
        """Of the first method."""
        return self.contenders[0].summary


def evaluate_workspace(
    folder: str | Path,
    *,
    splits: int | None = None,
    top_k: int | None = None,
    criterion: str | None = None,
    methods: Sequence[str] = (),
    baselines: bool = True,
    by: str = "content",
    allow_leaking: bool = False,
    progress: Progress = SILENT,
) -> EvaluationReport:
    """Measure selection and training on videos (and contents) that they have not seen.

    In each split candidates are ranked and chosen on its training rows, the regressors are fitted on them, and the test
    rows are read once, for the figures.

    Args:
        folder: The workspace; its cache holds the features.
        splits: How many; by default what `vqa.toml` says.
        top_k: How many candidates to select in each, 0 for all; by default what `vqa.toml` says.
        criterion: What candidates are ranked by; by default what `vqa.toml` says.
        methods: Names of methods; the first is the one that the others and the baselines are compared with.
        baselines: Whether RidgeCV, SVR and the best single model are measured, too.
        by: `content`, or `video` for splits that may part a content.
        allow_leaking: Whether splits by video are made although contents are known.
        progress: Told how far the run is.

    Raises:
        CacheMissError: videos have no features yet.
        DegenerateDataError: too few videos or contents to split, or splits by video of known contents.
    """
    workspace = open_workspace(folder)
    settings = workspace.train
    entrants = find_entrants(settings, methods, baselines=baselines)
    ranked = read_training_table(workspace)
    table = ranked.table
    groups = len(set(table.groups)) if table.groups else count_ignored_contents(workspace, table.ids)
    by_content = table.groups is not None and by == "content"
    leaking = _check_leaking(len(table.ids), groups, by, by_content=by_content, allow_leaking=allow_leaking)
    results_dir = workspace.results_folder("leaking" if leaking else "")
    parts = content_splits(
        table.groups if by_content else None,
        len(table.ids),
        count=splits or settings.splits,
        test_fraction=settings.test_fraction,
        random_state=settings.random_state,
    )
    rounds, refused = _choose(workspace, table, parts, top_k, criterion, progress)
    said = predict_rounds(rounds, entrants.methods, entrants.baselines, coverage=DEFAULT_COVERAGE, progress=progress)
    contenders = _contenders(rounds, said, entrants.titles)
    first = said[contenders[0].name]
    splits_file = results_dir / "splits.json"
    splits_sha256 = write_splits(splits_file, parts, table.ids)
    report = EvaluationReport(
        splits=_results(rounds, first, contenders[0].metrics),
        contenders=contenders,
        videos=len(table.ids),
        groups=groups,
        by_content=by_content,
        leaking=leaking,
        selected=_in_words(rounds),
        criterion=rounds[0].ranking.criterion,
        top_k=0 if _all_chosen(rounds) else _most_chosen(rounds),
        left_out={**ranked.left_out, **refused},
        test_fraction=settings.test_fraction,
        coverage=DEFAULT_COVERAGE,
        covered=share_covered(rounds, first),
        note=workspace.dataset.note,
        splits_sha256=splits_sha256,
        files=(splits_file, results_dir / "metrics.csv", results_dir / "predictions.csv"),
    )
    write_evaluation(report, data_sha256(table, [stored.record.fingerprint for stored in ranked.candidates.values()]))
    return report


def _check_leaking(videos: int, groups: int, by: str, *, by_content: bool, allow_leaking: bool) -> bool:
    """Refuse splits that part known contents, unless told otherwise.

    Returns:
        Whether the splits may part a content.
    """
    if by not in ("content", "video"):
        raise DegenerateDataError(f"splits by {by!r} can't be made; use content or video")
    if by_content or not 0 < groups < videos:
        return False
    if not allow_leaking:
        remedy = "leave out --by video" if by == "video" else "let group_column in vqa.toml name the contents"
        raise DegenerateDataError(
            f"{videos} videos show {groups} contents; splits by video would test on contents trained on, and hide how "
            f"scores fare on new ones; {remedy}, or add --allow-leaking to see that figure"
        )
    return True


def _choose(
    workspace: Workspace,
    table: FeatureTable,
    parts: Sequence[Split],
    top_k: int | None,
    criterion: str | None,
    progress: Progress,
) -> tuple[list[Round], dict[str, str]]:
    """Rank and choose on each split's training rows.

    Returns:
        The splits; and candidates that could not be ranked, with the number of splits and a reason.
    """
    rounds: list[Round] = []
    refused: dict[str, list[str]] = {}
    for number, split in enumerate(parts):
        ranking, chosen = choose_models(workspace, table.take(split.train), top_k=top_k, criterion=criterion)
        rounds.append(
            Round(
                source=table,
                train_rows=split.train,
                target=table,
                test_rows=split.test,
                ranking=ranking,
                chosen=chosen,
                random_state=workspace.train.random_state + number,
            )
        )
        for name, reason in ranking.refused.items():
            refused.setdefault(name, []).append(reason)
        progress.update("selecting in each split", number + 1, len(parts))
    told = {name: f"in {len(reasons)} of {len(parts)} splits: {reasons[0]}" for name, reasons in refused.items()}
    return rounds, told


def _in_words(rounds: Sequence[Round]) -> str:
    fewest, most = (function(len(each.usable) for each in rounds) for function in (min, max))
    candidates = f"{most}" if fewest == most else f"{fewest} to {most}"
    if _all_chosen(rounds):
        return f"all {candidates} models"
    return f"{_most_chosen(rounds)} of {candidates} models chosen in each split by {rounds[0].ranking.criterion}"


def _all_chosen(rounds: Sequence[Round]) -> bool:
    return all(len(each.chosen) == len(each.usable) for each in rounds)


def _most_chosen(rounds: Sequence[Round]) -> int:
    return max(len(each.chosen) for each in rounds)


def _results(
    rounds: Sequence[Round], said: Sequence[Predictions], measured: Sequence[Metrics]
) -> tuple[SplitResult, ...]:
    return tuple(
        SplitResult(
            chosen=each.chosen,
            test_ids=each.test_ids,
            mos=each.test_mos,
            predicted=own.scores,
            low=own.low,
            high=own.high,
            metrics=metrics,
        )
        for each, own, metrics in zip(rounds, said, measured, strict=True)
    )


def _contenders(
    rounds: Sequence[Round], said: dict[str, list[Predictions]], titles: dict[str, str]
) -> tuple[Contender, ...]:
    """Measure each method on every split, and the first against each other."""
    measured = {name: measure(rounds, own) for name, own in said.items()}
    first = next(iter(measured))
    return tuple(
        Contender(
            name=name,
            title=titles[name],
            metrics=metrics,
            summary=summarise(metrics),
            paired=None
            if name == first
            else compare_paired([each.srocc for each in measured[first]], [each.srocc for each in metrics]),
        )
        for name, metrics in measured.items()
    )
