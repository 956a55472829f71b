"""The degraded versions of each content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vqa.demo.sources import HEIGHT, WIDTH, Content

LIGHTEST, HEAVIEST = "light", "heavy"

ENCODER = (
    *("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-an"),
    *("-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-pix_fmt", "yuv420p"),
    *("-movflags", "+faststart", "-f", "mp4"),
)
"""FFmpeg's options for every clip. One thread, no dates, no program versions: the same input gives the same bytes."""


@dataclass(frozen=True)
class Version:
    """One way to degrade a reference: filters, then H.264."""

    name: str
    crf: int
    """Constant rate factor of x264, 0 (lossless) to 51 (worst)."""
    filters: str = "null"


@dataclass(frozen=True)
class Clip:
    """One clip that is to be made."""

    group: str
    """Its content, numbered."""
    content: Content
    version: Version

    @property
    def id(self) -> str:
        """File name without `.mp4`."""
        return f"{self.group}_{self.version.name}"

    @property
    def recipe(self) -> str:
        """All that decides the clip's bytes; a clip of another recipe is made anew."""
        content, version = self.content, self.version
        return " | ".join((content.source.sha256, content.filters, version.filters, f"crf {version.crf}", *ENCODER))


def plan_clips(contents: Sequence[Content]) -> tuple[Clip, ...]:
    """Return every clip of the given contents, five versions each."""
    return tuple(
        Clip(f"{number:02d}-{content.name}", content, version)
        for number, content in enumerate(contents, start=1)
        for version in versions_of(number)
    )


def versions_of(number: int) -> tuple[Version, ...]:
    """Return the versions of the content of that number.

    The levels go round with the number, so that labels fill the scale instead of heaping up at a few values.
    """
    turn = number % 3
    part = (2, 3, 4)[turn]
    small = f"{WIDTH // part // 2 * 2}:{HEIGHT // part // 2 * 2}"
    rescaled = f"scale={small}:flags=bicubic,scale={WIDTH}:{HEIGHT}:flags=bicubic"
    noisy = Version("noisy", 28, f"noise=all_seed={number}:c0_strength={(16, 22, 10)[turn]}:c0_flags=t")
    blurred = Version("blurred", 20, f"gblur=sigma={(1.0, 1.6, 2.4)[turn]}")
    return (
        Version(LIGHTEST, (18, 19, 20)[turn]),
        Version("medium", (31, 35, 39)[turn]),
        Version(HEAVIEST, (44, 46, 48)[turn]),
        Version("rescaled", 20, rescaled),
        noisy if number % 2 else blurred,
    )
