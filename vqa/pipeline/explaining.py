"""Why a video has its score: what each backbone and each moment moved.

Backbones: Shapley values (L. S. Shapley, "A value for n-person games", 1953), exact. The players are the backbones; a
set of them is worth the score with the features of all others unknown, which the scorer fills with their training
medians. The values add up to the score minus that of a video of which nothing is known.

Moments: what the score would lose without one, everything else as it is. A video network's one clip belongs to no
moment. These do not add up to anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vqa.cache.store import time_average
from vqa.errors import VideoError, VqaError
from vqa.pipeline.gathering import Gathered, LoadedBundle, Wanted, gather
from vqa.pipeline.sources import Source
from vqa.records import Reading, VideoFeatures
from vqa.report.notebook import table_html
from vqa.train.bundle import Bundle

MOST_BACKBONES = 12
"""Beyond it the 2 ** K sets of backbones are too many."""
_SETS_AT_ONCE = 256


@dataclass(frozen=True)
class BackboneShare:
    """What one backbone did to a score."""

    name: str
    moved: float
    """Its Shapley value, on the scale of the score; above 0 where it raised the score."""


@dataclass(frozen=True)
class MomentShare:
    """What one moment did to a score."""

    seconds: float
    """Its middle, from the video's first frame."""
    moved: float
    """Score of the video minus that without the moment; above 0 where it raised the score."""


@dataclass(frozen=True)
class Explanation:
    """Why a video has its score."""

    video: str
    score: float
    baseline: float
    """Score of a video of which nothing is known: all features are the medians of training."""
    scale: tuple[float, float]
    """Worst and best of the training labels' scale."""
    backbones: tuple[BackboneShare, ...]
    """Those that moved it most first; with the baseline they add up to the score."""
    moments: tuple[MomentShare, ...]
    """In the order of time."""
    reading: Reading | None = None
    """How the file was read; None where nothing was decoded."""

    def _repr_html_(self) -> str:
        rows = [("a video of which nothing is known", f"{self.baseline:.2f}")]
        rows += [(one.name, f"{one.moved:+.2f}") for one in self.backbones]
        rows += [(f"{self.video}: score", f"{self.score:.2f}")]
        moments = [(f"{one.seconds:.2f} s", f"{one.moved:+.2f}") for one in self.moments]
        return table_html(("what", "score"), rows) + table_html(("moment", "moved"), moments)


def explain_video(loaded: LoadedBundle, source: Source) -> Explanation:
    """Explain the score of a video; errors as of `Scorer.explain`."""
    cache, key = loaded.cache, source.key
    held = {place: None if cache is None else cache.features(key, place) for place in loaded.places}
    features = {place: found for place, found in held.items() if found is not None}
    lacking = tuple(place for place in loaded.places if place not in features)
    computed: list[Gathered[VideoFeatures]] = []

    if lacking:
        wanted = Wanted(source.name, source.content, lacking, key, source.stamp)
        gather(loaded, [wanted], lambda one: one, lambda _, one: computed.append(one))
    if any(one.reason for one in computed):
        raise VideoError(f"{source.name}: {computed[0].reason}")
    features |= {place: found for one in computed for place, found in one.values.items()}
    named = {loaded.bundle.names[place]: features[place] for place in loaded.places}
    explained = explain_score(loaded.bundle, named, source.name, loaded.scale)
    return replace(explained, reading=computed[0].reading if computed else None)


def explain_score(
    bundle: Bundle, features: Mapping[str, VideoFeatures], video: str, scale: tuple[float, float]
) -> Explanation:
    """Explain the score of one video.

    Args:
        bundle: Has scored it.
        features: Of all its backbones, by their text forms.
        video: What to call it.
        scale: Of the score.

    Raises:
        VqaError: the bundle has too many backbones.
    """
    names = bundle.names
    if len(names) > MOST_BACKBONES:
        raise VqaError(
            f"a bundle of {len(names)} backbones takes 2^{len(names)} scores to explain; "
            f"select {MOST_BACKBONES} or fewer, and train again"
        )
    means = {name: time_average(features[name]) for name in names}
    worths = _worths(bundle, means)
    values = _shapley(worths, len(names))
    order = np.argsort(-np.abs(values), kind="stable")
    return Explanation(
        video=video,
        score=float(worths[-1]),
        baseline=float(worths[0]),
        scale=scale,
        backbones=tuple(BackboneShare(names[place], float(values[place])) for place in order),
        moments=_moments(bundle, features, means, float(worths[-1])),
    )


def _worths(bundle: Bundle, means: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the score with each set of known backbones, shape (2 ** K,); bit n of a place stands for backbone n."""
    worths = []
    for sets in np.array_split(np.arange(2 ** len(means)), max(1, 2 ** len(means) // _SETS_AT_ONCE)):
        known = {name: (sets >> place & 1)[:, None] for place, name in enumerate(means)}
        blocks = {name: np.where(known[name], mean, np.nan) for name, mean in means.items()}
        worths.append(bundle.predict(blocks).scores)
    return np.concatenate(worths)


def _shapley(worths: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return each player's mean gain over all orders in which they may come, shape (K,)."""
    sets = np.arange(len(worths))
    sizes = np.array([int(one).bit_count() for one in sets])
    orders = [math.factorial(size) * math.factorial(count - size - 1) for size in range(count)]
    shares = np.array([*orders, 0]) / math.factorial(count)
    values = []
    for player in range(count):
        without = sets[sets >> player & 1 == 0]
        values.append(float(shares[sizes[without]] @ (worths[without | 1 << player] - worths[without])))
    return np.array(values)


def _moments(
    bundle: Bundle, features: Mapping[str, VideoFeatures], means: Mapping[str, NDArray[np.float32]], score: float
) -> tuple[MomentShare, ...]:
    """Leave out each moment; moments are the instants of the backbone that looks at most of them."""
    finest = max(features.values(), key=lambda one: len(one.pts_seconds)).pts_seconds
    if len(finest) < 2:
        return ()
    borders = (finest[:-1] + finest[1:]) / 2
    blocks = {name: _without_each(features[name], mean, borders) for name, mean in means.items()}
    left = bundle.predict(blocks).scores
    return tuple(MomentShare(float(middle), score - float(other)) for middle, other in zip(finest, left, strict=True))


def _without_each(
    features: VideoFeatures, mean: NDArray[np.float32], borders: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the time averages without the rows of each moment, shape (moments, D); all rows where none would stay."""
    moment_of = np.searchsorted(borders, features.pts_seconds, side="right")
    averages = []
    for moment in range(len(borders) + 1):
        rows = np.flatnonzero(moment_of != moment)
        whole = len(rows) in (0, len(moment_of))
        averages.append(mean if whole else time_average(features.take(rows)))
    return np.stack(averages)
