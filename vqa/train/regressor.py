"""The regressor as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from vqa.train.fitted import DEFAULT_COVERAGE, Predictions
from vqa.train.fitting import TrainJob, fit_many
from vqa.train.settings import TrainSettings

_DEFAULTS = TrainSettings()


class IcidRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """PTM-VQA's network on the features of several frozen backbones, trained with the ICID loss, and what goes with it.

    Yuan et al., PTM-VQA (CVPR 2024). See `vqa.train.network` and `vqa.train.loss` for the structure and for what is
    ours. By default its scores are averaged with those of a Gaussian process and a ridge regression on the same
    features (`vqa.train.kernel`, `vqa.train.linear`); `paths=("network",)` is the network alone.

    Args:
        block_widths: D of each backbone, in the order of X's columns; None for one backbone.
        fusion_weights: w_n of each backbone in the network, such as `dbi_weights` gives; None for weights by SROCC,
            learned from the rows.
        paths: Whose scores are averaged, see `vqa.train.settings.PATHS`.
        scaling: See `vqa.train.scaling.SCALINGS`.
        width: See `TrainSettings`, as for all below but the last.
        components: Most principal directions of a backbone that network and kernel see.
        bins: MOS pseudo clusters.
        margin: Of the triplet loss.
        intra_weight: Weight of intra-consistency.
        inter_weight: Weight of inter-divisibility.
        dropout: Rate after each GELU.
        learning_rate: AdamW's, at the start.
        weight_decay: AdamW's.
        batch_size: Rows for each step.
        epochs: Most passes over the rows.
        patience: Epochs without progress after which a network stops.
        validation_fraction: Share of the rows, or groups, that only tells when to stop.
        restarts: Networks whose scores are averaged.
        random_state: The same whole number gives the same parameters; None differs from call to call.

    Attributes:
        fitted_: The `FittedRegressor`.
        n_features_in_: Columns of X.
    """

    def __init__(
        self,
        *,
        block_widths: Sequence[int] | None = None,
        fusion_weights: Sequence[float] | None = None,
        paths: Sequence[str] = _DEFAULTS.paths,
        scaling: str = _DEFAULTS.scaling,
        width: int = _DEFAULTS.width,
        components: int = _DEFAULTS.components,
        bins: int = _DEFAULTS.bins,
        margin: float = _DEFAULTS.margin,
        intra_weight: float = _DEFAULTS.intra_weight,
        inter_weight: float = _DEFAULTS.inter_weight,
        dropout: float = _DEFAULTS.dropout,
        learning_rate: float = _DEFAULTS.learning_rate,
        weight_decay: float = _DEFAULTS.weight_decay,
        batch_size: int = _DEFAULTS.batch_size,
        epochs: int = _DEFAULTS.epochs,
        patience: int = _DEFAULTS.patience,
        validation_fraction: float = _DEFAULTS.validation_fraction,
        restarts: int = _DEFAULTS.restarts,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.block_widths = block_widths
        self.fusion_weights = fusion_weights
        self.paths = paths
        self.scaling = scaling
        self.width = width
        self.components = components
        self.bins = bins
        self.margin = margin
        self.intra_weight = intra_weight
        self.inter_weight = inter_weight
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.restarts = restarts
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: Sequence[str] | None = None) -> Self:  # noqa: N803
        """Train on all rows given.

        Args:
            X: Features of the backbones side by side, shape (N, sum of block_widths); NaN is a missing cell.
            y: MOS, shape (N,), any scale.
            groups: Source content of each row; the inner validation part then takes whole contents.

        Raises:
            DegenerateDataError: scores are equal, or widths, weights or settings do not fit.
        """
        features, mos = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            y_numeric=True,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
        )
        widths = tuple(self.block_widths) if self.block_widths is not None else (features.shape[1],)
        weights = None if self.fusion_weights is None else tuple(float(weight) for weight in self.fusion_weights)
        job = TrainJob(
            features=features,
            mos=np.asarray(mos, dtype=np.float64),
            groups=groups,
            block_widths=widths,
            fusion_weights=weights,
            random_state=self._seed(),
        )
        self.fitted_ = fit_many([job], settings=self._settings())[0]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return a score on the training MOS' scale for each row, shape (N,)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan", reset=False)
        return self.fitted_.predict(features)

    def predict_intervals(self, X: ArrayLike, *, coverage: float = DEFAULT_COVERAGE) -> Predictions:  # noqa: N803
        """Return scores with the interval in which the MOS of that share of new videos should lie."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan", reset=False)
        return self.fitted_.predict_intervals(features, coverage=coverage)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _settings(self) -> TrainSettings:
        values = self.get_params(deep=False)
        settings = {name: values[name] for name in TrainSettings.__dataclass_fields__}
        return TrainSettings(**{**settings, "paths": tuple(self.paths)})

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that missing cells are fine."""
        tags: Any = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
