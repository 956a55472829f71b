"""`extract_features` on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.dataset import VideoRow
from vqa.errors import WeightsError
from vqa.extract.spec import ModelSpec
from vqa.files import Downloads, downloads
from vqa.pipeline.cluster.connecting import RayOptions, connected, require_ray
from vqa.pipeline.cluster.head import Head
from vqa.pipeline.cluster.members import Node
from vqa.pipeline.cluster.results import Results
from vqa.pipeline.cluster.work import Order, Row, Settled
from vqa.pipeline.outcome import CandidateWork, Outcome
from vqa.pipeline.pairs import note_of
from vqa.pipeline.progress import Progress
from vqa.pipeline.storing import FailureBook
from vqa.settings import ExtractSettings
from vqa.urls import Place


@dataclass(frozen=True)
class Task:
    """How features are to be extracted."""

    settings: ExtractSettings
    retry_failed: bool
    new_generation: bool


def extract_on_cluster(
    cache_dir: Place,
    rows: Sequence[VideoRow],
    specs: Sequence[ModelSpec],
    task: Task,
    options: RayOptions,
    *,
    progress: Progress,
) -> Outcome:
    """Compute the features that a cache lacks on the nodes of a Ray cluster.

    Args:
        cache_dir: The cache, which all nodes see.
        rows: The dataset's videos, whose files all nodes see.
        specs: The candidates asked for.
        task: How it is to be done.
        options: Which cluster, and what each actor gets.
        progress: Told how far the run is.

    Raises:
        VqaError: Ray is missing, there is no cluster, nodes can't work together, or none is left.
        ProbeError: a model's numbers are no longer those in the cache, or differ between nodes.
        WeightsError: not one of the models could be loaded, or one on some nodes only.
    """
    require_ray()
    from vqa.pipeline.cluster.crew import Crew
    from vqa.pipeline.cluster.driving import Drive
    from vqa.pipeline.cluster.nodes import check_nodes

    files = (Row(row.id, _absolute(row.file)) for row in rows)
    cache = _absolute(cache_dir)
    ledger = Ledger(cache)
    for lines in (*KeyMemo(cache).damaged(), *ledger.damaged()):
        progress.note(note_of(lines))
    results = Results(FailureBook(ledger), progress, len(rows))

    def order(cores: int) -> Order:
        return Order(cache, task.settings, task.retry_failed, cores, _absolute_downloads(downloads()))

    def check(nodes: Sequence[Node]) -> None:
        for note in check_nodes(nodes, cache, _absolute(rows[0].file) if rows else None):
            progress.note(note)

    with connected(options.address) as head:
        on_gpus = task.settings.device != "cpu"
        crew = Crew(order, options, check, progress.note, head=Head(head), on_gpus=on_gpus)
        try:
            drive = Drive(crew, files, results)
            settled = drive.settle(specs, new_generation=task.new_generation)
            drive.go()
        finally:
            crew.stop()
    return _outcome(settled, drive.unavailable, results)


def _outcome(settled: Settled, unavailable: Mapping[int, str], results: Results) -> Outcome:
    """Return what was done.

    Raises:
        WeightsError: not one of the models could be loaded.
    """
    names = {str(settled.candidates[place]): reason for place, reason in unavailable.items()}
    without = {**settled.unavailable, **names}
    failures = tuple(results.failures.values())
    work = tuple(
        CandidateWork(candidate, results.stored[place], results.cached[place], results.seconds[place])
        for place, candidate in enumerate(settled.candidates)
        if place not in unavailable
    )
    if without and not work:
        raise WeightsError(next(iter(without.values())))
    return Outcome(results.videos, results.decoded, work, failures, without)


def _absolute(place: Place) -> Place:
    """Return a place as other nodes find it, whatever folder they work in."""
    return place.absolute() if isinstance(place, Path) else place


def _absolute_downloads(found: Downloads) -> Downloads:
    return found if found.folder is None else replace(found, folder=found.folder.absolute())
