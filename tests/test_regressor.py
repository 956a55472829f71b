from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.utils.estimator_checks import parametrize_with_checks

from vqa.errors import DegenerateDataError
from vqa.train.fitting import TrainJob, TrainSettings, fit_many
from vqa.train.regressor import IcidRegressor
from vqa.train.splits import content_splits


@parametrize_with_checks([IcidRegressor(width=8, epochs=20, restarts=1, learning_rate=0.01)])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_trains_as_fit_many_does():
    rng = np.random.default_rng(0)
    features, mos = rng.normal(size=(40, 6)), rng.uniform(1, 5, 40)
    estimator = IcidRegressor(block_widths=(2, 4), fusion_weights=(0.7, 0.3), epochs=3, restarts=2, random_state=9)
    job = TrainJob(features, mos, None, (2, 4), (0.7, 0.3), 9)
    fitted = fit_many([job], settings=TrainSettings(epochs=3, restarts=2))[0]
    assert estimator.fit(features, mos).predict(features).tolist() == fitted.predict(features).tolist()


def test_without_blocks_and_weights_there_is_one_backbone():
    estimator = IcidRegressor(epochs=1, restarts=1).fit(np.random.default_rng(0).normal(size=(20, 6)), np.arange(20.0))
    assert estimator.fitted_.block_widths == (6,)
    assert estimator.fitted_.fusion_weights == (1.0,)


def test_blocks_that_do_not_add_up_are_refused():
    with pytest.raises(DegenerateDataError, match="widths must add up"):
        IcidRegressor(block_widths=(2, 3)).fit(np.eye(20), np.arange(20.0))


def test_defaults_are_those_of_the_settings():
    assert IcidRegressor()._settings() == TrainSettings()


def test_on_real_ratings_the_fusion_of_ten_feature_sets_ranks_unseen_videos(test_data):
    with np.load(test_data / "pools" / "konvid1k.npz", allow_pickle=False) as pool:
        blocks = [pool[name] for name in pool.files if name.startswith("feat__")]
        mos = pool["mos"].astype(float)
    features, widths = np.hstack(blocks), tuple(block.shape[1] for block in blocks)
    split = content_splits(None, len(mos), count=1)[0]
    estimator = IcidRegressor(block_widths=widths, epochs=15, restarts=1).fit(features[split.train], mos[split.train])
    assert spearmanr(estimator.predict(features[split.test]), mos[split.test]).statistic > 0.74
