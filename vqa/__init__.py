"""No-reference video quality assessment from a pool of frozen pretrained models (PTM-VQA, CVPR 2024).

Five names cover the whole job, from a folder of rated videos to the score of a new one:

    init_workspace -> extract_features -> rank_models -> train_regressor -> Scorer

The others look closer. Importing this package loads nothing heavy; the names come from `vqa.pipeline` when they are
first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vqa.errors import VqaError

if TYPE_CHECKING:
    from vqa.pipeline import (
        Explanation,
        RayOptions,
        Scorer,
        ScoreReport,
        ScoreTimeline,
        TableNames,
        VideoScore,
        describe_cache,
        describe_features,
        evaluate_bundle,
        evaluate_on,
        evaluate_workspace,
        export_table,
        extract_features,
        import_table,
        init_workspace,
        list_models,
        rank_models,
        run_demo,
        score_videos,
        train_regressor,
    )
    from vqa.workspace import DatasetSettings, ExtractSettings

_SETTINGS = ("DatasetSettings", "ExtractSettings")

__all__ = [
    "DatasetSettings",
    "Explanation",
    "ExtractSettings",
    "RayOptions",
    "ScoreReport",
    "ScoreTimeline",
    "Scorer",
    "TableNames",
    "VideoScore",
    "VqaError",
    "describe_cache",
    "describe_features",
    "evaluate_bundle",
    "evaluate_on",
    "evaluate_workspace",
    "export_table",
    "extract_features",
    "import_table",
    "init_workspace",
    "list_models",
    "rank_models",
    "run_demo",
    "score_videos",
    "train_regressor",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = "vqa.workspace" if name in _SETTINGS else "vqa.pipeline"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
