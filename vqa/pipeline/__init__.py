"""The composition root: the only package that knows every stage. One module for each command."""

from vqa.cache.tablenames import TableNames
from vqa.pipeline.crossing import CrossReport, evaluate_on
from vqa.pipeline.demonstration import DemoReport, run_demo
from vqa.pipeline.doctor import MachineReport, check_machine
from vqa.pipeline.evaluation import EvaluationReport, evaluate_workspace
from vqa.pipeline.exporting import ExportReport, export_table
from vqa.pipeline.extraction import ExtractionReport, extract_features
from vqa.pipeline.fetching import FetchedModel, FetchReport, fetch_weights, weights_as_set
from vqa.pipeline.keeping import DropReport, compact_features, drop_features, verify_features
from vqa.pipeline.listing import CacheReport, ListedModel, describe_cache, list_models
from vqa.pipeline.progress import Progress
from vqa.pipeline.provenance import FeatureOrigin, ProvenanceReport, describe_features
from vqa.pipeline.ranking import Selection, rank_models
from vqa.pipeline.scoring import ScoreReport, VideoScore, score_videos
from vqa.pipeline.setting_up import InitReport, init_workspace
from vqa.pipeline.training import TrainingReport, train_regressor
from vqa.pipeline.transferring import ImportReport, import_table

__all__ = [
    "CacheReport",
    "CrossReport",
    "DemoReport",
    "DropReport",
    "EvaluationReport",
    "ExportReport",
    "ExtractionReport",
    "FeatureOrigin",
    "FetchReport",
    "FetchedModel",
    "ImportReport",
    "InitReport",
    "ListedModel",
    "MachineReport",
    "Progress",
    "ProvenanceReport",
    "ScoreReport",
    "Selection",
    "TableNames",
    "TrainingReport",
    "VideoScore",
    "check_machine",
    "compact_features",
    "describe_cache",
    "describe_features",
    "drop_features",
    "evaluate_on",
    "evaluate_workspace",
    "export_table",
    "extract_features",
    "fetch_weights",
    "import_table",
    "init_workspace",
    "list_models",
    "rank_models",
    "run_demo",
    "score_videos",
    "train_regressor",
    "verify_features",
    "weights_as_set",
]
