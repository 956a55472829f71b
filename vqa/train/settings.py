"""How a regressor is trained. The published text of PTM-VQA gives the structure; every number here is ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vqa.clusters import DEFAULT_BINS
from vqa.errors import DegenerateDataError
from vqa.train.scaling import SCALINGS

PATHS = ("network", "kernel", "linear")
"""From features to score: PTM-VQA's network, a Gaussian process, a ridge regression."""

_RANGES: dict[str, Callable[[float], bool]] = {
    "1 or more": lambda value: value >= 1,
    "0 or more": lambda value: 0 <= value < math.inf,
    "0 to below 1": lambda value: 0 <= value < 1,
    "a number above 0": lambda value: 0 < value < math.inf,
}


@dataclass(frozen=True)
class TrainSettings:
    """Options of training.

    The defaults were chosen on inner splits of the training rows of the first benchmark split of KoNViD-1k and
    LIVE-VQC features; `benchmarks/RESULTS.md` has the figures.

    Raises:
        DegenerateDataError: a value lies outside its range.
    """

    paths: tuple[str, ...] = PATHS
    """Whose scores are averaged; one or more of `PATHS`."""
    scaling: str = "soft"
    """How features are scaled for network and kernel, see `vqa.train.scaling.SCALINGS`."""
    width: int = 32
    """W, the common width of all h_n; 1 or more."""
    components: int = 128
    """Most principal directions of a backbone's features that network and kernel see; 1 or more."""
    bins: int = DEFAULT_BINS
    """MOS pseudo clusters of the triplet loss; at most half as many as rows are made."""
    margin: float = 0.3
    """Of the triplet loss, in units of 1 - cosine; 0 or more."""
    intra_weight: float = 0.5
    """Weight of intra-consistency in the loss; 0 or more."""
    inter_weight: float = 0.1
    """Weight of inter-divisibility in the loss; 0 or more."""
    dropout: float = 0.1
    """Rate after each GELU; 0 to below 1."""
    learning_rate: float = 0.003
    """At the start; it falls along half a cosine. Above 0."""
    weight_decay: float = 0.01
    """AdamW's, on weights only; 0 or more."""
    batch_size: int = 64
    """About as many rows for each step; 1 or more."""
    epochs: int = 20
    """Most passes over the rows; 1 or more."""
    patience: int = 10
    """Epochs without a smaller validation loss after which a network stops; 1 or more."""
    validation_fraction: float = 0.1
    """Share of the training rows, or of their groups, that only tells when to stop; 0 to below 1."""
    restarts: int = 4
    """Networks trained from other starts and other inner validation rows, whose scores are averaged; 1 or more."""

    def __post_init__(self) -> None:
        if not self.paths or set(self.paths) - set(PATHS):
            raise DegenerateDataError(f"paths {self.paths} can't be used in training; use some of {', '.join(PATHS)}")
        if self.scaling not in SCALINGS:
            raise DegenerateDataError(f"there is no scaling {self.scaling!r}; use one of: {', '.join(SCALINGS)}")
        ranges = {
            "1 or more": ("width", "components", "bins", "batch_size", "epochs", "patience", "restarts"),
            "0 or more": ("margin", "intra_weight", "inter_weight", "weight_decay"),
            "0 to below 1": ("dropout", "validation_fraction"),
            "a number above 0": ("learning_rate",),
        }
        for wanted, names in ranges.items():
            for name in names:
                if not _RANGES[wanted](getattr(self, name)):
                    raise DegenerateDataError(f"{name} {getattr(self, name)} can't be used in training; use {wanted}")
