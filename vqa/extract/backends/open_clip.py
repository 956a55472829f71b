"""Image towers of open_clip (https://github.com/mlfoundations/open_clip): any of its (model, tag) pairs.

Only the visual tower is built and loaded; features are the image embedding, before normalisation. What differs from
`open_clip.create_model`:

- A tag that was trained with QuickGELU gets it, whatever the model's configuration says: open_clip 3.3 builds
  `ViT-B-32` with plain GELU for the `openai` tag and only warns, which changes the features.
- A local file does not tell its activation: name the `-quickgelu` model for weights that were trained with it.
- There is no text tower, so that pairs with a text tower of another library need neither that library nor its memory.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor, nn

from vqa.errors import UnknownModelError
from vqa.extract.backends import Backend, suggest
from vqa.extract.backends.hub import fetching
from vqa.extract.backends.hub_files import hub_files
from vqa.extract.spec import InputSpec, ModelSpec, Plan
from vqa.extract.weights import file_id, load_strictly, read_state

_NAME = "open_clip"

_SMALLEST_TEXT_TOWER = {"context_length": 1, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1}
"""open_clip builds no image tower alone; this text tower beside it is dropped at once."""

_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


class ImageEmbedding(nn.Module):
    """An image tower: frames (B, 3, H, W) -> embedding (B, D)."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, frames: Tensor) -> Tensor:
        """Return the embedding of normalised frames; CoCa's towers also give tokens, which are left."""
        given = self.tower(frames)
        embedding: Tensor = given[0] if isinstance(given, tuple) else given
        return embedding


@functools.cache
def list_names() -> tuple[str, ...]:
    """Return `MODEL/TAG` of every pretrained pair."""
    return tuple(f"{model}/{tag}" for model, tag in open_clip.list_pretrained())


def _tag_of(spec: ModelSpec) -> Mapping[str, Any]:
    """Return the configuration that open_clip keeps with a tag; an empty one for a local file.

    Raises:
        UnknownModelError: there is no such model or tag.
    """
    models = open_clip.list_models()
    if spec.name not in models:
        raise UnknownModelError(f"open_clip has no model {spec.name!r}; {suggest(spec.name, models)}")
    if spec.weights_are_a_file:
        return {}
    pairs = [pair for pair in list_names() if pair.startswith(f"{spec.name}/")]
    if f"{spec.name}/{spec.weights}" not in pairs:
        asked = f"weights {spec.weights!r}" if spec.weights else "default weights"
        raise UnknownModelError(f"{spec}: {spec.name} has no {asked}; {suggest(f'{spec.name}/{spec.weights}', pairs)}")
    tag: Mapping[str, Any] = open_clip.get_pretrained_cfg(spec.name, spec.weights)
    return tag


def describe(spec: ModelSpec) -> Plan:
    """Return input and weights of a pair, from the configuration that open_clip keeps with the tag.

    A local file takes the preprocessing that all tags of its model share, or open_clip's default where they differ.

    Raises:
        UnknownModelError: there is no such model or tag.
        WeightsError: the local weights file is missing.
    """
    tag = _tag_of(spec)
    if spec.weights_are_a_file:
        return Plan(_input_of(spec.name, _shared_preprocessing(spec.name)), file_id(Path(spec.weights)))
    source = tag.get("hf_hub") or tag["url"]
    return Plan(_input_of(spec.name, tag), f"hub:{source.rstrip('/')}")


def _shared_preprocessing(model: str) -> Mapping[str, Any]:
    """Return the preprocessing on which all tags of a model agree, else nothing."""
    tags = [open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)]
    found = [{name: tag.get(name) for name in _PREPROCESSING} for tag in tags]
    return found[0] if found and all(one == found[0] for one in found) else {}


def _input_of(model: str, tag: Mapping[str, Any]) -> InputSpec:
    """Turn a tag's configuration into what open_clip's evaluation transform does; the size is the tower's."""
    config = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), dict(tag))
    vision = open_clip.get_model_config(model)["vision_cfg"]
    height, width = open_clip.utils.to_2tuple(vision.get("image_size", open_clip.CLIPVisionCfg.image_size))
    red, green, blue = config["mean"]
    red_std, green_std, blue_std = config["std"]
    return InputSpec(
        resize=(height, width) if config["resize_mode"] == "squash" else (height,),
        crop=(height, width),
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
        interpolation=config["interpolation"],
    )


def build(spec: ModelSpec) -> nn.Module:
    """Return a pair's image tower with the parameters its initialiser leaves.

    Raises:
        UnknownModelError: there is no such model or tag.
    """
    tag = _tag_of(spec)
    config = open_clip.get_model_config(spec.name)
    pair = open_clip.CustomTextCLIP(
        embed_dim=config["embed_dim"],
        vision_cfg=config["vision_cfg"],
        text_cfg=_SMALLEST_TEXT_TOWER,
        quick_gelu=config.get("quick_gelu", False) or tag.get("quick_gelu", False),
    )
    return ImageEmbedding(pair.visual).eval()


def load(spec: ModelSpec) -> nn.Module:
    """Return a pair's image tower with pretrained weights from the hub or a local file of the whole pair.

    Raises:
        UnknownModelError: there is no such model or tag.
        WeightsError: the weights can't be had or do not fit.
    """
    tag = _tag_of(spec)
    path = Path(spec.weights) if spec.weights_are_a_file else _bring(spec, tag)
    network = build(spec)
    load_strictly(network, _image_part(read_state(path)), source=str(spec))
    return network


def _bring(spec: ModelSpec, tag: Mapping[str, Any]) -> Path:
    """Return where a tag's weights lie, fetched if need be: as safetensors, where the repository has them so."""
    if source := tag.get("hf_hub"):
        repository, _, named = source.rpartition("/")
        named = named or "open_clip_pytorch_model.bin"
        stem = named.removesuffix(".bin").removesuffix(".pth")
        safe = "open_clip_model" if stem == "open_clip_pytorch_model" else stem
        return hub_files(spec, repository, (f"{safe}.safetensors", named) if stem != named else (named,))[0]
    with fetching(spec):
        return Path(open_clip.download_pretrained(dict(tag)))


def _image_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the image tower's tensors of a whole pair, saved bare or from a parallel training."""
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {f"tower.{name[7:]}": tensor for name, tensor in plain.items() if name.startswith("visual.")}


BACKEND = Backend(_NAME, list_names, describe, build, load)
