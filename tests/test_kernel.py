from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from vqa.train import kernel
from vqa.train.kernel import fit_kernel
from vqa.train.leaving_out import rows_by_group


def make_rows(rows=40, blocks=1, width=3, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, blocks, width))
    targets = np.sin(inputs[:, 0, 0]) + 0.5 * inputs[:, 0, 1] + 0.1 * rng.normal(size=rows)
    return inputs, targets


def fit(inputs, targets, groups=None, seed=0):
    spreads = np.ones(inputs.shape[1:])
    return fit_kernel(inputs, targets, spreads, rows_by_group(groups, len(targets)), seed=seed)


def test_it_predicts_as_scikit_learns_gaussian_process_with_the_same_kernel():
    inputs, targets = make_rows()
    path, _ = fit(inputs, targets)
    (linear, gaussian), (q, d) = path.weights[:, 0], path.sizes[:, 0]
    noise = np.linalg.solve(np.eye(40), targets)  # y = (K + noise) alpha gives the noise back
    covariance = 1 + linear * inputs[:, 0] @ inputs[:, 0].T / q
    squares = ((inputs[:, None, 0] - inputs[None, :, 0]) ** 2).sum(-1)
    covariance += gaussian * np.exp(-squares / (2 * d))
    noise = ((targets - covariance @ path.coefficients) / path.coefficients).mean()
    same = (
        ConstantKernel(1.0, "fixed")
        + ConstantKernel(linear / q, "fixed") * DotProduct(0, "fixed")
        + ConstantKernel(gaussian, "fixed") * RBF(np.sqrt(d), "fixed")
        + WhiteKernel(noise, "fixed")
    )
    reference = GaussianProcessRegressor(same, alpha=0, optimizer=None).fit(inputs[:, 0], targets)
    others = make_rows(seed=1)[0]
    np.testing.assert_allclose(path.predict(others), reference.predict(others[:, 0]), atol=1e-5)


def test_rows_left_out_are_predicted_as_by_a_fit_without_their_group():
    inputs, targets = make_rows(24)
    groups = [f"c{row // 4}" for row in range(24)]
    path, unseen = fit(inputs, targets, groups)
    inner = slice(4, 24)
    full, less = path_covariance(path, inputs, inputs), path_covariance(path, inputs[inner], inputs[inner])
    noise = ((targets - full @ path.coefficients) / path.coefficients).mean()
    by_hand = path_covariance(path, inputs[:4], inputs[inner]) @ np.linalg.solve(
        less + noise * np.eye(20), targets[inner]
    )
    np.testing.assert_allclose(unseen[:4], by_hand, atol=1e-5)


def path_covariance(path, rows, others):
    total = np.ones((len(rows), len(others)))
    for index in range(rows.shape[1]):
        q, d = path.sizes[:, index]
        squares = ((rows[:, None, index] - others[None, :, index]) ** 2).sum(-1)
        total += path.weights[0, index] * rows[:, index] @ others[:, index].T / q
        total += path.weights[1, index] * np.exp(-squares / (2 * d))
    return total


def test_a_backbone_of_noise_counts_for_less_than_one_that_shows_the_score():
    inputs, targets = make_rows(120, blocks=2)
    path, _ = fit(inputs, targets)
    assert path.weights[:, 0].sum() > 5 * path.weights[:, 1].sum()


def test_beyond_the_most_anchors_a_sample_of_rows_stands_for_all(monkeypatch):
    inputs, targets = make_rows(200)
    whole, unseen_by_whole = fit(inputs, targets)
    monkeypatch.setattr(kernel, "MOST_ANCHORS", 80)
    sparse, unseen = fit(inputs, targets)
    others = make_rows(100, seed=1)[0]
    assert (len(whole.anchors), len(sparse.anchors)) == (200, 80)
    assert np.corrcoef(sparse.predict(others), whole.predict(others))[0, 1] > 0.99
    assert np.corrcoef(unseen, unseen_by_whole)[0, 1] > 0.99


def test_the_same_seed_samples_the_same_rows(monkeypatch):
    monkeypatch.setattr(kernel, "_SAMPLE", 50)
    inputs, targets = make_rows(100)
    first, second, third = (fit(inputs, targets, seed=seed)[0] for seed in (3, 3, 4))
    assert first.weights.tolist() == second.weights.tolist() != third.weights.tolist()


def test_a_backbone_that_never_changes_gives_finite_scores():
    inputs, targets = make_rows(30, blocks=2)
    inputs[:, 1] = 0
    path, unseen = fit(inputs, targets)
    assert np.isfinite(path.predict(inputs)).all()
    assert np.isfinite(unseen).all()


@pytest.mark.parametrize("rows", [2, 3])
def test_two_rows_are_enough_to_fit(rows):
    path, unseen = fit(*make_rows(rows))
    assert np.isfinite(path.predict(make_rows(5)[0])).all()
    assert np.isfinite(unseen).all()
