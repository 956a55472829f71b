from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from vqa.errors import DegenerateDataError
from vqa.train import fitting, restarts
from vqa.train.fitting import TrainJob, TrainSettings, fit_many

SMALL = TrainSettings(width=8, epochs=4, restarts=2)


def make_job(rows=60, widths=(30, 5), seed=0, groups=None, noise=0.5):
    """Rows whose blocks show the score through noise."""
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1, 5, rows)
    blocks = [mos[:, None] * rng.normal(size=width) + noise * 4 * rng.normal(size=(rows, width)) for width in widths]
    weights = tuple([1 / len(widths)] * len(widths))
    return TrainJob(np.hstack(blocks).astype(np.float32), mos, groups, tuple(widths), weights, seed)


def same(first, second):
    return all(
        np.array_equal(first.network.parameters[name], value) for name, value in second.network.parameters.items()
    )


def test_what_is_learned_from_sixty_rows_ranks_sixty_others():
    job = make_job(rows=120)
    train = TrainJob(job.features[:60], job.mos[:60], None, job.block_widths, job.fusion_weights, 0)
    fitted = fit_many([train], settings=TrainSettings(epochs=30, restarts=2))[0]
    assert spearmanr(fitted.predict(job.features[60:]), job.mos[60:]).statistic > 0.9
    assert fitted.mos_range == (train.mos.min(), train.mos.max())


def test_scores_come_out_on_the_scale_they_went_in_on():
    job = make_job()
    stretched = TrainJob(job.features, 10 * job.mos + 100, None, job.block_widths, job.fusion_weights, 0)
    one_to_five, hundreds = (fit_many([each], settings=SMALL)[0].predict(job.features) for each in (job, stretched))
    np.testing.assert_allclose(hundreds, 10 * one_to_five + 100, atol=0.02)


def test_shuffled_scores_can_not_be_ranked_on_other_rows():
    found = []
    for seed in range(4):
        job = make_job(rows=160, seed=seed)
        mos = np.random.default_rng(seed).permutation(job.mos)
        train = TrainJob(job.features[:80], mos[:80], None, job.block_widths, job.fusion_weights, 0)
        fitted = fit_many([train], settings=TrainSettings(epochs=10, restarts=1))[0]
        found.append(spearmanr(fitted.predict(job.features[80:]), mos[80:]).statistic)
    assert abs(np.mean(found)) < 0.17  # 3 standard errors of 320 rows without relation


def test_the_same_job_gives_the_same_parameters_and_another_random_state_others():
    job = make_job()
    other = TrainJob(job.features, job.mos, None, job.block_widths, job.fusion_weights, 1)
    first, second, third = (fit_many([each], settings=SMALL)[0] for each in (job, job, other))
    assert same(first, second)
    assert not same(first, third)


def test_neither_global_random_state_nor_thread_count_is_touched():
    torch.manual_seed(5)
    np.random.seed(5)
    torch.set_num_threads(2)
    torch_before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1]
    fit_many([make_job()], settings=SMALL)
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)
    assert torch.get_num_threads() == 2


def test_jobs_of_other_sizes_trained_together_come_out_as_each_alone():
    jobs = [make_job(60, (30, 5), 0), make_job(45, (12,), 1), make_job(250, (8, 8, 8), 2), make_job(55, (7, 40), 3)]
    together = fit_many(jobs, settings=SMALL)
    for job, fitted in zip(jobs, together, strict=True):
        alone = fit_many([job], settings=SMALL)[0]
        assert fitted.block_widths == job.block_widths
        assert fitted.epochs == alone.epochs
        np.testing.assert_allclose(fitted.predict(job.features), alone.predict(job.features), atol=2e-3)


def test_a_row_scores_the_same_alone_and_among_others():
    job = make_job()
    fitted = fit_many([job], settings=SMALL)[0]
    alone = [fitted.predict(job.features[row : row + 1])[0] for row in range(60)]
    np.testing.assert_allclose(fitted.predict(job.features), alone, rtol=1e-12)


def test_missing_cells_count_as_the_training_rows_medians():
    job = make_job()
    fitted = fit_many([job], settings=SMALL)[0]
    holed, filled = job.features[:1].copy(), job.features[:1].copy()
    holed[0, 3], filled[0, 3] = np.nan, np.median(job.features[:, 3])
    np.testing.assert_allclose(fitted.predict(holed), fitted.predict(filled))


def test_early_stopping_keeps_an_epoch_of_its_own_for_each_restart_and_none_past_the_last():
    noisy = make_job(rows=200, noise=5)
    settings = TrainSettings(width=8, epochs=12, patience=12, restarts=6, learning_rate=0.05)
    patient = fit_many([noisy], settings=settings)[0].epochs
    hasty = fit_many([noisy], settings=replace(settings, patience=1))[0].epochs
    assert len(patient) == 6
    assert all(1 <= early <= late <= 12 for early, late in zip(hasty, patient, strict=True))
    assert min(hasty) < 12
    assert hasty != patient
    assert len(set(hasty)) > 1


def test_memory_is_bounded_by_training_only_so_many_replicas_together(monkeypatch):
    together = []
    train_replicas = restarts.train_replicas

    def watch(replicas, settings, *, steps):
        together.append(len(replicas))
        return train_replicas(replicas, settings, steps=steps)

    monkeypatch.setattr(restarts, "train_replicas", watch)
    jobs = [make_job(seed=seed) for seed in range(5)]
    monkeypatch.setattr(fitting, "_NUMBERS_AT_ONCE", 1600)  # of 2 replicas x 2 backbones x 20 rows x 8
    fit_many(jobs, settings=SMALL)
    assert together == [12, 12, 6]  # each job with 2 restarts and 4 folds


def test_without_rows_to_hold_out_all_epochs_are_run():
    few_rows, few_groups = make_job(rows=199, noise=50), make_job(rows=240, noise=50, groups=list("abc") * 80)
    epochs = [fitted.epochs for fitted in fit_many([few_rows, few_groups], settings=replace(SMALL, patience=1))]
    assert epochs == [(4, 4), (4, 4)]


def test_an_inner_validation_part_takes_whole_contents(monkeypatch):
    seen = []
    train_replicas = restarts.train_replicas

    def watch(replicas, settings, *, steps):
        seen.extend(replicas)
        return train_replicas(replicas, settings, steps=steps)

    monkeypatch.setattr(restarts, "train_replicas", watch)
    groups = [f"c{row // 5}" for row in range(200)]
    fit_many([make_job(rows=200, groups=groups)], settings=SMALL)
    for replica in seen:
        # 4 of 40 contents to stop by; a quarter of them where a network only says how good such are
        assert len(replica.validation) == (20 if replica.stops_early else 50)
        assert not {groups[i] for i in replica.fitting} & {groups[i] for i in replica.validation}
    assert seen[0].validation.tolist() != seen[1].validation.tolist()


def test_fewer_rows_than_clusters_want_still_train():
    assert np.isfinite(fit_many([make_job(rows=2)], settings=SMALL)[0].predict(make_job().features)).all()


def test_constant_features_predict_one_finite_score():
    job = make_job()
    flat = TrainJob(np.ones((60, 4)), job.mos, None, (4,), (1.0,), 0)
    assert np.ptp(fit_many([flat], settings=SMALL)[0].predict(np.ones((3, 4)))) == 0


def test_equal_scores_are_refused():
    with pytest.raises(DegenerateDataError, match="all 20 videos have the MOS 3"):
        fit_many([TrainJob(np.eye(20), np.full(20, 3.0), None, (20,), (1.0,), 0)], settings=SMALL)


@pytest.mark.parametrize(
    ("widths", "weights", "rows", "message"),
    [
        ((3,), (1.0,), 20, "widths must add up"),
        ((2, 2), (1.0,), 20, "1 fusion weights for 2 backbones"),
        ((4,), (1.0,), 19, "rows must agree"),
    ],
)
def test_a_job_that_does_not_fit_itself_is_refused(widths, weights, rows, message):
    with pytest.raises(DegenerateDataError, match=message):
        TrainJob(np.ones((20, 4)), np.arange(float(rows)), None, widths, weights, 0)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"margin": -1}, {"learning_rate": 0}])
def test_settings_outside_their_range_are_refused_by_name(wrong):
    with pytest.raises(DegenerateDataError, match=next(iter(wrong))):
        TrainSettings(**wrong)


def test_features_of_another_width_are_refused_at_prediction():
    fitted = fit_many([make_job()], settings=SMALL)[0]
    with pytest.raises(DegenerateDataError, match="do not fit a regressor of 35 columns"):
        fitted.predict(np.ones((2, 34)))
