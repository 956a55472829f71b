"""The two sides of the comparison: a loop as one writes it by hand, and the engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import timm
import torch
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision import transforms

from vqa.cache.store import FeatureStore
from vqa.errors import VideoError
from vqa.extract.backends import find_backend
from vqa.extract.backends.timm import PooledFeatures
from vqa.extract.engine import run_jobs
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model, OneDnnLinear, cast_matrices, load_network, onednn_is_faster, use_onednn
from vqa.extract.options import EngineOptions
from vqa.extract.pools import expand_models
from vqa.extract.precision import choose_precision, probe_input
from vqa.extract.sampling import sample_frames
from vqa.extract.spec import Candidate, InputSpec, NativeInput, parse_spec, plan_candidate
from vqa.records import VideoFeatures

CPU = torch.device("cpu")
_ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True, eq=False)
class Contender:
    """One network in both precisions, and as the naive loop has it."""

    plain: nn.Module
    """float32, contiguous: what a loop by hand uses."""
    exact: Model
    auto: Model

    @property
    def spec(self) -> InputSpec:
        """How frames become its input."""
        return self.exact.input


def load_contender(name: str, frames: int) -> Contender:
    """Build a network: of the bundled pool with its weights, or timm's with random ones."""
    candidate, fresh = _candidate(name, frames)
    exact = Model(candidate, _ours(fresh()), "0" * 64)
    low = replace(candidate, precision=choose_precision(candidate, exact.network, CPU))
    auto = exact
    if low.precision == "bfloat16":
        auto = Model(low, _ours(fresh()), "0" * 64)
        cast_matrices(auto.network, low, probe_input(low)[:2])
    return Contender(by_hand(fresh()), exact, auto)


def load_exact(name: str, frames: int) -> Model:
    """Load one of our own candidates in float32."""
    candidate, fresh = _candidate(name, frames)
    network = fresh()
    return Model(
        candidate,
        network if isinstance(candidate.input, NativeInput) else _ours(network),
        "0" * 64,
    )


def members(name: str) -> list[str]:
    """Return the networks that a row of the table stands for; `six` are the bundled pool's image networks."""
    if name != "six":
        return [name]
    specs = [str(spec) for spec in expand_models(["bundled"])]
    return [spec for spec in specs if "transnetv2" not in spec]


def _candidate(name: str, frames: int) -> tuple[Candidate, Callable[[], nn.Module]]:
    spec = parse_spec(name if ":" in name else f"timm:{name}", frames=frames)
    candidate = plan_candidate(spec, find_backend(spec.backend).describe(spec), "float32")
    if spec.backend == "timm":
        return candidate, functools.partial(_random_network, spec.name)
    return candidate, functools.partial(load_network, candidate)


def _random_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return PooledFeatures(timm.create_model(name, pretrained=False))


def _ours(network: nn.Module) -> nn.Module:
    """Prepare a network as `load_network` does."""
    if onednn_is_faster():
        use_onednn(network)
    return _ready(network, torch.channels_last)


def by_hand(network: nn.Module) -> nn.Module:
    """Prepare a network as a loop by hand does: not at all."""
    for module in network.modules():
        if type(module) is OneDnnLinear:
            module.__class__ = nn.Linear
    return _ready(network, torch.contiguous_format)


def _ready(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    return network.eval().requires_grad_(requires_grad=False).to(memory_format=layout)


def run_naive(
    contender: Contender, clips: Sequence[Path], frames: int, *, accurate: bool = False
) -> list[NDArray[np.float32]]:
    """Extract as one does by hand, one clip after the other: PyAV, PIL transform, float32, a batch for each clip.

    Args:
        contender: The network.
        clips: The files.
        frames: How many of each.
        accurate: Convert colours with swscale's accurate rounding and bicubic chroma, as our decoding rules say. PyAV's
            default is what most loops use, and what is timed; it makes frames darker by about one grey level.
    """
    transform = transform_of(contender.spec)
    features = []
    for clip in clips:
        images = [transform(picture) for picture in sampled_pictures(clip, frames, accurate=accurate)]
        with torch.inference_mode():
            features.append(contender.plain(torch.stack(images)).numpy())
    return features


def sampled_pictures(clip: Path, frames: int, *, accurate: bool = False) -> Iterator[Image.Image]:
    """Decode a clip from its start, and yield the frames that are sampled of it; as of `run_naive`."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        times = np.arange(stream.frames) / float(stream.average_rate)
        wanted = set(sample_frames(times, stream.frames / float(stream.average_rate), frames).tolist())
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                picture = frame.reformat(format="rgb24", interpolation=_ACCURATE) if accurate else frame
                yield picture.to_image()
                wanted.remove(index)
                if not wanted:
                    return


def transform_of(spec: InputSpec) -> transforms.Compose:
    """Return the library's own way from a picture to a network's input."""
    mode = {"bicubic": transforms.InterpolationMode.BICUBIC, "bilinear": transforms.InterpolationMode.BILINEAR}
    return transforms.Compose(
        [
            transforms.Resize(
                spec.resize[0] if len(spec.resize) == 1 else spec.resize, interpolation=mode[spec.interpolation]
            ),
            transforms.CenterCrop(spec.crop),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )


@dataclass(eq=False)
class Collected:
    """The engine's sink: writes to a cache as extraction does, and keeps the features for comparison."""

    store: FeatureStore
    models: Sequence[Model]
    values: dict[tuple[str, int], NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.writers = [
            self.store.writer(model.candidate.record, weights_sha256=model.weights_sha256, versions={})
            for model in self.models
        ]

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        """Nothing to note."""

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """Write and keep."""
        self.writers[model].put(job.key, features, seconds=seconds)
        self.values[job.video, model] = features.values.astype(np.float32)

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """Stop: the benchmark's clips are whole."""
        raise error


def run_ours(
    models: Sequence[Model], clips: Sequence[Path], folder: Path, options: EngineOptions | None = None
) -> Collected:
    """Extract with the engine, into a cache."""
    sink = Collected(FeatureStore(folder), models)
    jobs = [Job(clip.name, clip, f"{number:064x}", tuple(range(len(models)))) for number, clip in enumerate(clips)]
    run_jobs(jobs, models, sink, options or EngineOptions())
    for writer in sink.writers:
        writer.close()
    return sink
