"""How each bundled model is made: a builder of its network and a reader of its packaged file. Imports the libraries."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from vqa.extract.backends import packaged
from vqa.extract.networks.resnet50_thin import ResNet50Thin
from vqa.extract.networks.transnetv2 import TransNetV2
from vqa.extract.networks.vgg16 import Vgg16
from vqa.extract.networks.xfeat import XFeat


@dataclass(frozen=True)
class Recipe:
    """How a bundled model is made."""

    build: Callable[[], nn.Module]
    read: Callable[[Path], dict[str, Tensor]]
    """Reads the packaged file: tensors by the names of the network and of what is dropped."""
    drops: tuple[str, ...] = ()
    """Starts of the names of tensors that features do not need: classifiers and other heads."""


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    """Return a builder of one of timm's networks, without its classifier."""
    return functools.partial(timm.create_model, name, pretrained=False, num_classes=0, **options)


RECIPES = {
    "tf_efficientnet_lite0": Recipe(_timm("tf_efficientnet_lite0"), packaged.read_efficientnet_lite0, ("classifier.",)),
    "mobilenetv2_100": Recipe(_timm("mobilenetv2_100"), packaged.read_mobilenetv2),
    "vit_small_patch14_dinov2": Recipe(
        _timm("vit_small_patch14_dinov2", img_size=packaged.DINOV2_SIDE), packaged.read_dinov2_small
    ),
    "vgg16": Recipe(Vgg16, packaged.read_hed_vgg16),
    "transnetv2": Recipe(TransNetV2, packaged.read_transnetv2, ("cls_layer1.", "cls_layer2.")),
    "xfeat": Recipe(XFeat, packaged.read_xfeat, ("heatmap_head.", "keypoint_head.", "fine_matcher.")),
    "resnet50_thin": Recipe(ResNet50Thin, packaged.read_open_nsfw),
}
