"""Report: all that is known of a workspace as one page; what is not there yet is said, with the command for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vqa.errors import VqaError, WorkspaceError
from vqa.files import write_text
from vqa.pipeline import report_models, report_overview, report_repeat, report_results, report_worst
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.report_findings import Findings
from vqa.report.content import Block, Page, Paragraph, Section
from vqa.report.page import render_page
from vqa.workspace import Workspace, open_workspace

DEFAULT_NAME = "report.html"
_SUFFIXES = (".html", ".htm")

_Part = Callable[[Findings], tuple[Block, ...]]

_SECTIONS: tuple[tuple[str, str, tuple[_Part, ...]], ...] = (
    (
        "overview",
        "Overview",
        (
            report_overview.introduction,
            report_overview.outcome,
            report_overview.dataset,
            report_overview.ratings,
            report_overview.failures,
        ),
    ),
    ("models", "Models compared", (report_models.candidates,)),
    ("features", "What the chosen models see", (report_models.feature_maps,)),
    ("redundancy", "What models share", (report_models.redundancy,)),
    ("predictions", "Predicted and rated", (report_results.staleness, report_results.predictions)),
    (
        "splits",
        "Results in each split",
        (report_results.per_split, report_results.ablation, report_results.crossings),
    ),
    ("errors", "Largest errors", (report_worst.errors, report_worst.worst)),
    ("cost", "Time and room", (report_models.costs,)),
    (
        "repeat",
        "How to repeat it",
        (
            report_repeat.commands,
            report_repeat.settings,
            report_repeat.hashes,
            report_repeat.bundle,
            report_repeat.fingerprints,
            report_repeat.versions,
        ),
    ),
)


@dataclass(frozen=True)
class PageReport:
    """What `build_report` wrote."""

    file: Path
    megabytes: float
    sections: tuple[str, ...]
    """Their titles, in order."""
    missing: tuple[str, ...]
    """What could not be shown, each with the reason and the command that mends it."""


def build_report(
    folder: str | Path,
    file: str | Path | None = None,
    *,
    thumbnails: bool = True,
    unavailable: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> PageReport:
    """Write one self-contained HTML page of all that is known of a workspace.

    Nothing is computed anew but the maps of features; no video is decoded but one frame of each of the 20 with the
    largest errors. The same workspace gives the same bytes.

    Args:
        folder: The workspace.
        file: The page, replaced if it exists; by default `report.html` in the workspace's results.
        thumbnails: Whether these frames are decoded.
        unavailable: Models that an extraction just now could not run, each with the reason.
        progress: Told how far slow steps are.

    Raises:
        WorkspaceError: the workspace can't be used, or the page can't be written.
        CacheError: the cache holds no features yet, or can't be read.
    """
    workspace = open_workspace(folder)
    target = workspace.results_folder() / DEFAULT_NAME if file is None else Path(file)
    _check_target(target)
    findings = Findings(workspace, thumbnails=thumbnails, unavailable=unavailable, progress=progress)
    _ = findings.candidates
    page, missing = make_page(findings)
    text = render_page(page)
    try:
        write_text(target, text)
    except OSError as error:
        raise WorkspaceError(f"{target}: can't be written ({error.strerror}); choose another file") from error
    titles = tuple(section.title for section in page.sections)
    return PageReport(target, len(text.encode()) / 1e6, titles, missing)


def _check_target(target: Path) -> None:
    """Refuse what is no page before it is replaced by one."""
    if target.is_dir():
        raise WorkspaceError(f"{target}: is a folder; name a file, such as {target / DEFAULT_NAME}")
    if target.suffix.lower() not in _SUFFIXES:
        raise WorkspaceError(f"{target}: is no name of a page; name a file that ends in .html")


def make_page(findings: Findings) -> tuple[Page, tuple[str, ...]]:
    """Return what a page says, and what it can't."""
    missing: dict[str, None] = {}
    sections = tuple(Section(name, title, _blocks(parts, findings, missing)) for name, title, parts in _SECTIONS)
    note = findings.workspace.dataset.note
    page = Page(
        title=_title(findings.workspace),
        subtitle=f"Video quality by {len(findings.candidates)} pretrained models",
        warning=f"The labels are {note}." if note else "",
        sections=sections,
    )
    return page, tuple(missing)


def _title(workspace: Workspace) -> str:
    return f"{workspace.root.resolve().name or 'workspace'}: results"


def _blocks(parts: tuple[_Part, ...], findings: Findings, missing: dict[str, None]) -> tuple[Block, ...]:
    """Return a section's blocks; what can't be had is a paragraph that says why, once."""
    blocks: list[Block] = []
    for part in parts:
        try:
            blocks += part(findings)
        except VqaError as error:
            missing[str(error)] = None
            told = Paragraph(f"Not shown: {error}.")
            blocks += [] if told in blocks else [told]
    return tuple(blocks)
