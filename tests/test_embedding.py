from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from vqa.errors import DegenerateDataError
from vqa.select.embedding import embed_candidate, even_rows

MOS = np.linspace(1, 5, 60)
CLUSTERS = np.repeat([0, 10, 20], 20)[:, None] + np.random.default_rng(0).normal(size=(60, 5))


def embed(block=CLUSTERS, mos=MOS, **options):
    return embed_candidate("x", np.asarray(block, np.float32), mos, **options)


def test_videos_of_like_features_lie_together():
    points = embed().points
    centres = points.reshape(3, 20, 2).mean(1)
    nearest = cdist(points, centres).argmin(1)
    assert nearest.tolist() == [0] * 20 + [1] * 20 + [2] * 20


def test_the_same_features_and_seed_give_the_same_points():
    assert embed(random_state=3).points.tolist() == embed(random_state=3).points.tolist()


def test_scores_do_not_move_points():
    assert embed(mos=MOS[::-1]).points.tolist() == embed().points.tolist()


def test_of_many_videos_some_are_shown_at_equal_steps_of_their_score():
    mos = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert even_rows(mos, 3).tolist() == [0, 1, 4]  # best, worst, middle
    assert even_rows(mos, 5).tolist() == [0, 1, 2, 3, 4]
    assert embed(most=30).points.shape == (30, 2)


@pytest.mark.parametrize("rows", [4, 7, 31])
def test_few_videos_and_one_feature_still_have_a_map(rows):
    found = embed(CLUSTERS[:rows, :1], MOS[:rows])
    assert np.isfinite(found.points).all()
    assert found.perplexity == pytest.approx(min(30, (rows - 1) / 3))


def test_what_has_no_map_is_refused_with_the_reason():
    with pytest.raises(DegenerateDataError, match="3 videos are too few for a map"):
        embed(CLUSTERS[:3], MOS[:3])
    with pytest.raises(DegenerateDataError, match="the same for all 60 videos"):
        embed(np.ones((60, 2)))
