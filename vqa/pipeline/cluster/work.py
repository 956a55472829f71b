"""What the driver and the extractors of a run tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what looks at a node is to start at once
    from vqa.extract.decoding import Stamp
    from vqa.extract.spec import Candidate
    from vqa.files import Downloads
    from vqa.records import Failure
    from vqa.settings import ExtractSettings
    from vqa.urls import Place


@dataclass(frozen=True)
class Order:
    """What every extractor of a run is told first."""

    cache_dir: Place
    settings: ExtractSettings
    retry_failed: bool
    cores: int
    """That it may count on."""
    downloads: Downloads
    """Where weights may come from."""


@dataclass(frozen=True)
class Row:
    """One file of the dataset."""

    video: str
    """Its id."""
    file: Place


@dataclass(frozen=True)
class Todo:
    """A video that some of the run's candidates have not seen."""

    video: str
    file: Place
    key: str
    stamp: Stamp
    models: tuple[int, ...]
    """Positions in the run's list of candidates."""
    seconds: float
    """About how long it lasts."""
    tries: int = 0
    """How often an extractor died while it had it."""
    begun: bool = False
    """Whether an extractor had it that died, and may have done some of it."""
    again: bool = False
    """Whether it may be done by now under another name."""


@dataclass(frozen=True)
class Looked:
    """What a chunk of rows was found to be."""

    keys: tuple[str, ...]
    """Of the files that can be read."""
    held: tuple[tuple[int, ...], ...]
    """For each of them the candidates that have seen it."""
    todo: tuple[Todo, ...]
    failures: tuple[Failure, ...]
    """What stands against these rows and this run's candidates and is not tried again."""


@dataclass(frozen=True)
class Settled:
    """The candidates of a run, as all its extractors are to run them."""

    candidates: tuple[Candidate, ...]
    unavailable: Mapping[str, str]
    """Those that can't be had, with the reason."""


@dataclass(frozen=True)
class Prepared:
    """Models that an extractor has loaded."""

    weights_sha256: Mapping[int, str]
    """By the position of the candidate."""
    probes: Mapping[int, tuple[float, ...]]
    """Their features of the probe clip."""
    unavailable: Mapping[int, str]
    """Those that can't be had on this node, with the reason."""


@dataclass(frozen=True)
class Done:
    """What became of a block; its features are on the disk."""

    stored: Mapping[int, int]
    """Pairs that were added, by the position of the candidate."""
    seconds: Mapping[int, float]
    """Time in the network."""
    decoded: int
    """Videos."""
    failures: tuple[Failure, ...]

    def joined(self, other: Done) -> Done:
        """Return what both say together."""
        places = {**self.stored, **other.stored}
        stored = {place: self.stored.get(place, 0) + other.stored.get(place, 0) for place in places}
        seconds = {**self.seconds, **other.seconds}
        return Done(stored, seconds, self.decoded + other.decoded, self.failures + other.failures)


@dataclass(frozen=True)
class Pulse:
    """How far an extractor is with blocks that are not done, for the display alone."""

    pairs: int
    frames: int
    """Of all its blocks, done or not."""
