"""Which pairs of a video and a candidate a cache lacks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from vqa.cache.folder import DamagedLines
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore
from vqa.errors import CacheError
from vqa.extract.decoding import Stamp, read_stamp
from vqa.extract.rules import rules_versions
from vqa.records import EVERY_CANDIDATE, Failure
from vqa.urls import Place


@dataclass(frozen=True)
class KnownFile:
    """A video's file, as it was when it was read."""

    key: str
    stamp: Stamp


def note_of(lines: DamagedLines) -> str:
    """Say that an extraction met damaged lines."""
    return f"{lines}: what stood there is found out anew; `vqa cache verify --repair` drops what is damaged"


class PairFinder:
    """Tells what is to be done, from the cache as it was found; after `refresh`, as it is.

    Args:
        cache_dir: The cache folder.
        retry_failed: Whether pairs that failed are to be tried again.
    """

    def __init__(self, cache_dir: Place, *, retry_failed: bool) -> None:
        self.store = FeatureStore(cache_dir)
        self.ledger = Ledger(cache_dir)
        self._memo = KeyMemo(cache_dir)
        self._retry_failed = retry_failed

    def refresh(self) -> None:
        """Look for what others stored meanwhile."""
        self.store.refresh()

    def look_at(self, file: Place) -> KnownFile:
        """Return what a video's file is; one that was never seen is read whole.

        Raises:
            VideoError: it can't be read.
        """
        # The stamp is taken first: whatever changes from here on, the decode worker will notice.
        stamp = read_stamp(file)
        return KnownFile(self._memo.key(file), stamp)

    def damaged(self) -> tuple[DamagedLines, ...]:
        """Return which files of the cache have damaged lines; what they told is found out anew."""
        return self._memo.damaged() + self.ledger.damaged()

    def drop_damaged(self) -> None:
        """Take those lines out once the keys of all videos are known; a cache that can only be read keeps them."""
        with contextlib.suppress(CacheError):
            if self.damaged():
                self._memo.drop_damaged()
                self.ledger.drop_damaged()

    def flush(self) -> None:
        """Let later runs know the files that were looked at."""
        self._memo.flush()

    def is_due(self, key: str, fingerprint: str) -> bool:
        """Return whether a pair that the cache lacks is to be tried: it did not fail, or such are tried again."""
        return self._retry_failed or standing_failure(self.ledger, key, fingerprint) is None


def standing_failure(ledger: Ledger, key: str, fingerprint: str) -> Failure | None:
    """Return why a pair is not tried again; None where that may pass: other decoding rules, a kill from outside."""
    failure = ledger.failed(key, fingerprint)
    if failure is not None and failure.fingerprint == EVERY_CANDIDATE and failure.rules != rules_versions():
        return None
    return failure if failure is None or failure.stands else None
