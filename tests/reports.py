"""Pages of results without their looks, for tests: made of a workspace, looked at by section and kind of block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import vqa
from vqa.pipeline.progress import SILENT
from vqa.pipeline.report_findings import Findings
from vqa.pipeline.reporting import make_page
from vqa.report.content import Paragraph
from vqa.workspace import open_workspace

N = 40


def imported(folder: Path, ids=None) -> Path:
    """Make a workspace of imported features."""
    rng = np.random.default_rng(0)
    mos = rng.permutation(np.linspace(1, 5, N))
    blocks = {f"feat__{name}": (mos[:, None] + rng.normal(size=(N, 6))).astype(np.float32) for name in ("a", "b")}
    table = folder.with_suffix(".npz")
    np.savez(table, ids=np.array(ids or [f"v{row}" for row in range(N)]), mos=mos, **blocks)
    vqa.import_table(table, "p", folder=folder)
    return folder


def page_of(folder: Path, *, thumbnails: bool = False):
    return make_page(Findings(open_workspace(folder), thumbnails=thumbnails, progress=SILENT))


def section_of(page, name: str):
    (section,) = [section for section in page.sections if section.id == name]
    return section.blocks


def blocks_of(page, name: str, kind: type):
    return [block for block in section_of(page, name) if isinstance(block, kind)]


def text_of(page, name: str) -> str:
    return "\n".join(block.text for block in blocks_of(page, name, Paragraph))
