"""What is known of transformers' video networks before one is read: families, architectures and the pool's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vqa.extract.spec import InputSpec

_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""By the numbers that Pillow gives them, which the preprocessing files use."""

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 2}


@dataclass(frozen=True)
class Family:
    """What a model type's configuration does not say in one way for all."""

    frames_key: str
    """Where the length of a clip stands; a dot leads into an inner configuration."""
    frames: int
    """The library's default, where the configuration leaves it out."""
    side_key: str
    """Where the side of the input stands."""
    side: int
    """The library's default, where the configuration leaves it out."""
    clip_fps: Callable[[int], float]
    """From the number of frames to the frames per second of a training clip, videos taken as 30 frames per second."""


FAMILIES = {
    # "Is space-time attention all you need?", section 4: 8 frames, 1 of 32; HR 16, 1 of 16; L 96, 1 of 4.
    "timesformer": Family("num_frames", 8, "image_size", 224, lambda frames: min(frames * 30 / 256, 7.5)),
    # "VideoMAE", section 4.1: 16 frames, 1 of 4 on Kinetics.
    "videomae": Family("num_frames", 16, "image_size", 224, lambda _: 7.5),
    # "ViViT", section 4.1: 32 frames, 1 of 2.
    "vivit": Family("num_frames", 32, "image_size", 224, lambda _: 15.0),
    # "Expanding language-image pretrained models", section 4.1: spread over the video; Kinetics clips last 10 seconds.
    "xclip": Family("vision_config.num_frames", 8, "vision_config.image_size", 224, lambda frames: frames / 10),
    # "V-JEPA 2", section 2.2: 4 frames per second.
    "vjepa2": Family("frames_per_clip", 64, "crop_size", 256, lambda _: 4.0),
}


@dataclass(frozen=True)
class Architecture:
    """How a class of the library gives features."""

    classifies: bool
    """Whether the library finds it as a video classifier rather than as a plain model."""
    unused: tuple[str, ...]
    """Parts that features do not need; they are taken out, and their weights may be missing."""
    features: Callable[[Any, Tensor], Tensor]
    """From the network and clips (B, T, 3, H, W) to features (B, D)."""


def _before_classifier(network: Any, clips: Tensor) -> Tensor:
    """Return what goes into the last layer, which has been taken out."""
    features: Tensor = network(clips).logits
    return features


def _token_mean(network: Any, clips: Tensor) -> Tensor:
    """Return the mean of an encoder's tokens."""
    tokens: Tensor = network(clips).last_hidden_state
    return tokens.mean(dim=1)


def _encoder_token_mean(network: Any, clips: Tensor) -> Tensor:
    """Return the mean of V-JEPA 2's tokens, without its predictor."""
    tokens: Tensor = network.get_vision_features(clips)
    return tokens.mean(dim=1)


def _clip_embedding(network: Any, clips: Tensor) -> Tensor:
    """Return X-CLIP's embedding of a clip."""
    embedding: Tensor = network.get_video_features(clips).pooler_output
    return embedding


class ClipFeatures(nn.Module):
    """A network of the library: normalised clips (B, 3, T, H, W) -> features (B, D)."""

    def __init__(self, network: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        for part in architecture.unused:
            network.set_submodule(part, nn.Identity())
        self.network = network
        self._features = architecture.features

    def forward(self, clips: Tensor) -> Tensor:
        """Return features (B, D)."""
        return self._features(self.network, clips.transpose(1, 2))


_CLASSIFIER = Architecture(classifies=True, unused=("classifier",), features=_before_classifier)
ARCHITECTURES = {
    "TimesformerForVideoClassification": _CLASSIFIER,
    "VideoMAEForVideoClassification": _CLASSIFIER,
    "VivitForVideoClassification": _CLASSIFIER,
    "VJEPA2ForVideoClassification": _CLASSIFIER,
    "VideoMAEForPreTraining": Architecture(classifies=False, unused=(), features=_token_mean),
    "VJEPA2Model": Architecture(classifies=False, unused=("predictor",), features=_encoder_token_mean),
    "XCLIPModel": Architecture(
        classifies=False, unused=("text_model", "text_projection", "prompts_generator"), features=_clip_embedding
    ),
}


@dataclass(frozen=True)
class Published:
    """What a checkpoint's own files say."""

    config: Mapping[str, Any]
    preprocessing: Mapping[str, Any]


POOL = {
    "facebook/timesformer-base-finetuned-k400": Published(
        {"model_type": "timesformer", "architectures": ["TimesformerForVideoClassification"]},
        {"size": 224, "image_mean": [0.45, 0.45, 0.45], "image_std": [0.225, 0.225, 0.225], "resample": 2},
    ),
    "MCG-NJU/videomae-base-finetuned-kinetics": Published(
        {"model_type": "videomae", "architectures": ["VideoMAEForVideoClassification"]}, {"size": 224, **_IMAGENET}
    ),
    # As it was trained: google-research/scenic, projects/vivit/configs/kinetics400/vivit_base_k400.py; bytes to -1..1.
    # The library's processor normalises that once more by default, to -3..1, which the network has never seen.
    "google/vivit-b-16x2-kinetics400": Published(
        {"model_type": "vivit", "architectures": ["VivitForVideoClassification"]},
        {"size": 256, "crop_size": 224, "do_normalize": False, "resample": 2, "rescale_factor": 1 / 127.5},
    ),
    "microsoft/xclip-base-patch32": Published(
        {"model_type": "xclip", "architectures": ["XCLIPModel"]}, {"size": 224, **_IMAGENET}
    ),
    "facebook/vjepa2-vitl-fpc64-256": Published(
        {"model_type": "vjepa2", "architectures": ["VJEPA2Model"]}, {"size": 292, **_IMAGENET}
    ),
}


def _look_up(config: Mapping[str, Any], key: str, default: int) -> int:
    """Return a number of a configuration, such as `vision_config.num_frames`."""
    *outer, last = key.split(".")
    for name in outer:
        config = config.get(name) or {}
    return int(config.get(last, default))


def clip_frames_of(config: Mapping[str, Any]) -> int:
    """Return the number of frames that a network of this configuration takes.

    Raises:
        KeyError, TypeError, ValueError: the configuration lacks or garbles it.
    """
    family = FAMILIES[config["model_type"]]
    return _look_up(config, family.frames_key, family.frames)


def input_of(published: Published) -> InputSpec:
    """Turn a checkpoint's files into an input.

    Raises:
        KeyError, TypeError, ValueError: the files lack or garble something.
    """
    family = FAMILIES[published.config["model_type"]]
    own = published.preprocessing
    frames = clip_frames_of(published.config)
    resize = _sides(own["size"])
    crop = _sides(own.get("crop_size", _look_up(published.config, family.side_key, family.side)))
    scale = float(own.get("rescale_factor", 1 / 255)) * 255
    # ViViT's processor alone also subtracts 1 after the scaling, unless it is told otherwise.
    offset = float(published.config["model_type"] == "vivit" and own.get("offset", True))
    normalised = own.get("do_normalize", True)
    mean = [(offset + value) / scale for value in (own["image_mean"] if normalised else (0.0, 0.0, 0.0))]
    std = [value / scale for value in (own["image_std"] if normalised else (1.0, 1.0, 1.0))]
    return InputSpec(
        resize=resize,
        crop=(crop[0], crop[-1]),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=_INTERPOLATIONS[own.get("resample", 2)],
        clip_frames=frames,
        clip_fps=family.clip_fps(frames),
    )


def _sides(size: int | Mapping[str, int]) -> tuple[int, ...]:
    """Return one number for the shorter side, or height and width."""
    if isinstance(size, int):
        return (size,)
    return (size["shortest_edge"],) if "shortest_edge" in size else (size["height"], size["width"])
