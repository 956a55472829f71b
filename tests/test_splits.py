from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from vqa.errors import DegenerateDataError
from vqa.train.splits import content_splits, write_splits


def test_without_groups_the_splits_are_those_of_the_ugc_benchmark():
    for index, split in enumerate(content_splits(None, 50, count=10), start=1):
        train, test = train_test_split(np.arange(50), test_size=0.2, random_state=math.ceil(8.8 * index))
        assert split.train.tolist() == train.tolist()
        assert split.test.tolist() == test.tolist()


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(8, 15))
def test_no_content_stands_on_both_sides_and_no_row_is_lost(random_state, contents):
    groups = [f"content {row % contents}" for row in range(5 * contents)]
    for split in content_splits(groups, len(groups), count=2, random_state=random_state):
        assert not {groups[i] for i in split.train} & {groups[i] for i in split.test}
        assert sorted([*split.train, *split.test]) == list(range(5 * contents))


def test_thirteen_contents_of_five_versions_leave_three_contents_for_the_test():
    groups = [f"c{row // 5}" for row in range(65)]
    splits = content_splits(groups, 65, count=20)
    assert {(len(split.train), len(split.test)) for split in splits} == {(50, 15)}
    assert len({tuple(split.test) for split in splits}) > 10


def test_one_content_can_not_be_split():
    with pytest.raises(DegenerateDataError, match="all videos show one content"):
        content_splits(["a"] * 30, 30, count=1)


def test_six_videos_are_too_few():
    with pytest.raises(DegenerateDataError, match="6 labelled videos are too few"):
        content_splits(None, 6, count=1)


def test_a_test_part_of_two_rows_is_refused():
    with pytest.raises(DegenerateDataError, match="leaves 8 for training and 2 for the test"):
        content_splits(None, 10, count=1)


@pytest.mark.parametrize(("count", "fraction"), [(0, 0.2), (3, 0.0), (3, 1.0)])
def test_splits_that_can_not_be_made_are_refused(count, fraction):
    with pytest.raises(DegenerateDataError, match="can't be made"):
        content_splits(None, 30, count=count, test_fraction=fraction)


def test_the_file_names_videos_and_the_hash_is_that_of_its_bytes(tmp_path):
    splits = content_splits(None, 20, count=2)
    path = tmp_path / "splits.json"
    digest = write_splits(path, splits, [f"vidéo {i}" for i in range(20)])
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert write_splits(tmp_path / "again.json", splits, [f"vidéo {i}" for i in range(20)]) == digest
    written = json.loads(path.read_text(encoding="utf-8"))["splits"]
    assert written[1]["test"] == [f"vidéo {i}" for i in splits[1].test]
    assert len(written[0]["train"]) == 16


def test_a_test_fraction_that_leaves_none_to_train_on_is_refused():
    with pytest.raises(DegenerateDataError, match=r"a test fraction of 0\.99 leaves none of 60 videos or contents"):
        content_splits(None, 60, count=1, test_fraction=0.99)
