"""When each frame of a video is shown, and where decoding may begin."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.streams import StreamChoice
from vqa.extract.tags import StreamTags

DEFAULT_MAX_SECONDS = 6 * 3600.0
PACKETS = "packets"
"""Where times come from, as a rule."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each frame of a video is shown."""

    pts: NDArray[np.int64]
    """Presentation times in ascending order, shape (N,), in ticks."""
    end: int
    """When the last frame leaves the screen, in ticks."""
    time_base: Fraction
    """Seconds per tick."""
    keys: NDArray[np.intp]
    """Indices of the key frames that decoding may jump to, in ascending order, shape (K,)."""
    key_dts: NDArray[np.int64]
    """When these are decoded, shape (K,), in ticks: some containers are searched by it."""
    choice: StreamChoice
    """Which video stream of the file it is."""
    tags: StreamTags
    """What is said of the colour and the cropping of all its frames."""
    places: NDArray[np.intp] | None = None
    """Which of the decoder's frames these are, ascending, shape (N,); None where frames are known by their times."""
    source: str = PACKETS
    """Where the times come from, in a few words."""
    dropped: int = 0
    """Pictures that are not shown, since what they refer to is not there."""
    unreadable: int = 0
    """Pictures that the decoder could not read, or not without damage."""

    @property
    def pts_seconds(self) -> NDArray[np.float64]:
        """Presentation times from the start of the video, shape (N,), in seconds."""
        seconds: NDArray[np.float64] = (self.pts - self.pts[0]) * float(self.time_base)
        return seconds

    @property
    def end_seconds(self) -> float:
        """Duration in seconds."""
        return float((self.end - int(self.pts[0])) * self.time_base)

    @property
    def jumps(self) -> bool:
        """Whether decoding may begin anywhere but at the start."""
        return bool((self.keys > 0).any())


def require_two(frames: int) -> None:
    """Refuse what is no video."""
    if frames < 2:
        raise VideoError(f"the video stream has {frames} frame(s); a video needs at least 2")


class LengthLimit:
    """Refuses a video as soon as a part of it is longer than allowed."""

    def __init__(self, time_base: Fraction, max_seconds: float) -> None:
        self._max_seconds, self._max_ticks = max_seconds, max_seconds / float(time_base)
        self._first: int | None = None

    def begin_anew(self) -> None:
        """Let the next time be the first of a part."""
        self._first = None

    def check(self, pts: int) -> None:
        """Take a time, in ticks."""
        if self._first is None:
            self._first = pts
        self.check_whole(pts - self._first)

    def check_whole(self, ticks: float) -> None:
        """Refuse what lasts longer."""
        if ticks > self._max_ticks:
            raise VideoError(
                f"it lasts longer than the limit of {self._max_seconds:g} s; raise max_duration_seconds, "
                "or cut it into parts"
            )
