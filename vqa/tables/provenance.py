"""Report of `vqa cache info VIDEO`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vqa.tables.shared import print_failures
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from vqa.pipeline import FeatureOrigin, ProvenanceReport


def print_provenance(report: ProvenanceReport) -> None:
    """Print where features come from: a table for each video and candidate, then the rules of decoding."""
    for origin in report.origins:
        generation = f", generation {origin.generation}" if origin.generation else ""
        print_table(f"{origin.video} by {origin.model}{generation}", ("what", "is"), _lines(origin))
    ways = dict.fromkeys(
        (origin.decoding_version, tuple(origin.decoding.items())) for origin in report.origins if origin.decoding
    )
    for version, rules in ways:
        numbered = "" if version is None else f": decoding rules {version}"
        print_table(f"How the files became frames{numbered}", ("what", "rule"), rules)
    for outdated in dict.fromkeys(origin.outdated for origin in report.origins if origin.outdated):
        say(f"Some features are of {outdated}; no command uses them: `vqa extract` computes them anew")
    if not report.origins:
        say("No features of that are in the cache")
    print_failures(report.failures)


def _lines(origin: FeatureOrigin) -> list[tuple[str, str]]:
    """Return what is known, most asked for first."""
    first, end = origin.rows
    where = f"video {origin.position}, rows {first} to {end - 1} of {origin.segment}"
    told = {
        "bytes": origin.key if origin.key.startswith("id:") else f"SHA-256 {origin.key}",
        "file": str(origin.paths[-1]) if origin.paths else "",
        "weights": _weights(origin),
        "input": _told(origin.input),
        "spec": _told(origin.spec),
        "precision": origin.precision,
        "versions": ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
        "from": f"{origin.source.file}, SHA-256 {origin.source.sha256}" if origin.source else "",
        "when": origin.created,
        "features": f"{end - first} x {origin.width}",
        "where": where,
        "fingerprint": origin.fingerprint,
    }
    return [(name, text) for name, text in told.items() if text]


def _weights(origin: FeatureOrigin) -> str:
    if not origin.weights_sha256 or origin.weights_id == "none":
        return origin.weights_id
    return f"SHA-256 {origin.weights_sha256}, taken from {origin.weights_id}"


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in values.items() if value not in ("", None))


def _number(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(_number(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
