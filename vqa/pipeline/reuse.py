"""Features for scoring that a cache has already, and those that are added to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vqa.cache.key import KeyMemo
from vqa.cache.store import FeatureStore, SegmentWriter
from vqa.errors import CacheError
from vqa.extract.model import Model
from vqa.pipeline.backbones import Backbones
from vqa.pipeline.trusting import has_trained_probe
from vqa.pipeline.versions import library_versions
from vqa.records import VideoFeatures
from vqa.train.bundle import Bundle
from vqa.urls import Place

_ROWS_AT_ONCE = 1024


class FeatureCache:
    """A cache of features, as a bundle may use it: the same candidates, with the same numbers.

    Args:
        root: The cache folder.
        bundle: Checked by `check_told`.
        adding: Whether features that it lacks are to be added.

    Raises:
        CacheError: the folder can't be read, or holds other numbers of a backbone and some are to be added.
    """

    def __init__(self, root: Place, bundle: Bundle, *, adding: bool) -> None:
        self.adding = adding
        self._bundle = bundle
        self._store, self._memo = FeatureStore(root), KeyMemo(root)
        self._held = [set(self._usable_keys(entry)) for entry in bundle.header["models"]]
        self._added: list[tuple[int, str]] = []
        """What was put and is not yet on the disk."""
        self._writers: dict[int, SegmentWriter] = {}

    def _usable_keys(self, entry: Mapping[str, object]) -> frozenset[str]:
        """Return the videos with features of one backbone that are those the bundle was trained on."""
        name, fingerprint = str(entry["name"]), str(entry["fingerprint"])
        stored = self._store.candidate(fingerprint)
        if stored is None:
            return frozenset()
        if stored.weights_sha256 == entry["weights_sha256"] and has_trained_probe(self._bundle, name, stored):
            return self._store.keys(fingerprint)
        if self.adding:
            raise CacheError(
                f"{self._store.root}: its features of {name} are others than those the bundle was trained on; "
                "name another cache, or train on this one's features"
            )
        return frozenset()

    def key(self, video: Place) -> str:
        """Return a video's key; "" where nothing is to be added and no such file was seen: then it is not read.

        Raises:
            VideoError: the file can't be read.
        """
        return self._memo.key(video) if self.adding else self._memo.key_if_seen(video) or ""

    def remember_keys(self) -> None:
        """Store the keys that were found since, where the cache is one that takes several at once."""
        self._memo.flush()

    def means(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[int, NDArray[np.float32]]]]:
        """Yield each video with the time-averaged features that are here, by the place of their backbone."""
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            part = keys[start : start + _ROWS_AT_ONCE]
            found: dict[str, dict[int, NDArray[np.float32]]] = {key: {} for key in part}
            for place, held in enumerate(self._held):
                own = [key for key in found if key in held]
                if own:
                    rows = self._store.read_means(self._fingerprint(place), own)
                    for key, row in zip(own, rows, strict=True):
                        found[key][place] = row
            yield from found.items()

    def features(self, key: str, place: int) -> VideoFeatures | None:
        """Return a backbone's features of a video, None where they are not here."""
        if key not in self._held[place]:
            return None
        found = self._store.read(self._fingerprint(place), key)
        return found if isinstance(found, VideoFeatures) else None

    @contextlib.contextmanager
    def writing(self, backbones: Backbones, models: Mapping[int, Model]) -> Iterator[None]:
        """Add what `put` is given, while the block runs; nothing where features are not to be added."""
        with contextlib.ExitStack() as stack:
            if self.adding:
                versions = library_versions()
                self._writers = {
                    place: stack.enter_context(self._writer(backbones, place, model, versions))
                    for place, model in models.items()
                }
            try:
                yield
            finally:
                self._writers = {}
        for place, key in self._added:
            self._held[place].add(key)
        self._added.clear()
        self._store.refresh()

    def put(self, key: str, place: int, features: VideoFeatures, seconds: float) -> None:
        """Take one backbone's features of a video."""
        if key and place in self._writers:
            self._writers[place].put(key, features, seconds=seconds)
            self._added.append((place, key))

    def _writer(self, backbones: Backbones, place: int, model: Model, versions: Mapping[str, str]) -> SegmentWriter:
        before = backbones.probe(place)
        probe = () if before is None else tuple(before.tolist())
        record = model.candidate.record
        return self._store.writer(record, weights_sha256=model.weights_sha256, versions=versions, probe=probe)

    def _fingerprint(self, place: int) -> str:
        return str(self._bundle.header["models"][place]["fingerprint"])
