"""How an extraction is going: videos done, frames a second, failures so far, as one line for the progress display."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from vqa.pipeline.progress import Progress


class Pace:
    """Counts (video, model) pairs and tells the progress display.

    Args:
        pairs: How many pairs of each video are to be done, by its key.
        progress: Told after every pair.
        clock: Seconds.
    """

    def __init__(
        self, pairs: Mapping[str, int], progress: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = dict(pairs)
        self._total, self._done = sum(pairs.values()), 0
        self._videos = len(pairs)
        self._frames, self._failed = 0, 0
        self._progress, self._clock, self._started = progress, clock, clock()
        self._tell()

    def decoded(self, frames: int) -> None:
        """Count the frames of a decoded video that are looked at."""
        self._frames += frames
        self._tell()

    def finish(self, key: str, pairs: int, *, failed: bool = False) -> None:
        """Count pairs of a video as done; a failed one counts as done, too."""
        self._done += pairs
        self._failed += failed
        self._open[key] -= pairs
        if not self._open[key]:
            del self._open[key]
        self._tell()

    def _tell(self) -> None:
        if not self._total:
            return
        rate = self._frames / max(self._clock() - self._started, 1e-9)
        detail = f"{self._videos - len(self._open)}/{self._videos} videos, {rate:.0f} frames/s"
        if self._failed:
            detail += f", {self._failed} failed"
        self._progress.update("extracting features", self._done, self._total, detail)
