"""Backbones of torchvision (https://pytorch.org/vision): classifiers, detectors, segmenters and video networks.

`NAME[/WEIGHTS]`, such as `torchvision:resnet50/IMAGENET1K_V2`; without WEIGHTS torchvision's default ones.

- Classifiers and video networks: what goes into their last layer, input as the weights' own transform says.
- Detectors and segmenters: the mean over the image of every map that the backbone hands to the head, end to end. Their
  input has no fixed shape, so it is ours: torchvision's segmentation size, shorter side 520, then the centre square.
  Detectors (theirs: shorter side 800, not antialiased, much slower) take the same, so that both look at one view; one
  with a smaller or fixed size of its own (320, SSD's 300 x 300) keeps that.
- Video networks take one clip of the length at which torchvision's documentation states their accuracy.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from vqa.errors import UnknownModelError
from vqa.extract.backends import Backend, suggest
from vqa.extract.backends.hub import address_file, fetching
from vqa.extract.spec import InputSpec, ModelSpec, Plan
from vqa.extract.weights import file_id, load_strictly, read_state

_NAME = "torchvision"

_DENSE_SIDE = 520

_CLIP_FRAMES = {"mc3": 16, "mvit": 16, "r2plus1d": 16, "r3d": 16, "s3d": 128, "swin3d": 32}
"""`clip_len` in the documentation of torchvision's video weights, by family."""

_CLIP_FPS = {"mc3": 15.0, "mvit": 7.5, "r2plus1d": 15.0, "r3d": 15.0, "s3d": 15.0, "swin3d": 15.0}
"""`frame_rate` in the same place."""

_FAMILIES: tuple[ModuleType, ...] = (models, models.detection, models.segmentation, models.video)
_DENSE = (models.detection, models.segmentation)

_INCEPTION = {"init_weights": False, "transform_input": True}
"""Inception networks keep the normalisation of their first framework inside; torchvision turns that on with weights."""


class PooledMaps(nn.Module):
    """A dense network's backbone: frames (B, 3, H, W) -> means of all its maps, end to end (B, D)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, frames: Tensor) -> Tensor:
        """Return the pooled maps; `aux` is left, since only training uses it."""
        maps: Mapping[str, Tensor] = self.backbone(frames)
        return torch.cat([grid.mean((2, 3)) for name, grid in maps.items() if name != "aux"], dim=1)


@functools.cache
def _names() -> tuple[str, ...]:
    """Return all networks; those of the quantised and optical flow families are not among them."""
    return tuple(name for family in _FAMILIES for name in models.list_models(module=family))


@functools.cache
def list_names() -> tuple[str, ...]:
    """Return `NAME/WEIGHTS` of everything pretrained."""
    return tuple(f"{name}/{weights.name}" for name in _names() for weights in models.get_model_weights(name))


def _weights_of(spec: ModelSpec) -> Any:
    """Return the weights' entry in torchvision; for a local file the default ones, whose network and input it takes.

    Raises:
        UnknownModelError: there is no such model, or it has no such weights.
    """
    if spec.name not in _names():
        raise UnknownModelError(f"torchvision has no model {spec.name!r}; {suggest(spec.name, _names())}")
    entries = models.get_model_weights(spec.name)
    if not spec.weights or spec.weights_are_a_file:
        return entries.DEFAULT
    known = {entry.name: entry for entry in entries}
    if spec.weights not in known:
        raise UnknownModelError(
            f"{spec}: {spec.name} has no weights {spec.weights!r}; {suggest(spec.weights, tuple(known))}"
        )
    return known[spec.weights]


def describe(spec: ModelSpec) -> Plan:
    """Return input and weights of a model, from the transform that torchvision keeps with the weights.

    Raises:
        UnknownModelError: there is no such model, or it has no such weights.
        WeightsError: the local weights file is missing.
    """
    weights = _weights_of(spec)
    size = _detection_input(spec) if _is_in(spec, models.detection) else _input_of(spec, weights.transforms())
    return Plan(size, file_id(Path(spec.weights)) if spec.weights_are_a_file else f"hub:{weights.url}")


def _is_in(spec: ModelSpec, *families: ModuleType) -> bool:
    """Say whether a model belongs to one of the families."""
    return any(spec.name in models.list_models(module=family) for family in families)


def _input_of(spec: ModelSpec, transform: Any) -> InputSpec:
    """Turn torchvision's transform of a classifier, segmenter or video network into an input."""
    resize = tuple(transform.resize_size)
    crop = tuple(getattr(transform, "crop_size", (_DENSE_SIDE,)))
    family = spec.name.partition("_")[0] if _is_in(spec, models.video) else ""
    return InputSpec(
        resize=resize,
        crop=(crop[0], crop[-1]),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
        antialias=getattr(transform, "antialias", False),  # the video transform has no such field and does without
        clip_frames=_CLIP_FRAMES[family] if family else 0,
        clip_fps=_CLIP_FPS[family] if family else 0.0,
    )


def _detection_input(spec: ModelSpec) -> InputSpec:
    """Read a detector's normalisation and size off the network itself, where torchvision keeps them."""
    with torch.device("meta"):
        own = _whole_network(spec).transform
    resize: tuple[int, ...] = (min(_DENSE_SIDE, *own.min_size),)
    crop = (resize[0], resize[0])
    if own.fixed_size is not None:
        width, height = own.fixed_size
        resize = crop = (height, width)
    return InputSpec(resize, crop, tuple(own.image_mean), tuple(own.image_std), interpolation="bilinear")


def _whole_network(spec: ModelSpec) -> Any:
    """Build a network as torchvision builds it for its weights, without reading any."""
    weights = _weights_of(spec)
    if _is_in(spec, *_DENSE):
        network = models.get_model(spec.name, weights=None, weights_backbone=None)
        if weights.name == "COCO_V1" and spec.name.endswith("resnet50_fpn"):
            _without_epsilon(network)
        return network
    options: dict[str, Any] = {}
    if spec.name.startswith("vit_"):
        options = {"image_size": weights.meta["min_size"][0]}
    elif spec.name in ("googlenet", "inception_v3"):
        options = _INCEPTION
    return models.get_model(spec.name, weights=None, **options)


def _without_epsilon(network: nn.Module) -> None:
    """Take the epsilon from batch normalisation, as torchvision does for its first COCO weights."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0


def _split(spec: ModelSpec) -> tuple[nn.Module, str, str]:
    """Return the network that gives features, the prefix of its tensors in a file, and that of the removed head."""
    whole = _whole_network(spec)
    if _is_in(spec, *_DENSE):
        return PooledMaps(whole.backbone), "backbone.", ""
    layers = [name for name, module in whole.named_modules() if isinstance(module, nn.Linear)]
    # SqueezeNet and S3D classify by a convolution.
    last = (layers or [name for name, module in whole.named_modules() if isinstance(module, nn.Conv2d | nn.Conv3d)])[-1]
    whole.set_submodule(last, nn.Identity())
    return whole, "", f"{last}."


def build(spec: ModelSpec) -> nn.Module:
    """Return a model's network with the parameters its initialiser leaves.

    Raises:
        UnknownModelError: there is no such model, or it has no such weights.
    """
    return _split(spec)[0].eval()


def load(spec: ModelSpec) -> nn.Module:
    """Return a model with pretrained weights from the hub or a local file.

    Raises:
        UnknownModelError: there is no such model, or it has no such weights.
        WeightsError: the weights can't be had or do not fit.
    """
    state = _fetch(spec)
    network, kept, removed = _split(spec)
    if kept:
        state = {name: tensor for name, tensor in state.items() if name.startswith(kept)}
    load_strictly(network, state, source=str(spec), drop_prefixes=(removed,) if removed else ())
    return network.eval()


def _fetch(spec: ModelSpec) -> Mapping[str, Tensor]:
    """Read all tensors of a local file, or of torchvision's own download, held against the hash in its name."""
    if spec.weights_are_a_file:
        return read_state(Path(spec.weights))
    weights = _weights_of(spec)
    with fetching(spec):
        address_file(weights.url)
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    return state


BACKEND = Backend(_NAME, list_names, describe, build, load)
