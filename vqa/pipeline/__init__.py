"""The composition root: the only package that knows every stage. One module for each command.

The names below are imported when they are first used, so that a command loads its own libraries and no others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqa.cache.tablenames import TableNames
    from vqa.pipeline.asking import (
        ExplanationReport,
        TimelineReport,
        explain_videos,
        explanations_text,
        score_timelines,
    )
    from vqa.pipeline.bundle_evaluation import evaluate_bundle
    from vqa.pipeline.cluster.connecting import RayOptions
    from vqa.pipeline.crossing import CrossReport, evaluate_on
    from vqa.pipeline.demonstration import DemoReport, run_demo
    from vqa.pipeline.doctor import MachineReport, check_machine
    from vqa.pipeline.evaluation import EvaluationReport, evaluate_workspace
    from vqa.pipeline.explaining import Explanation
    from vqa.pipeline.exporting import TABLE_SUFFIXES, ExportReport, export_table
    from vqa.pipeline.exporting_head import HeadReport, export_head
    from vqa.pipeline.extraction import ExtractionReport, extract_features
    from vqa.pipeline.fetching import FetchedModel, FetchReport, fetch_weights, weights_as_set
    from vqa.pipeline.inputs import expand_videos
    from vqa.pipeline.keeping import DropReport, compact_features, drop_features, verify_features
    from vqa.pipeline.listing import CacheReport, ListedModel, describe_cache, list_models
    from vqa.pipeline.overview import NextStep, Overview, look_around
    from vqa.pipeline.progress import SILENT, Progress
    from vqa.pipeline.provenance import FeatureOrigin, ProvenanceReport, describe_features
    from vqa.pipeline.ranking import Selection, rank_models
    from vqa.pipeline.reporting import PageReport, build_report
    from vqa.pipeline.score_files import RowPrinter, report_text
    from vqa.pipeline.scorer import Scorer
    from vqa.pipeline.scores import BundleInfo, ScoreReport, VideoScore
    from vqa.pipeline.scoring import load_scorer, score_into, score_videos
    from vqa.pipeline.setting_up import InitReport, init_workspace
    from vqa.pipeline.timeline_files import timelines_text
    from vqa.pipeline.timelines import ScoreTimeline
    from vqa.pipeline.training import TrainingReport, train_regressor
    from vqa.pipeline.transferring import ImportReport, import_table
    from vqa.pipeline.whole_job import RunReport, run_workspace

_HOMES = {
    "vqa.cache.tablenames": "TableNames",
    "vqa.pipeline.asking": "ExplanationReport TimelineReport explain_videos explanations_text score_timelines",
    "vqa.pipeline.bundle_evaluation": "evaluate_bundle",
    "vqa.pipeline.cluster.connecting": "RayOptions",
    "vqa.pipeline.crossing": "CrossReport evaluate_on",
    "vqa.pipeline.demonstration": "DemoReport run_demo",
    "vqa.pipeline.doctor": "MachineReport check_machine",
    "vqa.pipeline.evaluation": "EvaluationReport evaluate_workspace",
    "vqa.pipeline.explaining": "Explanation",
    "vqa.pipeline.exporting": "TABLE_SUFFIXES ExportReport export_table",
    "vqa.pipeline.exporting_head": "HeadReport export_head",
    "vqa.pipeline.extraction": "ExtractionReport extract_features",
    "vqa.pipeline.fetching": "FetchReport FetchedModel fetch_weights weights_as_set",
    "vqa.pipeline.inputs": "expand_videos",
    "vqa.pipeline.keeping": "DropReport compact_features drop_features verify_features",
    "vqa.pipeline.listing": "CacheReport ListedModel describe_cache list_models",
    "vqa.pipeline.overview": "NextStep Overview look_around",
    "vqa.pipeline.progress": "SILENT Progress",
    "vqa.pipeline.provenance": "FeatureOrigin ProvenanceReport describe_features",
    "vqa.pipeline.ranking": "Selection rank_models",
    "vqa.pipeline.reporting": "PageReport build_report",
    "vqa.pipeline.score_files": "RowPrinter report_text",
    "vqa.pipeline.scorer": "Scorer",
    "vqa.pipeline.scores": "BundleInfo ScoreReport VideoScore",
    "vqa.pipeline.scoring": "load_scorer score_into score_videos",
    "vqa.pipeline.setting_up": "InitReport init_workspace",
    "vqa.pipeline.timeline_files": "timelines_text",
    "vqa.pipeline.timelines": "ScoreTimeline",
    "vqa.pipeline.training": "TrainingReport train_regressor",
    "vqa.pipeline.transferring": "ImportReport import_table",
    "vqa.pipeline.whole_job": "RunReport run_workspace",
}
"""The public names, by the module that each is in."""

__all__ = [
    "SILENT",
    "TABLE_SUFFIXES",
    "BundleInfo",
    "CacheReport",
    "CrossReport",
    "DemoReport",
    "DropReport",
    "EvaluationReport",
    "Explanation",
    "ExplanationReport",
    "ExportReport",
    "ExtractionReport",
    "FeatureOrigin",
    "FetchReport",
    "FetchedModel",
    "HeadReport",
    "ImportReport",
    "InitReport",
    "ListedModel",
    "MachineReport",
    "NextStep",
    "Overview",
    "PageReport",
    "Progress",
    "ProvenanceReport",
    "RayOptions",
    "RowPrinter",
    "RunReport",
    "ScoreReport",
    "ScoreTimeline",
    "Scorer",
    "Selection",
    "TableNames",
    "TimelineReport",
    "TrainingReport",
    "VideoScore",
    "build_report",
    "check_machine",
    "compact_features",
    "describe_cache",
    "describe_features",
    "drop_features",
    "evaluate_bundle",
    "evaluate_on",
    "evaluate_workspace",
    "expand_videos",
    "explain_videos",
    "explanations_text",
    "export_head",
    "export_table",
    "extract_features",
    "fetch_weights",
    "import_table",
    "init_workspace",
    "list_models",
    "load_scorer",
    "look_around",
    "rank_models",
    "report_text",
    "run_demo",
    "run_workspace",
    "score_into",
    "score_timelines",
    "score_videos",
    "timelines_text",
    "train_regressor",
    "verify_features",
    "weights_as_set",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
