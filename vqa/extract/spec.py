"""What decides a candidate's numbers: model spec, input, weights, precision, and the fingerprint over them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace

from vqa.errors import UnknownModelError
from vqa.records import CandidateRecord

NUMBERS_VERSION = 1
"""Raised by hand when a change of our code changes features."""

DECODING_RULES = {
    "sampling": "frames shown at the centres of equal parts of the duration, by presentation time",
    "matrix": "from the stream's tag; untagged: BT.709 from 720 lines on, else BT.601",
    "range": "limited unless tagged full",
    "depth": "reduced to 8 bits with rounding",
    "transfer": "PQ and HLG refused",
    "rotation": "display matrix applied",
}
"""How video files become frames; recorded with the features, and part of every fingerprint."""

DEFAULT_VIEW = "resize"
VIEWS = (DEFAULT_VIEW,)
DEFAULT_FRAMES = 8
PRECISIONS = ("float32", "bfloat16")
WEIGHT_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")

_TEXT = re.compile(r"(?P<backend>[a-z_]\w*):(?P<name>[^/@\s]+)(?:/(?P<weights>[^@\s]+))?(?:@(?P<view>[^@/\s]+))?")


@dataclass(frozen=True)
class ModelSpec:
    """A candidate as a user names it: backbone, weights, view and frame count.

    Text form: `BACKEND:NAME[/WEIGHTS][@VIEW]`, such as `open_clip:ViT-B-32/openai` or `timm:resnet50.a1_in1k`.
    WEIGHTS is one of the library's tags, or a local file that ends in .safetensors, .pth, .pt or .bin.
    """

    backend: str
    name: str
    weights: str = ""
    view: str = DEFAULT_VIEW
    frames: int = DEFAULT_FRAMES
    """Frames sampled from each video; a video network takes the number it was trained on instead."""

    def __str__(self) -> str:
        weights = f"/{self.weights}" if self.weights else ""
        view = f"@{self.view}" if self.view != DEFAULT_VIEW else ""
        return f"{self.backend}:{self.name}{weights}{view}"

    @property
    def weights_are_a_file(self) -> bool:
        """Whether the weights are a local file rather than a tag of the library."""
        return self.weights.endswith(WEIGHT_FILE_SUFFIXES)


def parse_spec(text: str, *, frames: int = DEFAULT_FRAMES) -> ModelSpec:
    """Read a model spec from its text form.

    Raises:
        UnknownModelError: the text has another form, or names a view that does not exist.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UnknownModelError(f"{text!r} is no model spec; write BACKEND:NAME[/WEIGHTS][@VIEW], see `vqa models`")
    view = match["view"] or DEFAULT_VIEW
    if view not in VIEWS:
        raise UnknownModelError(f"{text!r}: there is no view {view!r}; use one of: {', '.join(VIEWS)}")
    if frames < 1:
        raise UnknownModelError(f"{text!r}: {frames} frames can't be sampled; use 1 or more")
    return ModelSpec(match["backend"], match["name"], match["weights"] or "", view, frames)


@dataclass(frozen=True)
class InputSpec:
    """How a frame becomes a network's input, as the weights' own configuration says.

    frame (H, W) -> resize -> centre crop -> / 255 -> - mean -> / std
    """

    resize: tuple[int, ...]
    """One number: the shorter side is brought to it, the shape kept. Two: height and width, whatever the shape."""
    crop: tuple[int, int]
    """Height and width of the centre crop, the network's input."""
    mean: tuple[float, float, float]
    """Of R, G, B on the scale 0 to 1."""
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    """`bicubic` or `bilinear`."""
    antialias: bool = True
    clip_frames: int = 0
    """0 for an image network; else the number of frames of the one clip a video network takes."""


@dataclass(frozen=True)
class Plan:
    """What a backend knows of a model before its weights are read."""

    input: InputSpec
    weights_id: str
    """Names the weights: `hub:REPOSITORY`, `sha256:HEX`, or a library's own tag."""


@dataclass(frozen=True)
class Candidate:
    """Everything that decides a candidate's numbers."""

    spec: ModelSpec
    input: InputSpec
    weights_id: str
    precision: str
    """`float32` or `bfloat16`."""
    version: int = NUMBERS_VERSION

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def frames(self) -> int:
        """Frames needed of each video."""
        return self.input.clip_frames or self.spec.frames

    @property
    def details(self) -> str:
        """All fields as canonical JSON; a video network's numbers do not depend on the spec's frame count."""
        values = asdict(replace(self, spec=replace(self.spec, frames=self.frames)))
        values |= {"model": str(self.spec), "decoding": DECODING_RULES}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the details."""
        details = json.loads(self.details)
        if self.spec.weights_are_a_file:  # the file's bytes decide, not where it lies
            details["model"] = details["spec"]["weights"] = ""
        text = json.dumps(details, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def record(self) -> CandidateRecord:
        """The candidate as other stages see it."""
        return CandidateRecord(str(self.spec), self.fingerprint, self.details)


def plan_candidate(spec: ModelSpec, plan: Plan, precision: str) -> Candidate:
    """Join a spec with what its backend knows of it."""
    return Candidate(spec, plan.input, plan.weights_id, precision)
