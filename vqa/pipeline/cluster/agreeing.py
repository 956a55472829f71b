"""What the extractors of a run must agree on: the weights of each model, and what it gives for the probe clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.errors import ProbeError, WeightsError
from vqa.extract.probe import probes_agree
from vqa.extract.spec import Candidate
from vqa.pipeline.cluster.work import Prepared


class Agreement:
    """The models of a run as the first extractor loaded them.

    Args:
        candidates: Of the run.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = candidates
        self._weights: dict[int, tuple[str, str]] = {}
        """SHA-256, and the node that loaded it first."""
        self._probes: dict[int, tuple[float, ...]] = {}
        self._lacking: dict[int, tuple[str, str]] = {}
        """Why a candidate can't be had, and on which node."""

    @property
    def unavailable(self) -> Mapping[int, str]:
        """Candidates that can't be had on any node, with the reason."""
        return {place: reason for place, (reason, _) in self._lacking.items()}

    def take(self, node: str, prepared: Prepared) -> Mapping[int, tuple[float, ...]]:
        """Compare what a node has loaded with what the others have.

        Returns:
            For each of its candidates the features of the probe clip that all are to name.

        Raises:
            WeightsError: a candidate is to be had on some nodes only, or has other weights on this one.
            ProbeError: a candidate gives other numbers on this one.
        """
        for place, reason in prepared.unavailable.items():
            if place in self._weights:
                raise self._uneven(place, node, reason, self._weights[place][1])
            self._lacking.setdefault(place, (reason, node))
        for place, digest in prepared.weights_sha256.items():
            if place in self._lacking:
                reason, other = self._lacking[place]
                raise self._uneven(place, other, reason, node)
            self._check(place, node, digest, prepared.probes[place])
        return {place: self._probes[place] for place in prepared.weights_sha256}

    def _check(self, place: int, node: str, digest: str, probe: tuple[float, ...]) -> None:
        first, other = self._weights.setdefault(place, (digest, node))
        candidate = self._candidates[place]
        if digest != first:
            raise WeightsError(
                f"{candidate}: its weights on {node} are not those on {other}; "
                "name one folder that all nodes see as --weights-dir"
            )
        if not probes_agree(self._probes.setdefault(place, probe), probe, precision=candidate.precision):
            raise ProbeError(
                f"{candidate}: gives other numbers on {node} than on {other}, beyond rounding; install the same "
                "versions on both, say --precision float32, or leave one of them out of the cluster"
            )

    def _uneven(self, place: int, without: str, reason: str, having: str) -> WeightsError:
        return WeightsError(
            f"{self._candidates[place]}: can't be had on {without} ({reason}), while {having} has it; "
            "fetch it there with `vqa models fetch`, or name one folder that all nodes see as --weights-dir"
        )
