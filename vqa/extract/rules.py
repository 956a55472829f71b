"""How video files become what candidates are fed: the decoding rules of each kind of input, and their versions.

The rules of a candidate's kind are recorded with its features and part of its fingerprint. A change of a kind's version
or texts moves the fingerprints of that kind and of no other; a change of what kinds share moves those that share it.
Another kind of input is one more row of `DECODING_RULES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

NATIVE = "native"
"""The kind of candidates that measure frames as they are; all other kinds are called as their view."""


@dataclass(frozen=True)
class DecodingRules:
    """How files become one kind of input."""

    version: int
    """Raised by hand when a change of our code changes the features of this kind."""
    texts: Mapping[str, str]


_FRAMES = {
    "stream": "the first enabled video stream that moves; no cover, no single picture beside a longer stream",
    "times": "of packets where nothing speaks against them, else of decoded frames; by order and nominal rate where "
    "these do not ascend",
    "parts": "parts with times of their own are put one behind the other",
    "start": "from the first key frame, or the first picture that the decoder calls whole; pictures that refer to what "
    "came before are left out",
    "end": "H.265 in MPEG-TS and MPEG-PS without its last picture, unless that is seen to be whole",
    "matrix": "as the frame says, else its container; untagged: BT.709 from 720 lines on, else BT.601",
    "range": "limited unless the frame or its container says full",
    "chroma": "bicubic, sited as the frame or its container says, else as the codec's decoder does",
    "depth": "reduced to 8 bits with rounding",
    "transfer": "PQ, HLG and Dolby Vision without an SDR base layer refused, wherever they are said",
    "cropping": "as the codec and the container say",
    "rotation": "display matrix applied",
    "interlaced": "fields woven as they are stored; H.265 pictures of one field refused",
}
"""Of all that is fed with R'G'B' frames."""

DECODING_RULES: Mapping[str, DecodingRules] = MappingProxyType(
    {
        "resize": DecodingRules(2, _FRAMES | {"view": "resized and cropped in the middle as the weights ask for"}),
        "crop": DecodingRules(2, _FRAMES | {"view": "the middle at native size; a smaller frame is enlarged first"}),
        "fragments": DecodingRules(
            2, _FRAMES | {"view": "the middles of a grid of cells at native size; a smaller frame is enlarged first"}
        ),
        NATIVE: DecodingRules(2, _FRAMES),
    }
)
"""By kind of input."""

SAMPLING_RULES: Mapping[str, str] = MappingProxyType(
    {
        "frames": "frames shown at the centres of equal parts of the duration, by presentation time",
        "clips": "clips at the rate of the network's training, centred on equal parts of the duration",
        "runs": "consecutive frames from the one shown at the centre of each equal part of the duration on",
    }
)
"""By what a candidate looks at; each stands in the details of those alone that look so."""


def tell_other_rules(details: Mapping[str, Any]) -> str:
    """Say by which decoding rules features were made and which this version has; empty where these are the same.

    Details that say nothing of it, such as those of imported features, are of no other rules.

    Args:
        details: All that decides a candidate's numbers, as a cache or a bundle has it; it may come from a stranger.
    """
    spec, size, version = (details.get(name) for name in ("spec", "input", "version"))
    if not isinstance(spec, dict) or not isinstance(size, dict) or type(version) is not int:
        return ""
    kind = spec.get("view") if "crop" in size else NATIVE
    rules = DECODING_RULES.get(kind) if isinstance(kind, str) else None
    if rules is None or rules.version == version:
        return ""
    return f"decoding rules {version}, and this version of vqa has {rules.version}"


def rules_versions() -> str:
    """Return the versions of all decoding rules: what a file that can't be decoded was tried by."""
    return ", ".join(f"{kind} {rules.version}" for kind, rules in DECODING_RULES.items())
