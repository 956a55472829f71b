"""Reports of `vqa init`, `vqa demo` and `vqa doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.tables.evaluating import print_evaluation
from vqa.tables.selecting import print_selection
from vqa.tables.shared import some_names
from vqa.tables.working import print_extraction, print_training
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import DemoReport, InitReport, MachineReport

_NAMES = 20
"""Names that are shown of videos without a label and labels without a video; `--json` has all."""


def print_init(report: InitReport) -> None:
    """Print what a new workspace holds."""
    scale = f", labels from {report.mos_range[0]:g} to {report.mos_range[1]:g}" if report.mos_range else ""
    groups = f", {report.groups} source contents" if report.groups else ""
    splits = "".join(f", {count} {split}" for split, count in report.splits.items())
    title = f"{report.title}, " if report.title else ""
    say(f"{report.file}: {title}{report.labelled} labelled videos{groups}{splits}{scale}")
    if report.missing:
        say(f"{len(report.missing)} labels have no video and are left out: {some_names(report.missing, _NAMES)}")
    if report.unlabelled:
        fate = "they are extracted, never trained on" if report.unlabelled_kept else "they are left out"
        say(f"{len(report.unlabelled)} videos have no label; {fate}: {some_names(report.unlabelled, _NAMES)}")
    for note in report.notes:
        say(f"Note: {note}")
    command = "vqa cache import" if report.features_only else "vqa extract --models all"
    say(f"Next: `{command}`, in that folder")


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
    say("")
    say(f"Decoders: {', '.join(codecs)}")
    for name, state in report.network.items():
        say(f"The {name} {state}")
    for name, state in report.storage.items():
        say(f"The {name} {state}")
    for name, state in report.plugins.items():
        say(f"plug-in {name}: {state.removeprefix(f'{name}: ')}")
    for problem in report.missing:
        say(f"missing: {problem}")
    say("Nothing needed is missing" if report.complete else "Not all that is needed is here; see the lines above")


def print_demo(report: DemoReport) -> None:
    """Print the demonstration's results and what to try next."""
    results = report.results
    if results.extraction is not None:
        print_extraction(results.extraction)
    print_selection(results.selection)
    print_training(results.training)
    print_evaluation(results.evaluation)
    say(f"All of it on one page: {results.page.file}")
    order = report.order
    tested = len(order.right) + len(order.wrong)
    say(
        f"On contents never trained on, the lightest-compressed clip scored above the heaviest-compressed one for "
        f"{len(order.right)} of {tested} contents" + (f" (not for {', '.join(order.wrong)})" if order.wrong else "")
    )
    if order.never_tested:
        say(f"No split held out: {', '.join(order.never_tested)}")
    say("")
    say(
        f"This is a demonstration: its labels are {report.clips.metric}'s, a full-reference metric's, and no person "
        "rated these clips. Train on human ratings before you trust a score."
    )
    say("")
    example = report.clips.lightest[report.clips.contents[0]]
    folder = report.folder
    say("Try next:")
    say(f"  vqa score {report.clips.clips_dir / example}.mp4 --model {results.training.bundle}")
    say(f"  vqa extract -C {folder} --models all        (decodes nothing: all is cached)")
    say(f"  vqa models -C {folder} --pool hub           (more backbones; name one in {folder / 'vqa.toml'})")
    say("  vqa init my-videos --videos DIR --labels FILE")
