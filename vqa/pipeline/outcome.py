"""What an extraction did, on this machine or on many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vqa.extract.spec import Candidate
from vqa.records import Failure


@dataclass(frozen=True)
class CandidateWork:
    """What was done for one candidate."""

    candidate: Candidate
    stored: int
    """Videos whose features were added."""
    cached: int
    """Videos whose features were there before."""
    seconds: float
    """Time in the network."""


@dataclass(frozen=True)
class Outcome:
    """What was done for all."""

    videos: int
    """Distinct videos of the dataset whose file can be read."""
    decoded: int
    """Videos decoded, each once."""
    work: tuple[CandidateWork, ...]
    failures: tuple[Failure, ...]
    """Of the dataset's videos with these candidates, old and new."""
    unavailable: Mapping[str, str]
    """Candidates that could not be loaded, with the reason."""
