"""What a page of results is made of: each thing is read when a section first asks for it, and then kept."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore, StoredCandidate
from vqa.dataset import Dataset
from vqa.errors import WorkspaceError
from vqa.pipeline.datahash import rows_sha256
from vqa.pipeline.features import CachedRows, current_candidates, look_up
from vqa.pipeline.kept import (
    KeptCrossing,
    KeptEvaluation,
    KeptPrediction,
    KeptSelection,
    read_kept_crossings,
    read_kept_evaluation,
    read_kept_predictions,
    read_kept_selection,
)
from vqa.pipeline.opening import open_dataset
from vqa.pipeline.progress import Progress
from vqa.records import EVERY_CANDIDATE, Failure
from vqa.report.result_figures import Predicted
from vqa.workspace import Workspace


class Findings:
    """What a workspace holds.

    Whatever can't be had raises a VqaError that says why and what to run.

    Args:
        workspace: Where to look.
        thumbnails: Whether videos may be decoded for pictures.
        unavailable: Models that could not be run just now, each with the reason.
        progress: Told how far slow steps are.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        thumbnails: bool,
        unavailable: Mapping[str, str] = MappingProxyType({}),
        progress: Progress,
    ) -> None:
        self.workspace, self.thumbnails, self.progress = workspace, thumbnails, progress
        self.unavailable = unavailable
        self.store = FeatureStore(workspace.cache_dir)

    @functools.cached_property
    def candidates(self) -> tuple[StoredCandidate, ...]:
        """Candidates in the cache that fit the workspace.

        Raises:
            CacheMissError: there is none.
        """
        return current_candidates(self.store, self.workspace)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The videos and labels.

        Raises:
            LabelsError: they can't be read.
        """
        return open_dataset(self.workspace)

    @functools.cached_property
    def training(self) -> CachedRows:
        """Which training rows have features of which candidates."""
        return look_up(self.workspace, self.store, self.dataset.training_rows(), self.candidates)

    @functools.cached_property
    def failures(self) -> tuple[Failure, ...]:
        """What stands against this dataset's videos and the candidates in the cache."""
        memo = KeyMemo(self.workspace.cache_dir)
        rows = self.dataset.rows
        keys = {memo.known(row.path) for row in rows if row.path is not None}
        ids = {row.id for row in rows}
        ours = {EVERY_CANDIDATE, *(stored.record.fingerprint for stored in self.candidates)}
        names = {stored.record.name for stored in self.candidates}  # of others than these no older fingerprint stands
        return tuple(
            failure
            for failure in Ledger(self.workspace.cache_dir).open_failures()
            if (failure.fingerprint in ours or failure.candidate not in names)
            and (failure.key in keys if failure.key else failure.video in ids)
        )

    @functools.cached_property
    def selection(self) -> KeptSelection:
        """The last selection.

        Raises:
            WorkspaceError: there is none, or it can't be used.
        """
        found = read_kept_selection(self.workspace)
        if found is None:
            raise WorkspaceError("no models are selected yet; run `vqa select`, then `vqa report`")
        return found

    @functools.cached_property
    def evaluation(self) -> KeptEvaluation:
        """The last evaluation.

        Raises:
            WorkspaceError: there is none, or it can't be used.
        """
        found = read_kept_evaluation(self.workspace.results_dir)
        if found is None:
            raise _not_evaluated()
        return found

    @functools.cached_property
    def splits(self) -> tuple[KeptPrediction, ...]:
        """The test rows of all splits of the last evaluation.

        Raises:
            WorkspaceError: there is none, or it can't be used.
        """
        found = read_kept_predictions(self.workspace.results_dir)
        if found is None:
            raise _not_evaluated()
        return found

    @functools.cached_property
    def predicted(self) -> Predicted:
        """The test rows' means over splits."""
        return mean_over_splits(self.splits)

    @functools.cached_property
    def crossings(self) -> tuple[KeptCrossing, ...]:
        """Evaluations on other workspaces."""
        return read_kept_crossings(self.workspace.results_dir)

    def chosen(self) -> tuple[StoredCandidate, ...]:
        """Return the selected candidates as the cache has them, best first.

        Raises:
            WorkspaceError: there is no selection, or one of them is no longer in the cache.
        """
        held = {stored.record.fingerprint: stored for stored in self.candidates}
        names = [row for row in self.selection.rows if row.selected]
        gone = [row.name for row in names if row.fingerprint not in held]
        if gone:
            raise WorkspaceError(
                f"{', '.join(gone)}: selected, but the cache has other features by now; run `vqa select` again"
            )
        return tuple(held[row.fingerprint] for row in names)

    def labels_changed(self) -> bool:
        """Return whether labels are no longer those that models were compared on."""
        made_on = self.selection.rows_sha256
        return bool(made_on) and rows_sha256(self.dataset.training_rows(), self.training.ids) != made_on

    def changed(self) -> bool:
        """Return whether labels or features are no longer those of the last evaluation."""
        lacking = self.training.lacking
        whole = [stored.record.fingerprint for stored in self.candidates if not lacking[stored.record.name]]
        return rows_sha256(self.dataset.labelled, self.training.ids, whole) != self.evaluation.data_sha256


def _not_evaluated() -> WorkspaceError:
    return WorkspaceError("nothing is evaluated yet; run `vqa evaluate`, then `vqa report`")


def mean_over_splits(rows: Sequence[KeptPrediction]) -> Predicted:
    """Return one row for each video, in the order they first come up."""
    by_id: defaultdict[str, list[KeptPrediction]] = defaultdict(list)
    for row in rows:
        by_id[row.id].append(row)
    means = np.array(
        [np.mean([(row.mos, row.predicted, row.low, row.high) for row in tested], axis=0) for tested in by_id.values()]
    )
    mos, scores, low, high = means.T
    return Predicted(tuple(by_id), mos, scores, low, high, np.array([len(tested) for tested in by_id.values()]))
