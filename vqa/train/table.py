"""One matrix from the features of several backbones, and the hash that names its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError
from vqa.records import FeatureTable


@dataclass(frozen=True, eq=False)
class JoinedBlocks:
    """The blocks of a feature table side by side."""

    features: NDArray[np.float32]
    """Shape (N, sum of widths)."""
    widths: tuple[int, ...]
    """D of each candidate."""
    names: tuple[str, ...]
    """The candidates' text forms, in the order of the blocks."""


def join_blocks(table: FeatureTable) -> JoinedBlocks:
    """Put a table's blocks side by side, in the table's order.

    Raises:
        DegenerateDataError: the table has no block.
    """
    if not table.blocks:
        raise DegenerateDataError("there are no features to train on; run `vqa extract` first")
    blocks = list(table.blocks.values())
    joined = np.concatenate(blocks, axis=1, dtype=np.float32)
    return JoinedBlocks(joined, tuple(block.shape[1] for block in blocks), tuple(table.blocks))


def table_sha256(table: FeatureTable) -> str:
    """Return a SHA-256 over ids, scores, groups and features in their order, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    names = [table.ids, table.groups, tuple((name, block.shape) for name, block in table.blocks.items())]
    digest.update(repr(names).encode())
    digest.update(np.ascontiguousarray(table.mos, dtype="<f8").tobytes())
    for block in table.blocks.values():
        digest.update(np.ascontiguousarray(block, dtype="<f4").tobytes())
    return digest.hexdigest()
