from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from vqa.train import linear
from vqa.train.leaving_out import rows_by_group
from vqa.train.linear import fit_linear, fit_ridge


def make_rows(rows=30, width=6, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, width))
    return features, features @ np.arange(width) + rng.normal(size=rows)


def centred(features, targets):
    return features - features.mean(0), targets - targets.mean()


@pytest.mark.parametrize("width", [6, 50])
def test_the_penalty_of_least_leave_one_out_error_is_scikit_learns(width):
    rows, targets = centred(*make_rows(width=width))
    penalties = linear._PENALTIES * (rows**2).sum() / len(rows)
    reference = RidgeCV(penalties).fit(rows, targets)
    ours = fit_ridge(rows, targets, rows_by_group(None, 30))
    np.testing.assert_allclose(ours.coefficients, reference.coef_, atol=1e-6)


@pytest.mark.parametrize("width", [6, 50])
def test_with_contents_the_penalty_and_what_is_said_of_rows_left_out_are_of_fits_without_their_content(width):
    rows, targets = centred(*make_rows(width=width))
    groups = [f"c{row // 3}" for row in range(30)]
    said = [
        cross_val_predict(Ridge(penalty), rows, targets, groups=groups, cv=LeaveOneGroupOut())
        for penalty in linear._PENALTIES * (rows**2).sum() / 30
    ]
    best = min(said, key=lambda each: ((targets - each) ** 2).mean())
    np.testing.assert_allclose(fit_ridge(rows, targets, rows_by_group(groups, 30)).unseen, best, rtol=1e-4)


def test_every_backbone_counts_equally_whatever_its_width():
    features, targets = make_rows(200, 1)
    wide = np.hstack([features, np.repeat(features, 99, axis=1)])  # one feature, and the same 99 times
    path, _ = fit_linear(wide, targets, (1, 99), rows_by_group(None, 200))
    assert path.coefficients[0] == pytest.approx(path.coefficients[1:].sum())


def test_a_missing_cell_takes_the_median_and_a_value_beyond_training_the_nearest_seen():
    features, targets = make_rows()
    features[3, 0] = np.nan
    path, _ = fit_linear(features, targets, (6,), rows_by_group(None, 30))
    row = features[:1].copy()
    row[0, 0] = np.inf
    filled = features[:1].copy()
    filled[0, 0] = np.nanmedian(features[:, 0])
    assert path.predict(row) == pytest.approx(path.predict(filled))
    row[0, 1], filled = 1e9, row.copy()
    filled[0, 1] = features[:, 1].max()
    assert path.predict(row) == pytest.approx(path.predict(filled))


def test_constant_features_predict_the_mean():
    path, unseen = fit_linear(np.ones((8, 2)), np.arange(8.0), (2,), rows_by_group(None, 8))
    assert path.predict(np.ones((1, 2))) == pytest.approx(3.5)
    np.testing.assert_allclose(unseen, [(28 - i) / 7 for i in range(8)])


def test_groups_are_rows_of_one_name_and_single_rows_without_names():
    assert [rows.tolist() for rows in rows_by_group(["b", "a", "b"], 3)] == [[1], [0, 2]]
    assert [rows.tolist() for rows in rows_by_group(None, 2)] == [[0], [1]]
