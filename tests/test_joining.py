"""Rows are joined by id, never by position."""

import numpy as np
import pytest

from vqa.errors import TableError
from vqa.pipeline.joining import check_mos, columns_like_mos, join_ids


def test_ids_are_joined_whatever_their_order_suffix_and_folder():
    joined = join_ids(["c.mp4", "videos/a", "x", "b"], ["a.mkv", "b.mp4", "batch1/c", "d"])
    assert joined.rows == {"batch1/c": 0, "a.mkv": 1, "b.mp4": 3}
    assert joined.unknown == ("x",)
    assert joined.without == ("d",)


def test_a_whole_id_goes_before_the_end_of_a_path():
    joined = join_ids(["a/1", "1"], ["1", "b/2"])
    assert joined.rows == {"1": 1}
    assert joined.unknown == ("a/1",)


def test_an_id_that_fits_two_videos_or_two_ids_that_fit_one_are_refused():
    with pytest.raises(TableError, match=r"id '1' fits both 'a/1' and 'b/1\.mp4'; write more of its path"):
        join_ids(["1"], ["a/1", "b/1.mp4"])
    with pytest.raises(TableError, match=r"id 'a' fits both 'a.mp4' and 'a.mkv'"):
        join_ids(["a"], ["a.mp4", "a.mkv"])
    with pytest.raises(TableError, match="ids 'x/1' and 'y/1' are both '1'; keep one of them"):
        join_ids(["x/1", "y/1"], ["1"])


def test_ids_are_joined_whatever_their_unicode_form():
    composed, decomposed = "K\u00e4se", "Ka\u0308se"
    assert join_ids([decomposed, "b"], ["b", f"a/{composed}.mp4"]).rows == {"b": 1, f"a/{composed}.mp4": 0}
    with pytest.raises(TableError, match="which look alike and differ in their Unicode form; keep one of them"):
        join_ids([composed, decomposed], [composed])


MOS = np.linspace(1, 5, 11)
IDS = [f"v{row}" for row in range(11)]


def test_scores_in_another_order_are_found():
    order = [1, 0, 2, 3, 4, 5, 6, 7, 10, 9, 8]
    with pytest.raises(TableError) as caught:
        check_mos(IDS, MOS[order], MOS)
    assert str(caught.value) == (
        "4 of 11 MOS are not those of the dataset's labels (v0: 1.4 and 1; correlation 0.955); the rows look shuffled: "
        "check which id belongs to which row"
    )


def test_scores_on_another_scale_are_told_from_shuffled_ones():
    with pytest.raises(TableError, match=r"\(v0: 20 and 1; correlation 1.000\); they are on another scale"):
        check_mos(IDS, np.round(MOS * 20), MOS)


def test_scores_that_are_rounded_otherwise_or_not_known_agree():
    table = MOS + 0.0039
    table[3] = np.nan
    check_mos(IDS, table, MOS)
    check_mos(IDS, np.full(11, np.nan), MOS)
    with pytest.raises(TableError, match="10 of 10 MOS"):
        check_mos(IDS, table + 0.0002, MOS)


def test_features_that_are_ratings_are_counted():
    mos = np.linspace(1, 5, 30)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(30, 4)).astype(np.float32)
    assert columns_like_mos(noise, mos) == 0
    values = np.column_stack([noise, -mos, mos + 0.1 * noise[:, 0], np.ones(30)]).astype(np.float32)
    values[4, 4] = np.nan
    assert columns_like_mos(values, mos) == 2
    assert columns_like_mos(values[:5], mos[:5]) == 0
    assert columns_like_mos(np.full((30, 2), np.nan, np.float32), mos) == 0
