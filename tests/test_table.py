from __future__ import annotations

import numpy as np
import pytest

from vqa.errors import DegenerateDataError
from vqa.records import FeatureTable
from vqa.train.table import join_blocks


def test_blocks_stand_side_by_side_in_the_order_of_the_table():
    blocks = {"b": np.array([[1, 2], [3, 4]], np.float32), "a": np.array([[5], [np.nan]], np.float32)}
    joined = join_blocks(FeatureTable(("x", "y"), np.array([1.0, 2.0]), None, blocks))
    np.testing.assert_array_equal(joined.features, np.array([[1, 2, 5], [3, 4, np.nan]], np.float32))
    assert joined.features.dtype == np.float32
    assert (joined.widths, joined.names) == ((2, 1), ("b", "a"))


def test_a_table_without_blocks_is_refused():
    with pytest.raises(DegenerateDataError, match="no features to train on"):
        join_blocks(FeatureTable(("x",), np.array([1.0]), None, {}))
