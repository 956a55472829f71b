from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score, silhouette_score

from vqa.errors import DegenerateDataError, SelectionError
from vqa.select.criteria import CRITERIA, find_criterion
from vqa.select.preparing import prepare_candidate
from vqa.select.target import make_target
from vqa.settings import CRITERIA as NAMES

RANDOM = np.random.default_rng(0)
MOS = RANDOM.gamma(2, 1, 90)
TARGET, CLUSTERS = make_target(MOS, None)
SEEING = prepare_candidate("seeing", (MOS[:, None] + RANDOM.normal(size=(90, 20))).astype(np.float32))
BLIND = prepare_candidate("blind", RANDOM.normal(size=(90, 20)).astype(np.float32))
ALONE = [name for name, criterion in CRITERIA.items() if criterion.measure]


def value(name, candidate=SEEING, target=TARGET):
    return CRITERIA[name].measure(candidate, target).value


def test_the_settings_know_the_same_criteria():
    assert tuple(CRITERIA) == NAMES


def test_a_misspelt_criterion_is_refused_with_the_one_that_was_meant():
    with pytest.raises(SelectionError, match="there is no criterion 'logmee'; did you mean logme"):
        find_criterion("logmee")
    with pytest.raises(SelectionError, match="there is no criterion 'x'; use one of: dbi, dbi-count, "):
        find_criterion("x")


@pytest.mark.parametrize("name", [name for name in ALONE if name != "dbi-kmeans"])  # that one does not see the MOS
def test_a_candidate_that_sees_quality_is_better_than_noise(name):
    order = CRITERIA[name].order
    assert order(value(name)) < order(value(name, BLIND))


def test_indices_of_clusters_are_scikit_learns_on_sixteen_principal_directions():
    space = SEEING.space[:, :16]
    assert value("dbi") == pytest.approx(davies_bouldin_score(space, CLUSTERS.labels))
    assert value("silhouette") == pytest.approx(silhouette_score(space, CLUSTERS.labels))
    assert value("dbi-count") == pytest.approx(davies_bouldin_score(space, np.argsort(np.argsort(MOS)) // 15))
    found = KMeans(len(CLUSTERS.sizes), n_init=4, random_state=0).fit(space).labels_
    assert value("dbi-kmeans") == pytest.approx(davies_bouldin_score(space, found))


@pytest.mark.parametrize("name", ALONE)
def test_on_all_rows_again_the_figure_is_the_same_and_on_others_it_is_not(name):
    measured = CRITERIA[name].measure(SEEING, TARGET)
    assert measured.on_rows(np.arange(90)) == pytest.approx(measured.value, abs=1e-5)
    assert measured.on_rows(np.arange(90) // 2 * 2) != pytest.approx(measured.value, abs=1e-5)


def test_k_means_on_fewer_points_than_clusters_takes_as_many_as_there_are():
    two_points = prepare_candidate("a", np.repeat([[0.0, 1.0], [1.0, 0.0]], 45, axis=0).astype(np.float32))
    assert value("dbi-kmeans", two_points) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["ridge", "knn"])
def test_with_one_content_nothing_can_be_held_out(name):
    target, _ = make_target(MOS, ["a"] * 90)
    with pytest.raises(DegenerateDataError, match=r"all videos show one content.* choose a criterion without folds"):
        value(name, target=target)
    assert value("dbi", target=target) == value("dbi")


def test_versions_of_one_content_do_not_help_each_other():
    content = np.repeat(np.arange(6), 15)  # features name the content, and the MOS depends on it alone
    marks = np.eye(6)[content] + 0.01 * RANDOM.normal(size=(90, 6))
    candidate = prepare_candidate("a", marks.astype(np.float32))
    mos = RANDOM.permutation(6).astype(float)[content]
    by_row, by_content = (make_target(mos, groups)[0] for groups in (None, [f"c{c}" for c in content]))
    assert value("knn", candidate, by_row) > 0.9
    assert value("knn", candidate, by_content) < 0.5
