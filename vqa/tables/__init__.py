"""Reports as text: one function for each."""

from __future__ import annotations

from vqa.tables.evaluating import print_crossing, print_evaluation
from vqa.tables.exporting import print_head
from vqa.tables.importing import print_export, print_import
from vqa.tables.keeping import print_compaction, print_drop, print_verification
from vqa.tables.listing import print_cache, print_fetch, print_models
from vqa.tables.overview import print_overview
from vqa.tables.provenance import print_provenance
from vqa.tables.reporting import print_report, print_run
from vqa.tables.scoring import print_explanations, print_scores, print_timelines
from vqa.tables.selecting import print_selection
from vqa.tables.shared import print_failures
from vqa.tables.starting import print_demo, print_doctor, print_init
from vqa.tables.working import print_extraction, print_training

__all__ = [
    "print_cache",
    "print_compaction",
    "print_crossing",
    "print_demo",
    "print_doctor",
    "print_drop",
    "print_evaluation",
    "print_explanations",
    "print_export",
    "print_extraction",
    "print_failures",
    "print_fetch",
    "print_head",
    "print_import",
    "print_init",
    "print_models",
    "print_overview",
    "print_provenance",
    "print_report",
    "print_run",
    "print_scores",
    "print_selection",
    "print_timelines",
    "print_training",
    "print_verification",
]
