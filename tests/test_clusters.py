from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.clusters import mos_clusters
from vqa.errors import DegenerateDataError


def test_bins_of_equal_width_put_each_score_into_its_interval():
    mos = np.array([1.0, 1.9, 2.0, 2.9, 3.0, 3.1, 4.0])  # edges 1, 2, 3, 4: a score on one belongs to the better bin
    clusters = mos_clusters(mos, bins=3)
    assert clusters.labels.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert clusters.sizes == (2, 2, 3)
    assert clusters.merges == ()
    assert clusters.borders == (1.0, 2.0, 3.0, 4.0)


def test_bins_of_equal_count_hold_as_many_videos_whatever_their_scores():
    mos = np.array([1.0, 1.1, 1.2, 1.3, 50.0, 100.0])
    assert mos_clusters(mos, bins=3, rule="count").labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_bin_with_one_row_joins_its_smaller_neighbour_and_says_so():
    mos = np.array([0.0, 0.5, 0.9, 1.5, 2.2, 2.9, 3.0])  # bins 0-1, 1-2, 2-3 hold 3, 1 and 3 rows: equal, so the lower
    clusters = mos_clusters(mos, bins=3)
    assert clusters.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert clusters.sizes == (4, 3)
    assert clusters.borders == (0.0, 2.0, 3.0)
    assert clusters.merges == ("the bin 1 to 2 has 1 row and was merged with 0 to 1",)


def test_empty_bins_are_merged_until_none_is_left():
    mos = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 9.8, 9.9, 10.0])
    clusters = mos_clusters(mos, bins=4)
    assert clusters.sizes == (5, 3)
    assert len(clusters.merges) == 2


def test_eleven_videos_are_too_few_for_six_bins_and_the_message_says_what_to_do():
    with pytest.raises(DegenerateDataError) as caught:
        mos_clusters(np.arange(11.0))
    assert str(caught.value) == (
        "11 labelled videos are too few for 6 MOS bins, which need 12; add labelled videos, or lower bins in vqa.toml"
    )


def test_equal_scores_are_refused():
    with pytest.raises(DegenerateDataError, match="all 20 videos have the MOS 3"):
        mos_clusters(np.full(20, 3.0))


@pytest.mark.parametrize(("bins", "rule"), [(0, "width"), (2, "median")])
def test_bins_that_can_not_be_made_are_refused(bins, rule):
    with pytest.raises(DegenerateDataError):
        mos_clusters(np.arange(20.0), bins=bins, rule=rule)


@given(st.lists(st.floats(0, 100), min_size=12, max_size=60), st.sampled_from(["width", "count"]))
def test_clusters_are_ordered_whole_and_of_two_rows_or_more(scores, rule):
    mos = np.array(scores)
    if mos.min() == mos.max():
        return
    clusters = mos_clusters(mos, rule=rule)
    assert np.bincount(clusters.labels).tolist() == list(clusters.sizes)
    assert min(clusters.sizes) >= 2
    for label in range(1, len(clusters.sizes)):
        assert mos[clusters.labels == label - 1].max() <= mos[clusters.labels == label].min()
