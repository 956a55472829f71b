"""Backbones of timm (https://github.com/huggingface/pytorch-image-models): any of its pretrained models.

Features are the pooled activations before the classifier; they equal timm's own `num_classes=0` output.
Input size, crop and normalisation are the weights' own. A name without a tag takes timm's default tag; the plan then
names the weights.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import Backend, suggest
from vqa.extract.backends.hub import address_file, fetching
from vqa.extract.backends.hub_files import hub_files
from vqa.extract.spec import InputSpec, ModelSpec, Plan
from vqa.extract.weights import file_id, load_strictly, read_state

_NAME = "timm"

_UNTRAINED_NORMS = frozenset({"head.norm.weight", "head.norm.bias"})
"""What a pretrained file may lack: FCMAE and Florence weights end before the last norm, which stays without effect."""

_TOKENS_ONLY = "_enc"
"""How the names of architectures end for which timm defines no pooled features."""

_SAFE = {"pytorch_model.bin": "model.safetensors", "open_clip_pytorch_model.bin": "open_clip_model.safetensors"}
"""What timm looks for first; of other files ending in `.bin` the same name with `.safetensors`."""


class PooledFeatures(nn.Module):
    """A timm network without its classifier: frames (B, 3, H, W) -> features (B, D)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.reset_classifier(0)
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """Return the pooled features of normalised frames."""
        features: Tensor = self.network.forward_head(self.network.forward_features(frames), pre_logits=True)
        return features


@functools.cache
def list_names() -> tuple[str, ...]:
    """Return the full names of all pretrained models whose input and features can be had."""
    return tuple(name for name in timm.list_pretrained() if _usable(name))


def _usable(name: str) -> bool:
    """Say whether a name's input can be stated (no padded borders) and its features are pooled."""
    config: Any = timm.models.get_pretrained_cfg(name)
    return config.crop_mode != "border" and not name.partition(".")[0].endswith(_TOKENS_ONLY)


def _full_name(spec: ModelSpec) -> str:
    """Return the name with its tag.

    Raises:
        UnknownModelError: timm has no such model, or none with pretrained weights.
    """
    if spec.weights and not spec.weights_are_a_file:
        raise UnknownModelError(f"{spec}: timm's weights stand after a dot; write {_NAME}:{spec.name}.{spec.weights}")
    known = list_names()
    if spec.name in known or (spec.weights_are_a_file and spec.name in timm.list_models()):
        return spec.name
    config = None if "." in spec.name else timm.models.get_pretrained_cfg(spec.name)
    name = f"{spec.name}.{config.tag}" if config else spec.name
    if name not in known:
        close = suggest(spec.name, (*known, *{full.partition(".")[0]: None for full in known}))
        raise UnknownModelError(f"timm has no pretrained model {spec.name!r}; {close}")
    return name


def describe(spec: ModelSpec) -> Plan:
    """Return input and weights of a model, from the configuration that timm keeps with the weights.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: the local weights file is missing.
    """
    config: Any = timm.models.get_pretrained_cfg(_full_name(spec))
    weights = file_id(Path(spec.weights)) if spec.weights_are_a_file else f"hub:{config.hf_hub_id or config.url}"
    return Plan(_input_of(config), weights)


def _input_of(config: Any) -> InputSpec:
    """Turn a pretrained configuration into what timm's evaluation transform does.

    The frame is resized to floor(size / crop_pct): both sides where the mode is `squash`, else the shorter one.
    """
    _, height, width = config.input_size
    scaled = (math.floor(height / config.crop_pct), math.floor(width / config.crop_pct))
    return InputSpec(
        resize=scaled if config.crop_mode == "squash" else scaled[:1],
        crop=(height, width),
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation=config.interpolation,
    )


def build(spec: ModelSpec) -> nn.Module:
    """Return a model's network with the parameters its initialiser leaves.

    Raises:
        UnknownModelError: there is no such model.
    """
    return PooledFeatures(timm.create_model(_full_name(spec), pretrained=False)).eval()


def load(spec: ModelSpec) -> nn.Module:
    """Return a model with pretrained weights from the hub or a local file.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: the weights can't be had, or a tensor is missing in them.
    """
    if spec.weights_are_a_file:
        return _load_file(spec)
    name = _full_name(spec)
    _bring(spec, timm.models.get_pretrained_cfg(name))
    with fetching(spec), _every_tensor_loaded(spec):
        network = timm.create_model(name, pretrained=True)
    return PooledFeatures(network).float().eval()


def _bring(spec: ModelSpec, config: Any) -> None:
    """Bring the file that timm will look for: as safetensors, where a repository has it so."""
    if not config.hf_hub_id:
        with fetching(spec):
            address_file(config.url)
    else:
        repository, _, revision = config.hf_hub_id.partition("@")
        named = config.hf_hub_filename or "pytorch_model.bin"
        safe = _SAFE.get(named, f"{named.removesuffix('.bin')}.safetensors" if named.endswith(".bin") else named)
        hub_files(spec, repository, tuple(dict.fromkeys((safe, named))), revision=revision or "main")


def _load_file(spec: ModelSpec) -> nn.Module:
    """Load a local file strictly; a classifier in it, of any number of classes, is left out."""
    network: Any = timm.create_model(_full_name(spec), pretrained=False)
    whole = set(network.state_dict())
    features = PooledFeatures(network)
    # The classifier is what went with it, or what timm calls so where this network was built without one.
    named = network.pretrained_cfg.get("classifier") or ()
    classifiers = (named,) if isinstance(named, str) else tuple(named)
    drops = (*(whole - set(network.state_dict())), *(f"{name}." for name in classifiers))
    load_strictly(network, read_state(Path(spec.weights)), source=str(spec), drop_prefixes=drops)
    return features.eval()


@contextlib.contextmanager
def _every_tensor_loaded(spec: ModelSpec) -> Iterator[None]:
    """Refuse a network of which timm loaded only a part.

    timm loads some families with `strict=False` and only logs what stayed random. PyTorch tells every module that has
    children, through a hook, which keys were missing; so the hook is put on each one while the network is built.

    Raises:
        WeightsError: a tensor was not loaded, or none was.
    """
    reports: list[list[str]] = []
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    watched: set[int] = set()

    def report(_: nn.Module, keys: Any) -> None:
        reports.append(keys.missing_keys)

    def watch(parent: Any, _name: str, _child: nn.Module | None) -> None:
        if id(parent) not in watched:
            watched.add(id(parent))
            hooks.append(parent.register_load_state_dict_post_hook(report))

    hooks.append(register_module_module_registration_hook(watch))
    try:
        yield
    except RuntimeError as error:
        raise WeightsError(f"{spec}: the weights do not fit the network ({_summary(error)}); update timm") from error
    finally:
        for hook in hooks:
            hook.remove()
    missing = sorted({key for keys in reports for key in keys} - _UNTRAINED_NORMS)
    if missing or not reports:
        lacking = ", ".join(missing[:3]) or "all tensors"
        raise WeightsError(f"{spec}: timm did not load {lacking}; update timm, or use other weights")


def _summary(error: RuntimeError) -> str:
    """Return an error of several lines as one short line."""
    return " ".join(str(error).split())[:160]


BACKEND = Backend(_NAME, list_names, describe, build, load)
