"""A tiny fixed video that every candidate is run on: a change of its numbers is a change of the candidate's.

The clip goes the whole way of any other video: demuxed, decoded, converted, rendered, run through the network. It has
five frames of a scene that moves by 9 x 5 pixels a frame, of odd size, 4:2:0, tagged BT.709, with stripes from coarse
to finer than a network's input can show. `benchmarks/probe.py` made it and measured the tolerances; they are in
docs/provenance.md.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from vqa.errors import ProbeError
from vqa.extract.decoding import decode_video
from vqa.extract.items import bytes_needed
from vqa.extract.looking import DecodedInput, DecodedVideo
from vqa.extract.model import run_network
from vqa.extract.spec import Candidate

TOLERANCES: Mapping[str, float] = {"float32": 2e-4, "bfloat16": 2e-2}
"""By precision."""

_CLIP = "probe.webm"


def probe_features(candidate: Candidate, network: nn.Module, device: torch.device) -> NDArray[np.float32]:
    """Run a candidate on the probe clip: on one frame of it, or one clip for a video network.

    Args:
        candidate: Settled in its precision.
        network: On the host, as it will run.
        device: Where it will run.

    Returns:
        Features, shape (D,).

    Raises:
        ProbeError: the candidate takes no ordinary video, or its features are not finite.
    """
    small = replace(candidate, spec=replace(candidate.spec, frames=1, clips=min(1, candidate.spec.clips)))
    buffer = memoryview(bytearray(bytes_needed([small])))
    with resources.as_file(resources.files("vqa.extract").joinpath(_CLIP)) as clip:
        decoded = decode_video(clip, [small], {small: network}, buffer)
    seen = decoded.inputs[0]
    if seen.error:
        raise ProbeError(f"{candidate}: can't be run on vqa's probe clip ({seen.error}); leave it out, or report it")
    values = seen.values
    if values is None:
        values = _run(_pixels(decoded, seen, small, buffer), small, network, device)
    if not np.isfinite(values).all():
        raise ProbeError(f"{candidate}: its features of vqa's probe clip are not finite; leave it out, or report it")
    mean: NDArray[np.float32] = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _pixels(decoded: DecodedVideo, seen: DecodedInput, candidate: Candidate, buffer: memoryview) -> Tensor:
    """Return what a network takes: frames (1, 3, h, w), or a clip (1, T, 3, h, w)."""
    rows = torch.from_numpy(seen.rows if candidate.clip_frames else seen.rows[:, 0])
    return decoded.blocks[seen.block].within(buffer)[rows]


def _run(pixels: Tensor, candidate: Candidate, network: nn.Module, device: torch.device) -> NDArray[np.float32]:
    """Return features, shape (1, D); the network leaves the device again."""
    placed = network if device.type == "cpu" else copy.deepcopy(network).to(device)
    try:
        return run_network(placed, pixels.to(device), candidate).cpu().numpy()
    except torch.OutOfMemoryError as error:
        raise ProbeError(
            f"{candidate}: not even one input fits into the memory of {device}; free it, or use --device cpu"
        ) from error


def beyond_rounding(found: ArrayLike, before: ArrayLike, *, precision: str) -> float | None:
    """Return how far a candidate's features of the clip moved, or None where rounding in its precision explains it."""
    distance = probe_distance(np.asarray(found, np.float32), np.asarray(before, np.float32))
    return None if distance <= tolerance(precision) else distance


def probes_agree(one: Sequence[float], other: Sequence[float], *, precision: str) -> bool:
    """Return whether one model can have seen the clip so twice; what was never run on it agrees with all."""
    return not (one and other) or beyond_rounding(one, other, precision=precision) is None


def tolerance(precision: str) -> float:
    """Return the largest distance that rounding may explain; 0 for a precision that is none of ours."""
    return TOLERANCES.get(precision, 0.0)


def probe_distance(found: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Return how far features of the probe clip lie from those before, relative to their length; 0 where equal.

    Another width, or features that are not finite, are infinitely far.
    """
    if found.shape != before.shape or not np.isfinite([found, before]).all():
        return math.inf
    new, old = found.astype(np.float64), before.astype(np.float64)
    apart, length = float(np.linalg.norm(new - old)), float(np.linalg.norm(old))
    if apart == 0:
        return 0.0
    return apart / length if length else math.inf
