"""The settings of a workspace: checked where they are made, each with the comment that explains it in vqa.toml."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any

from vqa.errors import WorkspaceError

COMMENT = "comment"
"""Where a field's metadata keeps the comment written above its key."""

_PRECISIONS = ("auto", "float32", "bfloat16")
_BIN_RULES = ("width", "count")
_SPLITS = ("", "train", "val", "test")
CRITERIA = ("dbi", "dbi-count", "dbi-kmeans", "silhouette", "logme", "ridge", "knn", "greedy")
"""Names of what models can be ranked by."""


def setting(comment: str, default: Any = MISSING) -> Any:
    """Return a dataclass field that is one key of vqa.toml, with the comment written above it."""
    return field(default=default, metadata={COMMENT: comment})


def _check(holds: object, message: str) -> None:
    if not holds:
        raise WorkspaceError(message)


def _check_choice(value: str, choices: Sequence[str], key: str) -> None:
    _check(value in choices, f"{key} is {value!r}; write one of: {', '.join(choices)}")


def _check_least(table: str, settings: object, **least: int) -> None:
    """Refuse whole numbers below what makes sense."""
    for name, lowest in least.items():
        value = getattr(settings, name)
        _check(value >= lowest, f"[{table}] {name} is {value}; write {lowest} or more")


def _check_positive(table: str, settings: object, *names: str) -> None:
    """Refuse numbers that are not finite and above 0."""
    for name in names:
        value = getattr(settings, name)
        _check(math.isfinite(value) and value > 0, f"[{table}] {name} is {value}; write a number above 0")


def _check_pattern(key: str, pattern: str | None) -> None:
    """Refuse a regular expression that is none, or has not just one group."""
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise WorkspaceError(f"[dataset] {key} {pattern!r} is no regular expression ({error}); correct it") from error
    _check(groups == 1, f"[dataset] {key} {pattern!r} has {groups} groups; put one pair of round brackets into it")


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class DatasetSettings:
    """Which videos, and what people said of them.

    Raises:
        WorkspaceError: a value is out of range.
    """

    videos: str = setting(
        "A folder, searched with all below it, or a glob; relative to this file's folder, absolute, or a URL. "
        '"" where there are labels and imported features only.'
    )
    labels: str | tuple[str, ...] | None = setting(
        "CSV or MATLAB file with one row for each video, or a list of them; leave out if there are no labels.", None
    )
    file_splits: tuple[str, ...] = setting(
        'For a list of them: train, val or test for each, or "" for what its column says; test wins.', ()
    )
    id_column: str | tuple[str, ...] | None = setting(
        "Columns of that file, or a list: the first that is there; those left out are guessed from common names.", None
    )
    mos_column: str | tuple[str, ...] | None = setting("", None)
    group_column: str | None = setting(
        'Source content, so that none is both trained and tested on; "" to read none.', None
    )
    split_column: str | None = setting('train, val or test; "" to read none.', None)
    id_pattern: str | None = setting(
        "Regular expression with one group: the part of the id column that is the id, such as 'videos/(.+)[.]mp4'.",
        None,
    )
    group_pattern: str | None = setting(
        "Regular expression with one group: the part of the id that is the source content, in place of a column.", None
    )
    name_template: str | tuple[str, ...] = setting(
        "How a video's file name is made of its id, or a list: the first that fits; the suffix may be left out.", "{id}"
    )
    allow_missing: bool = setting("Whether labels of videos that have no file are left aside.", False)
    labelled_only: bool = setting("Whether videos without a label are left aside.", False)
    scale: tuple[float, float] | None = setting("Lowest and highest score of the rating scale, if known.", None)
    note: str = setting("What the labels are; shown beside scores.", "")

    def __post_init__(self) -> None:
        _check(
            self.videos or self.labels, "[dataset] videos is empty, and there are no labels; name a folder or a glob"
        )
        for template in self.name_templates:
            _check("{id}" in template, f"[dataset] name_template is {template!r}; put {{id}} into it")
        for split in self.file_splits:
            _check(split in _SPLITS, f'[dataset] file_splits has {split!r}; write train, val, test or ""')
        files = len(self.label_files)
        agree = not self.file_splits or len(self.file_splits) == files
        _check(agree, f"[dataset] file_splits names {len(self.file_splits)} splits for {files} labels; write one each")
        both = self.group_column and self.group_pattern
        _check(not both, "[dataset] has both group_column and group_pattern; keep one of them")
        _check_pattern("id_pattern", self.id_pattern)
        _check_pattern("group_pattern", self.group_pattern)
        if self.scale is not None:
            low, high = self.scale
            ordered = math.isfinite(low) and math.isfinite(high) and low < high
            _check(ordered, f"[dataset] scale is {[low, high]}; write the lower end, then the higher")

    @property
    def label_files(self) -> tuple[str, ...]:
        """The label files, none where there are no labels."""
        return _listed(self.labels)

    @property
    def name_templates(self) -> tuple[str, ...]:
        """The templates, in the order they are tried."""
        return _listed(self.name_template)


@dataclass(frozen=True)
class ExtractSettings:
    """How features are extracted.

    Raises:
        WorkspaceError: a value is out of range.
    """

    models: tuple[str, ...] = setting("Pools, model specs or globs, see `vqa models`.", ("bundled",))
    frames: int = setting("Frames sampled from each video.", 8)
    precision: str = setting(
        "auto, float32 or bfloat16; auto takes bfloat16 where it is fast and exact enough.", "auto"
    )
    batch: int = setting("Frames that a model takes at once; 0 for what suits the device.", 0)
    device: str = setting("auto, cpu, cuda or cuda:N.", "auto")
    max_pixels: int = setting("Videos with more pixels a frame are refused.", 8192 * 8192)
    max_duration_seconds: float = setting("Videos that last longer are refused.", 21600.0)
    memory: int = setting("MB of decoded frames that may wait for the models.", 1024)
    workers: int = setting("Processes that decode videos; 0 for one on each core.", 0)
    worker_memory: float = setting("GB that a decoding process may take beside its libraries (Linux).", 4.0)
    video_seconds: float = setting("Videos that take more seconds to decode are given up.", 600.0)
    offline: bool = setting("Whether weights come from this machine alone; see `vqa models fetch`.", False)
    weights_dir: str | None = setting("Folder of weights, in place of the libraries' own download folders.", None)

    def __post_init__(self) -> None:
        _check(self.models and all(self.models), "[extract] models names no model; name a pool or a model spec")
        _check_choice(self.precision, _PRECISIONS, "[extract] precision")
        _check(self.device, "[extract] device is empty; write auto, cpu or cuda")
        _check_positive("extract", self, "video_seconds", "max_duration_seconds", "worker_memory")
        _check(self.weights_dir != "", "[extract] weights_dir is empty; name a folder, or leave it out")
        _check_least("extract", self, frames=1, batch=0, max_pixels=1, memory=1, workers=0)


@dataclass(frozen=True)
class SelectSettings:
    """How models are ranked.

    Raises:
        WorkspaceError: a value is out of range.
    """

    top_k: int = setting("Models that are chosen.", 4)
    bins: int = setting("Pseudo clusters of the MOS.", 6)
    bin_rule: str = setting("width: bins of equal MOS width; count: bins of equally many videos.", "width")
    common_width: int = setting("Features are brought to this width by PCA before models are compared.", 16)
    criterion: str = setting(f"What models are ranked by: {', '.join(CRITERIA)}.", "dbi")

    def __post_init__(self) -> None:
        _check_choice(self.bin_rule, _BIN_RULES, "[select] bin_rule")
        _check_choice(self.criterion, CRITERIA, "[select] criterion")
        _check_least("select", self, top_k=1, bins=2, common_width=1)


@dataclass(frozen=True)
class TrainSettings:
    """How the scorer is trained and tested.

    Raises:
        WorkspaceError: a value is out of range.
    """

    splits: int = setting("Repeated train/test splits of the evaluation.", 20)
    test_fraction: float = setting("Part of the contents held out in each, between 0 and 1.", 0.2)
    random_state: int = setting("Seed of everything random.", 0)
    method: str = setting("blend, or ptm-vqa for the paper's network alone.", "blend")
    fusion: str | None = setting(
        "Weights of the models: srocc, inverse, softmax or uniform; left out, as all below, the method's own.",
        None,
    )
    bins: int | None = setting("Pseudo clusters of the MOS in the triplet loss.", None)
    width: int | None = setting("Common width of the models' representations.", None)
    margin: float | None = setting("Of the triplet loss, in units of 1 - cosine.", None)
    intra_weight: float | None = setting("Weight of intra-consistency in the loss; 0 turns it off.", None)
    inter_weight: float | None = setting("Weight of inter-divisibility in the loss; 0 turns it off.", None)
    restarts: int | None = setting("Networks whose scores are averaged.", None)
    epochs: int | None = setting("Most passes over the rows.", None)

    def __post_init__(self) -> None:
        _check(0 < self.test_fraction < 1, f"[train] test_fraction is {self.test_fraction}; write one between 0 and 1")
        _check_least("train", self, splits=1, random_state=0)
        seed = self.random_state
        _check(seed < 2**31, f"[train] random_state is {seed}; write one below 2147483648")

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings of the method that are given here, by their names."""
        names = ("fusion", "bins", "width", "margin", "intra_weight", "inter_weight", "restarts", "epochs")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
