"""Hashes of what results stand on; by them a result that is older than its labels or features is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from vqa.dataset import VideoRow
from vqa.records import FeatureTable


def data_sha256(table: FeatureTable, fingerprints: Sequence[str]) -> str:
    """Return a hash of what a regressor was trained on: ids, scores, groups and candidates."""
    rows = sorted(zip(table.ids, table.mos.tolist(), table.groups or [""] * len(table.ids), strict=True))
    return hashlib.sha256(json.dumps([rows, list(fingerprints)]).encode()).hexdigest()


def rows_sha256(rows: Sequence[VideoRow], ids: Sequence[str], fingerprints: Sequence[str] = ()) -> str:
    """Return the hash that `data_sha256` gives a table of the rows with some ids; no features are read."""
    wanted = frozenset(ids)
    used = [row for row in rows if row.id in wanted]
    groups = tuple(row.group or "" for row in used) if used and all(row.group for row in used) else None
    mos = np.array([row.mos for row in used], dtype=np.float64)
    return data_sha256(FeatureTable(tuple(row.id for row in used), mos, groups, {}), fingerprints)
