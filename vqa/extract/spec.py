"""What decides a candidate's numbers: model spec, input, weights, precision, and the fingerprint over them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace

from vqa.errors import UnknownModelError
from vqa.extract.rules import DECODING_RULES, NATIVE, SAMPLING_RULES, DecodingRules
from vqa.records import WEIGHT_FILE_SUFFIXES, CandidateRecord, fingerprint_of

DEFAULT_VIEW = "resize"
VIEWS = (DEFAULT_VIEW, "crop", "fragments")
DEFAULT_FRAMES = 8
PRECISIONS = ("float32", "bfloat16")

_TEXT = re.compile(
    r"(?P<backend>[a-z_]\w*):(?P<name>[^/@\s]+)(?:/(?P<weights>[^@\s]+))?"
    r"(?:@(?P<view>(?!dense\d)[^@/\s]+))?(?:@dense(?P<clips>[1-9]\d*))?"
)


@dataclass(frozen=True)
class ModelSpec:
    """A candidate as a user names it: backbone, weights, view and frame count.

    Text form: `BACKEND:NAME[/WEIGHTS][@VIEW][@denseN]`, such as `open_clip:ViT-B-32/openai`,
    `timm:resnet50.a1_in1k@fragments` or `torchvision:r3d_18@dense4`. WEIGHTS is one of the library's tags, or a local
    file that ends in .safetensors, .pth, .pt or .bin.
    """

    backend: str
    name: str
    weights: str = ""
    view: str = DEFAULT_VIEW
    frames: int = DEFAULT_FRAMES
    """Frames sampled from each video; a video network takes the number it was trained on instead."""
    clips: int = 0
    """Of a video network: 0 for one clip spread over the whole video (the paper's), else how many dense clips."""

    def __str__(self) -> str:
        weights = f"/{self.weights}" if self.weights else ""
        view = f"@{self.view}" if self.view != DEFAULT_VIEW else ""
        dense = f"@dense{self.clips}" if self.clips else ""
        return f"{self.backend}:{self.name}{weights}{view}{dense}"

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
        raise UnknownModelError(
            f"{text!r} is no model spec; write BACKEND:NAME[/WEIGHTS][@VIEW][@denseN], see `vqa models`"
        )
    view = match["view"] or DEFAULT_VIEW
    if view not in VIEWS:
        raise UnknownModelError(f"{text!r}: there is no view {view!r}; use one of: {', '.join(VIEWS)}")
    if frames < 1:
        raise UnknownModelError(f"{text!r}: {frames} frames can't be sampled; use 1 or more")
    return ModelSpec(match["backend"], match["name"], match["weights"] or "", view, frames, int(match["clips"] or 0))


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
    """0 for an image network; else the number of frames of a clip that a video network takes."""
    clip_fps: float = 0.0
    """Frames per second of a dense clip: the rate at which a video network saw its training clips; 0 if not known."""


@dataclass(frozen=True)
class NativeInput:
    """A candidate that measures frames as they are: full resolution, R'G'B', no resizing, no weights.

    Its network maps uint8 runs of consecutive frames (B, run, 3, H, W) to features (B, D) and works where the video is
    decoded, so that no full frame ever waits.
    """

    run: int = 1
    """Consecutive frames of each instant: 1 for measures of single frames, more for measures of change."""


@dataclass(frozen=True)
class Plan:
    """What a backend knows of a model before its weights are read."""

    input: InputSpec | NativeInput
    weights_id: str
    """Names the weights: `hub:REPOSITORY`, `sha256:HEX`, a library's own tag, or `none` where there are none."""


@dataclass(frozen=True)
class Candidate:
    """Everything that decides a candidate's numbers."""

    spec: ModelSpec
    input: InputSpec | NativeInput
    weights_id: str
    precision: str
    """`float32` or `bfloat16`."""
    generation: int = 0
    """Counts how often its numbers changed for a reason that no other field tells, such as another library version."""

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def clip_frames(self) -> int:
        """0 for a candidate that takes single frames, else frames of a video network's clip."""
        return self.input.clip_frames if isinstance(self.input, InputSpec) else 0

    @property
    def rules(self) -> DecodingRules:
        """How files become its kind of input."""
        return DECODING_RULES[NATIVE if isinstance(self.input, NativeInput) else self.spec.view]

    @property
    def sampling(self) -> str:
        """What it looks at: `frames`, spread over the video, dense `clips`, or `runs` of consecutive frames."""
        if isinstance(self.input, NativeInput) and self.input.run > 1:
            return "runs"
        return "clips" if self.spec.clips else "frames"

    @property
    def details(self) -> str:
        """All that decides numbers as canonical JSON: its fields, and the decoding rules that apply to it.

        A video network's do not depend on the spec's frame count, and on its frame rate only in dense clips. The first
        generation, 0, is left out.
        """
        values = asdict(replace(self, spec=replace(self.spec, frames=self.clip_frames or self.spec.frames)))
        if not self.spec.clips:
            values["input"].pop("clip_fps", None)
        if not self.generation:
            del values["generation"]
        rules = self.rules
        values |= {"model": str(self.spec), "version": rules.version}
        values["decoding"] = {**rules.texts, "sampling": SAMPLING_RULES[self.sampling]}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the details."""
        return fingerprint_of(self.details)

    @property
    def record(self) -> CandidateRecord:
        """The candidate as other stages see it."""
        return CandidateRecord(str(self.spec), self.fingerprint, self.details)


def plan_candidate(spec: ModelSpec, plan: Plan, precision: str) -> Candidate:
    """Join a spec with what its backend knows of it.

    Raises:
        UnknownModelError: dense clips are asked of something that takes no clips or whose rate is not known, or a view
            of something that has none.
    """
    if spec.clips and (isinstance(plan.input, NativeInput) or not plan.input.clip_frames):
        raise UnknownModelError(f"{spec}: only video networks take dense clips; leave out @dense{spec.clips}")
    if spec.clips and isinstance(plan.input, InputSpec) and not plan.input.clip_fps:
        raise UnknownModelError(
            f"{spec}: no frame rate is known that its dense clips should have; leave out @dense{spec.clips}"
        )
    if isinstance(plan.input, NativeInput) and spec.view != DEFAULT_VIEW:
        raise UnknownModelError(f"{spec}: it measures whole frames as they are; leave out @{spec.view}")
    return Candidate(spec, plan.input, plan.weights_id, precision)
