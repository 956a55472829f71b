"""Export: a bundle's regression head as ONNX, with what its inputs have to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqa.files import check_writable, sha256_of
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.trusting import check_told
from vqa.records import is_imported
from vqa.train.bundle import Bundle, load_bundle
from vqa.train.fitted import DEFAULT_COVERAGE

CONTRACT_SCHEMA = 1

_AVERAGE = (
    "mean of a video's features over its frames or clips, added up in float64 and rounded to float32; the features are "
    "those that `vqa extract` computes by the details of each input"
)
_OUTPUTS = {
    "score": "on the scale of the training labels",
    "low": "lower end of the interval; NaN where too few videos were trained on",
    "high": "upper end of the interval; NaN where too few videos were trained on",
}


@dataclass(frozen=True)
class HeadInput:
    """One backbone's features, float32 of shape (N, width); a cell that is not finite is missing."""

    name: str
    """Text form of the backbone, and name of the model's input."""
    fingerprint: str
    width: int
    averaged_over: str
    """What features are averaged over, such as `8 frames`."""
    weights_sha256: str
    """Over the network's parameters; empty for imported features."""
    details: Mapping[str, Any]
    """Backbone, view, frames, precision, and by which rules a file becomes input."""


@dataclass(frozen=True)
class HeadReport:
    """What `export_head` wrote; all but the files' names stands in the model's metadata, too."""

    file: Path
    bundle: Path
    inputs: tuple[HeadInput, ...]
    """In the bundle's order; by name, they can be given in any."""
    average: str
    """How features are averaged over time."""
    outputs: Mapping[str, str]
    """What each output is; float64 of shape (N,)."""
    coverage: float
    """Share of videos like the training ones whose label lies in the interval."""
    scale: tuple[float, float]
    """Worst and best of the training labels' scale."""
    mos_range: tuple[float, float]
    """Lowest and highest label of the training; beyond it scores are extrapolated."""
    labels: str
    """What the labels are, where they are not people's opinion."""
    videos: int
    """Videos it was trained on."""
    bundle_sha256: str
    versions: Mapping[str, Any]
    """Of the libraries that trained the bundle."""


def export_head(
    file: Path, model: Path | None = None, *, folder: Path = Path(), progress: Progress = SILENT
) -> HeadReport:
    """Write what a bundle does with time-averaged features, up to score and interval, as an ONNX model.

    Args:
        file: `.onnx`; an older one is replaced.
        model: A bundle that `train_regressor` wrote; by default the workspace's.
        folder: The workspace.
        progress: Told what a user should know of the bundle.

    Raises:
        BundleError: the bundle can't be read, or does not say what its inputs are.
    """
    from vqa.train.onnx_head import write_head  # onnx takes a while to load, and no other command needs it

    check_writable(file)
    path = folder / "scorer.vqa" if model is None else model
    bundle = load_bundle(path)
    if bundle.note:
        progress.note(bundle.note)
    check_told(bundle)
    report = _report(file, path, bundle)
    contract = {name: value for name, value in asdict(report).items() if name not in ("file", "bundle")}
    write_head(file, bundle.fitted, bundle.names, {"schema": CONTRACT_SCHEMA, **contract})
    return report


def _report(file: Path, path: Path, bundle: Bundle) -> HeadReport:
    header = bundle.header
    (scale_low, scale_high), (mos_low, mos_high) = header["scale"], header["mos_range"]
    return HeadReport(
        file=file,
        bundle=path,
        inputs=tuple(
            _input(entry, width) for entry, width in zip(header["models"], bundle.fitted.block_widths, strict=True)
        ),
        average=_AVERAGE,
        outputs=_OUTPUTS,
        coverage=DEFAULT_COVERAGE,
        scale=(float(scale_low), float(scale_high)),
        mos_range=(float(mos_low), float(mos_high)),
        labels=header["labels"],
        videos=header["videos"],
        bundle_sha256=sha256_of(path),
        versions=header.get("versions", {}),
    )


def _input(entry: Mapping[str, Any], width: int) -> HeadInput:
    imported = is_imported(entry["name"])
    return HeadInput(
        name=entry["name"],
        fingerprint=entry["fingerprint"],
        width=width,
        averaged_over="imported as averages" if imported else _averaged_over(entry["details"]),
        weights_sha256="" if imported else entry["weights_sha256"],
        details=entry.get("details", {}),
    )


def _averaged_over(details: Mapping[str, Any]) -> str:
    """Say how many frames or clips a video has."""
    spec, size = details["spec"], details.get("input", {})
    clip_frames = size.get("clip_frames", 0) if isinstance(size, dict) else 0
    if not clip_frames:
        return f"{spec.get('frames', 0)} frames"
    clips = max(1, spec.get("clips", 0))
    return f"{clips} clip{'s' if clips > 1 else ''} of {clip_frames} frames"
