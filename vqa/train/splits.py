"""Repeated train/test splits: seeded, by content where contents are known, kept in a file with its hash."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from vqa.errors import DegenerateDataError
from vqa.files import sha256_of, write_text
from vqa.records import Split

_FEWEST_TEST_ROWS = 3
_FEWEST_TRAINING_ROWS = 4


def content_splits(
    groups: Sequence[str] | None,
    rows: int,
    *,
    count: int,
    test_fraction: float = 0.2,
    random_state: int = 0,
) -> tuple[Split, ...]:
    """Split rows at random into training and test rows, several times; a group goes to one side as a whole.

    Split i = 1, 2, ... is seeded with ceil(8.8 i) + random_state. With the defaults and without groups these are the
    splits of the UGC benchmark (Tu et al., UGC-VQA, IEEE TIP 2021, code vztu/BVQA_Benchmark).

    Args:
        groups: Source content of each row, or None where it is not known.
        rows: N.
        count: Number of splits.
        test_fraction: Share of the rows, or of the groups, in the test part; between 0 and 1.
        random_state: 0 or more.

    Raises:
        DegenerateDataError: too few groups or rows for a training part of 4 rows and a test part of 3, or a fraction
            that is none.
    """
    if count < 1 or not 0 < test_fraction < 1:
        raise DegenerateDataError(
            f"{count} splits with a test fraction of {test_fraction:g} can't be made; "
            "use 1 or more splits and a fraction between 0 and 1"
        )
    if rows < _FEWEST_TEST_ROWS + _FEWEST_TRAINING_ROWS:
        raise DegenerateDataError(f"{rows} labelled videos are too few to split for a test; add labelled videos")
    if groups is not None and len(set(groups)) < 2:
        raise DegenerateDataError(
            "all videos show one content, so no test content is left; "
            "add videos of another content, or correct the group column"
        )
    whole = rows if groups is None else len(set(groups))
    if math.ceil(test_fraction * whole) >= whole:
        raise DegenerateDataError(
            f"a test fraction of {test_fraction:g} leaves none of {whole} videos or contents to train on; lower it"
        )
    splits = tuple(
        _split(groups, rows, test_fraction, math.ceil(8.8 * (index + 1)) + random_state) for index in range(count)
    )
    smallest_test = min(len(split.test) for split in splits)
    smallest_training = min(len(split.train) for split in splits)
    if smallest_test < _FEWEST_TEST_ROWS or smallest_training < _FEWEST_TRAINING_ROWS:
        raise DegenerateDataError(
            f"a split of {rows} videos leaves {smallest_training} for training and {smallest_test} for the test; "
            "add labelled videos, or change the test fraction"
        )
    return splits


def _split(groups: Sequence[str] | None, rows: int, test_fraction: float, seed: int) -> Split:
    """Make one split."""
    kind = ShuffleSplit if groups is None else GroupShuffleSplit
    maker = kind(1, test_size=test_fraction, random_state=seed)
    labels = None if groups is None else np.asarray(groups)
    train, test = next(maker.split(np.zeros(rows), groups=labels))
    return Split(train, test)


def write_splits(path: Path, splits: Sequence[Split], ids: Sequence[str]) -> str:
    """Write splits as JSON by video id, whole or not at all.

    Returns:
        The SHA-256 of the file's bytes, 64 hexadecimal digits.
    """
    rows = [{"train": [ids[i] for i in split.train], "test": [ids[i] for i in split.test]} for split in splits]
    write_text(path, json.dumps({"schema": 1, "splits": rows}, ensure_ascii=False, indent=1) + "\n")
    return sha256_of(path)
