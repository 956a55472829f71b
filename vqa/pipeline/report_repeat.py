"""The last section of a page of results: how to get it again. Commands, settings, versions and hashes."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterator
from pathlib import Path

from vqa.cache.store import StoredCandidate
from vqa.errors import WorkspaceError
from vqa.files import sha256_of
from vqa.pipeline.kept import KeptEvaluation, KeptSelection
from vqa.pipeline.report_findings import Findings
from vqa.pipeline.versions import library_versions
from vqa.records import IMPORTED, is_imported
from vqa.report.content import Block, Code, Column, Facts, Paragraph, Table
from vqa.train.bundle import load_bundle
from vqa.train.header import read_header
from vqa.train.methods import METHODS
from vqa.workspace import FILE_NAME


def commands(findings: Findings) -> tuple[Block, ...]:
    """Show the commands, in the workspace's folder."""
    held = sorted(findings.candidates, key=lambda stored: stored.record.name)
    return Paragraph("In the workspace's folder:"), Code("\n".join(_lines(findings, held)))


def _lines(findings: Findings, held: list[StoredCandidate]) -> Iterator[str]:
    imports = ((each, _imported_as(stored.record.name)) for stored in held for each in stored.sources)
    for file, sha256, name in dict.fromkeys((each.file, each.sha256, name) for each, name in imports):
        yield f"# SHA-256 {sha256}"
        yield shlex.join(["vqa", "cache", "import", file, "--as", name])
    extracted: dict[str, list[str]] = {}
    for stored in held:
        if not is_imported(stored.record.name):
            extracted.setdefault(stored.record.text("precision"), []).append(stored.record.name)
    for precision, names in extracted.items():
        models = (f"--models {shlex.quote(name)}" for name in names)
        yield " \\\n  ".join([shlex.join(["vqa", "extract", "--precision", precision]), *models])
    if findings.workspace.selection_file.is_file():
        yield _select(findings.selection)
    if findings.workspace.bundle_file.is_file():
        yield _train(findings.workspace.bundle_file)
    if (findings.workspace.results_dir / "evaluation.json").is_file():
        yield _evaluate(findings.evaluation)
    yield "vqa report"


def _select(selection: KeptSelection) -> str:
    chosen = sum(row.selected for row in selection.rows)
    budget = [] if selection.budget_ms is None else ["--budget-ms", f"{selection.budget_ms:g}"]
    return shlex.join(["vqa", "select", "--top-k", str(chosen), "--criterion", selection.criterion, *budget])


def _train(file: Path) -> str:
    method = read_header(file).get("method")
    name = method.get("name") if isinstance(method, dict) else None
    return shlex.join(["vqa", "train", "--cached", *(["--method", name] if isinstance(name, str) else [])])


def _evaluate(evaluation: KeptEvaluation) -> str:
    methods = [name for each in evaluation.contenders if each.name in METHODS for name in ("--method", each.name)]
    splits, top_k = str(evaluation.contenders[0].summary.splits), str(evaluation.top_k or "all")
    command = ["vqa", "evaluate", "--splits", splits, "--top-k", top_k, "--criterion", evaluation.criterion, *methods]
    return shlex.join(command if len(evaluation.contenders) > len(methods) // 2 else [*command, "--no-baselines"])


def _imported_as(candidate: str) -> str:
    """Return what features were called when they were imported: imported:NAME/SET -> NAME."""
    return candidate.removeprefix(f"{IMPORTED}:").partition("/")[0]


def settings(findings: Findings) -> tuple[Block, ...]:
    """Show what `vqa.toml` sets, without its comments."""
    text = (findings.workspace.root / FILE_NAME).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return Paragraph(f"With this {FILE_NAME}:"), Code("\n".join(lines))


def versions(findings: Findings) -> tuple[Block, ...]:
    """Show the versions that wrote this page."""
    rows = {"Python": platform.python_version(), **library_versions()}
    return Paragraph("Versions that wrote this page:"), Facts(tuple(rows.items()))


def hashes(findings: Findings) -> tuple[Block, ...]:
    """Show the SHA-256 of what results stand on."""
    workspace = findings.workspace
    rows = [(file, _sha256(workspace.resolve(file))) for file in workspace.dataset.label_files]
    if (workspace.results_dir / "evaluation.json").is_file():
        rows.append(("ids, ratings, contents and models evaluated", findings.evaluation.data_sha256))
        rows.append(("splits evaluated on", findings.evaluation.splits_sha256))
    return Paragraph("SHA-256 of what these results stand on:"), Facts(tuple(rows))


def _sha256(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:
        raise WorkspaceError(f"{file}: can't be read ({error.strerror}); put it back") from error


def bundle(findings: Findings) -> tuple[Block, ...]:
    """Show which scorer was trained."""
    file = findings.workspace.bundle_file
    if not file.is_file():
        return (Paragraph("No scorer is trained yet; run `vqa train --cached`."),)
    found = load_bundle(file)
    header = found.header
    rows = [
        (f"{file.name}, the trained scorer", _sha256(file)),
        ("trained on", f"{header.get('videos')} videos, data {header.get('data_sha256')}"),
        ("models and weights", ", ".join(f"{each['name']} {_share(each)}" for each in header["models"])),
    ]
    return Facts(tuple(rows)), *((Paragraph(f"{found.note}."),) if found.note else ())


def _share(model: dict[str, object]) -> str:
    weight = model.get("weight")
    return f"{weight:.3f}" if isinstance(weight, float) else ""


def fingerprints(findings: Findings) -> tuple[Block, ...]:
    """Show what decides each candidate's numbers."""
    columns = (
        Column("model"),
        Column("fingerprint", hint="over all that decides its numbers"),
        Column("weights"),
        Column("SHA-256 of the network's parameters"),
        Column("extracted with"),
    )
    rows = tuple(
        (
            stored.record.name,
            stored.record.fingerprint,
            stored.record.text("weights_id") or None,
            stored.weights_sha256 or None,
            ", ".join(f"{name} {version}" for name, version in sorted(stored.versions.items())) or None,
        )
        for stored in sorted(findings.candidates, key=lambda stored: stored.record.name)
    )
    return (Table("Models in the cache, and what decides their numbers", columns, rows),)
