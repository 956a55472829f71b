"""Candidates one at a time: each is prepared, measured by some criteria, and let go of but for a sample of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from vqa.errors import DegenerateDataError
from vqa.select.criteria import Criterion
from vqa.select.preparing import Prepared, prepare_candidate
from vqa.select.target import Target

SAMPLE_ROWS = 2000
"""Ours: criteria whose cost grows with the square of the rows see at most this many, the same for all candidates."""

NamedBlock = tuple[str, NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Line:
    """One candidate's figures."""

    sample: Prepared
    """Its features on the sampled rows."""
    values: Mapping[str, float]
    """By name of the criterion."""
    unmeasured: Mapping[str, str]
    """Criteria that have no figure of it, each with the reason."""


@dataclass(frozen=True)
class Refused:
    """A candidate that can't be ranked."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Measurer:
    """Measures one candidate after the other against one target.

    Args:
        target: Of all N rows.
        rows: Those of the sample.
        criteria: What to measure.
        required: Names of criteria without which a candidate is refused.
        common_width: Columns that cluster indices see.
    """

    target: Target
    rows: NDArray[np.intp]
    criteria: tuple[Criterion, ...]
    required: frozenset[str]
    common_width: int

    def measure(self, name: str, block: NDArray[np.floating]) -> Line | Refused:
        """Measure one candidate."""
        try:
            whole = prepare_candidate(name, block, common_width=self.common_width)
            sample = whole.take(self.rows)
            if not np.ptp(sample.space, axis=0).any():
                raise DegenerateDataError(f"features are the same for all of {len(self.rows)} videos drawn at random")
            return self._line(whole, sample)
        except DegenerateDataError as error:
            return Refused(name, str(error))

    def _line(self, whole: Prepared, sample: Prepared) -> Line:
        sampled = self.target.take(self.rows)
        values, unmeasured = {}, {}
        for criterion in self.criteria:
            if criterion.measure is None:
                continue
            seen = (whole, self.target) if criterion.all_rows else (sample, sampled)
            try:
                values[criterion.name] = criterion.measure(*seen).value
            except DegenerateDataError as error:
                if criterion.name in self.required:
                    raise
                unmeasured[criterion.name] = str(error)
        return Line(sample, values, unmeasured)

    def measure_stream(self, blocks: Iterable[NamedBlock]) -> Iterator[Line | Refused]:
        """Measure each candidate while the next one is read; no more than the two are held."""
        with ThreadPoolExecutor(1, initializer=lambda: one_thread().limit(limits=1)) as pool:  # OpenMP's is by thread
            measured: Future[Line | Refused] | None = None
            for name, block in blocks:
                if measured is not None:
                    yield measured.result()
                measured = pool.submit(self.measure, name, block)
            if measured is not None:
                yield measured.result()


def sample_rows(rows: int, random_state: int) -> NDArray[np.intp]:
    """Return the numbers of at most `SAMPLE_ROWS` rows, ascending."""
    if rows <= SAMPLE_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(random_state).choice(rows, SAMPLE_ROWS, replace=False))


@cache
def one_thread() -> ThreadpoolController:
    """Return what can hold the numeric libraries to one thread.

    Matrices are small here: more threads gain little, and lose much where other work runs on the same cores.
    """
    return ThreadpoolController()
