"""Reports of `vqa models` and `vqa cache`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqa.tables.shared import print_failures, say_damaged
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.cache.store import StoredCandidate
    from vqa.pipeline import CacheReport, FetchReport, ListedModel


def _cost(model: ListedModel) -> str:
    """Say what a candidate costs: as measured here, else as its pool states it."""
    if model.cost_ms is not None:
        return f"{model.cost_ms:.0f} ms/video"
    return "-" if model.gmacs is None else f"{model.gmacs:g} GMACs"


def print_models(models: Sequence[ListedModel]) -> None:
    """Print candidates; how many videos the workspace's cache holds only if it holds some."""
    rows = []
    for model in models:
        row = model.row
        told = (row.pretext, row.pretraining, str(row.width), row.input, row.licence) if row else ("-",) * 5
        rows.append((model.spec, *told, _cost(model), str(model.cached_videos or "-"), str(model.generation)))
    title = f"{len(models)} candidate{'s' if len(models) != 1 else ''}"
    print_table(
        title,
        ("model", "pretext task", "pretraining", "width", "input", "licence", "cost", "cached", "generation"),
        rows,
        right="width cost cached generation",
        spare=("input", "pretraining", "licence", "pretext task"),
        usual={"cached": "-", "generation": "0"},
    )
    if any(model.cost_ms is None and model.gmacs is not None for model in models):
        say("GMACs: 10^9 multiplications for each frame, or each clip of a video network")


def print_fetch(report: FetchReport) -> None:
    """Print which weights are on this machine now, and where; then why others are not."""
    rows = [
        (
            model.spec,
            "-" if model.megabytes is None else f"{model.megabytes:.1f}",
            "-" if model.place is None else str(model.place),
        )
        for model in report.models
        if model.fetched
    ]
    title = f"Weights of {len(rows)} of {len(report.models)} models are here"
    if rows:
        print_table(title, ("model", "MB", "in"), rows, right="MB")
    else:
        say(title)
    for model in report.models:
        if not model.fetched:
            say(f"not here: {model.reason if model.spec in model.reason else f'{model.spec}: {model.reason}'}")


def _missing_cells(stored: StoredCandidate) -> str:
    return str(sum(source.missing for source in stored.sources)) if stored.sources else "-"


def print_cache(report: CacheReport) -> None:
    """Print what a cache holds."""
    rows = [
        (
            stored.record.name,
            str(stored.record.generation),
            stored.record.fingerprint,
            str(stored.record.detail("precision") or "-"),
            str(stored.videos),
            str(stored.segments),
            f"{stored.bytes / 1e6:.2f}",
            str(stored.width),
            stored.weights_sha256[:12] or "-",
            stored.created,
            _missing_cells(stored),
            "old" if stored.record.fingerprint in report.outdated else "-",
        )
        for stored in report.candidates
    ]
    columns = ("model", "generation", "fingerprint", "precision", "videos", "segments", "MB", "width")
    print_table(
        str(report.root),
        (*columns, "weights", "since", "missing", "rules"),
        rows,
        right="generation videos segments MB width missing",
        spare=("weights", "since", "segments", "precision", "width"),
        usual={"generation": "0", "missing": "-", "rules": "-"},
    )
    files = dict.fromkeys(source.file for stored in report.candidates for source in stored.sources)
    if files:
        say(f"Imported from {', '.join(files)}; missing: cells without a value, which training fills")
    _say_outdated(report)
    print_failures(report.failures)
    say_damaged(report.damaged)


def _say_outdated(report: CacheReport) -> None:
    """Say what is of older decoding rules, and what to do about it."""
    old = [stored for stored in report.candidates if stored.record.fingerprint in report.outdated]
    if old:
        say(
            f"rules old: features of {report.outdated[old[0].record.fingerprint]}; no command uses them "
            f"({len(old)} model(s), {sum(stored.bytes for stored in old) / 1e6:.2f} MB)"
        )
        say("`vqa extract --models MODEL` computes them anew, `vqa cache drop --old-rules` removes the old ones")
