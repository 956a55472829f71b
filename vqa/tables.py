"""Reports as text: one function for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import (
        CacheReport,
        DemoReport,
        EvaluationReport,
        ExtractionReport,
        FetchReport,
        InitReport,
        ListedModel,
        MachineReport,
        ScoreReport,
        Selection,
        TrainingReport,
    )
    from vqa.records import Failure

_SHOWN = 20


def _names(names: Sequence[str], count: int = 5) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def print_failures(failures: Sequence[Failure]) -> None:
    """Print which videos failed, where and why."""
    if not failures:
        return
    rows = [(failure.video, failure.candidate, failure.stage, failure.reason) for failure in failures[:_SHOWN]]
    print_table(f"{len(failures)} failed", ("video", "model", "stage", "reason"), rows)
    if len(failures) > _SHOWN:
        say(f"... and {len(failures) - _SHOWN} more; all are in the cache's folder `failures`")


def print_init(report: InitReport) -> None:
    """Print what a new workspace holds."""
    scale = f", labels from {report.mos_range[0]:g} to {report.mos_range[1]:g}" if report.mos_range else ""
    groups = f", {report.groups} source contents" if report.groups else ""
    say(f"{report.file}: {report.labelled} labelled videos{groups}{scale}")
    if report.missing:
        say(f"{len(report.missing)} labels have no video and are left out: {_names(report.missing)}")
    if report.unlabelled:
        fate = "they are extracted, never trained on" if report.unlabelled_kept else "they are left out"
        say(f"{len(report.unlabelled)} videos have no label; {fate}: {_names(report.unlabelled)}")
    say("Next: `vqa extract --models all`, in that folder")


def print_extraction(report: ExtractionReport) -> None:
    """Print what an extraction did."""
    rows = [
        (
            row.name,
            row.precision,
            str(row.stored),
            str(row.cached),
            str(row.failed),
            f"{row.seconds:.1f}",
            f"{row.megabytes:.2f}",
        )
        for row in report.candidates
    ]
    columns = ("model", "precision", "added", "cached", "failed", "seconds", "MB")
    print_table(f"{report.videos} videos", columns, rows, right="added cached failed seconds MB")
    for name, reason in report.unavailable.items():
        say(f"not run: {name}: {reason}")
    if report.missing:
        say(f"{len(report.missing)} labels have no video: {_names(report.missing)}")
    print_failures(report.failures)
    if report.decoded:
        say(f"{report.decoded} videos decoded, each once")
    else:
        say("Nothing to do: no video was decoded, all that can be had is in the cache")


def print_selection(selection: Selection) -> None:
    """Print the ranking by DBI."""
    narrow = any(row.ranked_width < selection.common_width for row in selection.rows)
    rows = [
        (
            "*" if row.selected else "",
            str(row.rank),
            row.name,
            f"{row.dbi:.3f}{'^' if row.ranked_width < selection.common_width else ''}",
            row.pretext or "-",
            str(row.width),
            f"{row.cost_ms:.0f}",
        )
        for row in selection.rows
    ]
    columns = ("", "rank", "model", "DBI", "pretext task", "width", "ms/video")
    sizes = "/".join(map(str, selection.cluster_sizes))
    title = (
        f"DBI on {selection.videos} videos in {len(selection.cluster_sizes)} MOS clusters ({sizes}); smaller is better"
    )
    print_table(title, columns, rows, right="rank DBI width ms/video")
    if narrow:
        say(f"^ fewer than {selection.common_width} features; its DBI is not comparable to the others'")
    for merge in selection.merges:
        say(f"note: {merge}")
    for name, reason in selection.left_out.items():
        say(f"not ranked: {name}: {reason}")
    _say_note(selection.note)
    print_failures(selection.failures)


def _say_note(note: str) -> None:
    if note:
        say(f"The labels are {note}.")


def print_training(report: TrainingReport) -> None:
    """Print what was trained."""
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in report.weights.items())
    say(f"{report.bundle}: trained on {report.videos} videos; weights {weights}")
    print_failures(report.failures)
    say("How good it is on videos it has not seen: `vqa evaluate`")


def print_evaluation(report: EvaluationReport) -> None:
    """Print the medians and standard deviations over splits."""
    names = {"srocc": "SROCC", "krocc": "KROCC", "plcc": "PLCC", "rmse": "RMSE"}
    names |= {"plcc_fitted": "PLCC, fitted", "rmse_fitted": "RMSE, fitted"}
    rows = [
        (label, f"{getattr(report.summary.median, name):.3f}", f"{getattr(report.summary.std, name):.3f}")
        for name, label in names.items()
    ]
    by = f"by content ({report.groups} contents)" if report.groups else "by video"
    share = f"{100 * (1 - report.test_fraction):.0f}/{100 * report.test_fraction:.0f}"
    title = f"{len(report.splits)} random {share} splits {by}, {report.videos} videos; models chosen in each split"
    print_table(title, ("test rows", "median", "std"), rows, right="median std")
    _say_note(report.note)
    say(f"Written: {', '.join(str(file) for file in report.files)} (splits SHA-256 {report.splits_sha256[:12]})")


def print_scores(report: ScoreReport) -> None:
    """Print scores and what they mean."""
    rows = [
        (str(row.video), "-" if row.score is None else f"{row.score:.2f}", row.reason or "ok") for row in report.scores
    ]
    low, high = report.scale
    print_table(
        f"Scores on the scale {low:g} (worst) to {high:g} (best)", ("video", "score", "status"), rows, right="score"
    )
    seen = f"labels from {report.mos_range[0]:.4g} to {report.mos_range[1]:.4g}"
    say(f"Trained on {report.videos} videos with {seen}, features of {', '.join(report.models)}.")
    _say_note(report.labels)


def _cost(model: ListedModel) -> str:
    """Say what a candidate costs: as measured here, else as its pool states it."""
    if model.cost_ms is not None:
        return f"{model.cost_ms:.0f} ms/video"
    return "-" if model.gmacs is None else f"{model.gmacs:g} GMACs"


def print_models(models: Sequence[ListedModel]) -> None:
    """Print candidates; how many videos the workspace's cache holds only if it holds some."""
    known = any(model.cached_videos for model in models)
    rows = []
    for model in models:
        row = model.row
        told = (row.pretext, row.pretraining, str(row.width), row.input, row.licence) if row else ("-",) * 5
        rows.append((model.spec, *told, _cost(model), *((str(model.cached_videos or "-"),) if known else ())))
    columns = ["model", "pretext task", "pretraining", "width", "input", "licence", "cost"]
    columns += ["cached"] if known else []
    title = f"{len(models)} candidate{'s' if len(models) != 1 else ''}"
    print_table(
        title, columns, rows, right="width cost cached", spare=("input", "pretraining", "licence", "pretext task")
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


def print_doctor(report: MachineReport) -> None:
    """Print what this machine has, and last what it lacks."""
    print_table("Versions", ("package", "version"), list(report.versions.items()))
    devices = [
        (
            device.name,
            device.model,
            "-" if device.memory_gb is None else f"{device.memory_gb:.1f}",
            f"{'yes' if device.bfloat16 else 'no'} ({device.capability})",
        )
        for device in report.devices
    ]
    title = f"Devices; {report.cores} cores usable, {report.threads} threads for a network"
    print_table(title, ("device", "is", "GB", "native bfloat16"), devices, right="GB")
    models = [(model.spec, model.weights, model.precision or "-", model.reason) for model in report.models]
    print_table("Models", ("model", "weights", "precision", "why"), models)
    space = [(place.use, f"{place.free_gb:.1f}", str(place.path)) for place in report.space]
    print_table("Free space", ("for", "GB", "where"), space, right="GB")
    print_table("Limits", ("limit", "value"), list(report.limits.items()))
    codecs = [f"{codec} ({decoder or 'none'})" for codec, decoder in report.decoders.items()]
    say(f"\nDecoders: {', '.join(codecs)}")
    for name, state in report.network.items():
        say(f"The {name} {state}")
    for name, state in report.plugins.items():
        say(f"plug-in {name}: {state.removeprefix(f'{name}: ')}")
    for problem in report.missing:
        say(f"missing: {problem}")
    say("Nothing needed is missing" if report.complete else "Not all that is needed is here; see the lines above")


def print_cache(report: CacheReport) -> None:
    """Print what a cache holds."""
    rows = [
        (
            stored.record.name,
            stored.record.fingerprint,
            str(stored.record.detail("precision") or "-"),
            str(stored.videos),
            str(stored.segments),
            f"{stored.bytes / 1e6:.2f}",
            str(stored.width),
            stored.weights_sha256[:12],
            stored.created,
        )
        for stored in report.candidates
    ]
    columns = ("model", "fingerprint", "precision", "videos", "segments", "MB", "width", "weights", "since")
    print_table(str(report.root), columns, rows, right="videos segments MB width")
    print_failures(report.failures)


def print_demo(report: DemoReport) -> None:
    """Print the demonstration's results and what to try next."""
    print_extraction(report.extraction)
    print_selection(report.selection)
    print_training(report.training)
    print_evaluation(report.evaluation)
    order = report.order
    tested = len(order.right) + len(order.wrong)
    say(
        f"On contents never trained on, the lightest-compressed clip scored above the heaviest-compressed one for "
        f"{len(order.right)} of {tested} contents" + (f" (not for {', '.join(order.wrong)})" if order.wrong else "")
    )
    if order.never_tested:
        say(f"No split held out: {', '.join(order.never_tested)}")
    say(
        f"\nThis is a demonstration: its labels are {report.clips.metric}'s, a full-reference metric's, and no person "
        "rated these clips. Train on human ratings before you trust a score.\n"
    )
    example = report.clips.lightest[report.clips.contents[0]]
    folder = report.folder
    say("Try next:")
    say(f"  vqa score {report.clips.clips_dir / example}.mp4 --model {report.training.bundle}")
    say(f"  vqa extract -C {folder} --models all        (decodes nothing: all is cached)")
    say(f"  vqa models -C {folder} --pool hub           (more backbones; name one in {folder / 'vqa.toml'})")
    say("  vqa init my-videos --videos DIR --labels FILE")
