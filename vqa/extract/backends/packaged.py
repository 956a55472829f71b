"""Readers of weights that ordinary packages carry: each file's own names and layout -> ours or timm's.

A name that a reader does not know is passed on unchanged, so that strict loading reports it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vqa.errors import WeightsError
from vqa.extract.networks.resnet50_thin import BLOCKS
from vqa.extract.weights import read_state

State = dict[str, Tensor]

DINOV2_SIDE = 224
"""Height and width of the input that the DINOv2 weights are read for."""

_DINOV2_PATCH = 14
_DINOV2_GRID = 37
_DINOV2_LAYERS = 12

# Blocks per stage of MobileNetV2 (arXiv 1801.04381, table 2) and of EfficientNet-Lite0. timm counts blocks within
# each stage, the files count them through; in both, the first block alone has no expansion.
_MOBILENETV2_STAGES = (1, 2, 3, 4, 3, 3, 1)
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)


def _block_names(stages: Sequence[int]) -> list[str]:
    """Return timm's name for each block, in order."""
    return [f"blocks.{stage}.{number}" for stage, count in enumerate(stages) for number in range(count)]


def read_efficientnet_lite0(path: Path) -> State:
    """Read EfficientNet-Lite0, named as in lukemelas/EfficientNet-PyTorch, for timm's `tf_efficientnet_lite0`."""
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    other = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
    other |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    blocks = _block_names(_LITE0_STAGES)

    def rename(name: str) -> str:
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            number = int(match[1])
            layers = first if number == 0 else other
            return f"{blocks[number]}.{layers[match[2]]}.{match[3]}"
        layer, _, rest = name.partition(".")
        return f"{outer.get(layer, layer)}.{rest}"

    return {rename(name): tensor for name, tensor in read_state(path).items()}


def read_mobilenetv2(path: Path) -> State:
    """Read MobileNetV2, named as in tonylins/pytorch-mobilenet-v2, for timm's `mobilenetv2_100`."""
    outer = {"0.0": "conv_stem", "0.1": "bn1", "18.0": "conv_head", "18.1": "bn2"}
    first = {"0": "conv_dw", "1": "bn1", "3": "conv_pw", "4": "bn2"}
    other = {"0": "conv_pw", "1": "bn1", "3": "conv_dw", "4": "bn2", "6": "conv_pwl", "7": "bn3"}
    blocks = _block_names(_MOBILENETV2_STAGES)

    def rename(name: str) -> str:
        if match := re.fullmatch(r"features\.(\d+)\.conv\.(\d)\.(\w+)", name):
            number = int(match[1]) - 1
            layers = first if number == 0 else other
            return f"{blocks[number]}.{layers[match[2]]}.{match[3]}"
        if (match := re.fullmatch(r"features\.(\d+\.\d)\.(\w+)", name)) and match[1] in outer:
            return f"{outer[match[1]]}.{match[2]}"
        return name

    return {rename(name): tensor for name, tensor in read_state(path).items()}


def read_transnetv2(path: Path) -> State:
    """Read TransNet V2, named as in soCzech/TransNetV2."""
    changes = {".Conv3D_1.layers.": ".branches.0.", ".Conv3D_2.layers.": ".branches.1."}
    changes |= {".Conv3D_4.layers.": ".branches.2.", ".Conv3D_8.layers.": ".branches.3.", ".bn.": ".norm."}
    changes |= {"SDDCNN.": "stages.", ".DDCNN.": ".blocks.", "fc1.": "dense."}
    changes |= {"frame_sim_layer.": "similarity.", "color_hist_layer.": "histograms.", ".fc.": ".dense."}
    return {_replaced(name, changes): tensor for name, tensor in read_state(path).items()}


def read_xfeat(path: Path) -> State:
    """Read XFeat, named as in verlab/accelerated_features."""
    return {_replaced(name, {".layer.": "."}): tensor for name, tensor in read_state(path).items()}


def _replaced(name: str, changes: dict[str, str]) -> str:
    """Replace parts of a name, in order."""
    for old, new in changes.items():
        name = name.replace(old, new)
    return name


def read_hed_vgg16(path: Path) -> State:
    """Read the VGG16 inside Keras' Holistically-Nested Edge Detection, without the five side outputs.

    Its input is blue, green, red; the first convolution is turned round to take red, green, blue.
    """
    import h5py

    places = iter((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))
    state: State = {}
    with h5py.File(path) as file:
        for block, count in enumerate((2, 2, 3, 3, 3), start=1):
            for number in range(count):
                group = file[f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"]
                name = f"features.{next(places)}"
                # Keras: (height, width, in, out); PyTorch: (out, in, height, width).
                state[f"{name}.weight"] = torch.from_numpy(group["0"][()]).permute(3, 2, 0, 1).contiguous()
                state[f"{name}.bias"] = torch.from_numpy(group["1"][()])
    state["features.0.weight"] = state["features.0.weight"].flip(1)
    return state


def read_dinov2_small(path: Path) -> State:
    """Read the DINOv2 ViT-S/14 backbone of an ONNX graph for timm, its position grid brought from 37 to 16 a side.

    The grid is resized as the graph itself does it: bicubic, half-pixel centres, no antialiasing.
    """
    graph = _read_onnx(path)
    weights = _onnx_weights(graph) | _linear_weights(graph)
    # The exporter kept no better names for these two: the positions of the class token and of the patches.
    token, patches = weights["onnx::Concat_1957"], weights["onnx::Reshape_1962"]
    grid = patches.transpose(1, 2).reshape(1, -1, _DINOV2_GRID, _DINOV2_GRID)
    grid = functional.interpolate(grid, size=[DINOV2_SIDE // _DINOV2_PATCH] * 2, mode="bicubic")
    state = {
        "pos_embed": torch.cat([token, grid.flatten(2).transpose(1, 2)], dim=1),
        "cls_token": weights["backbone.embeddings.cls_token"],
        "patch_embed.proj.weight": weights["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": weights["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": weights["backbone.layernorm.weight"],
        "norm.bias": weights["backbone.layernorm.bias"],
    }
    for number in range(_DINOV2_LAYERS):
        layer = _vit_layer(weights, f"backbone.encoder.layer.{number}.")
        state |= {f"blocks.{number}.{name}": tensor for name, tensor in layer.items()}
    return state


def _vit_layer(weights: State, prefix: str) -> State:
    """Return one transformer layer under timm's names; timm holds query, key and value as one matrix."""
    same = {"norm1": "norm1", "norm2": "norm2", "attn.proj": "attention.output.dense"}
    same |= {"mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    layer = {
        "ls1.gamma": weights[f"{prefix}layer_scale1.lambda1"],
        "ls2.gamma": weights[f"{prefix}layer_scale2.lambda1"],
    }
    for kind in ("weight", "bias"):
        parts = [weights[f"{prefix}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
        layer[f"attn.qkv.{kind}"] = torch.cat(parts)
        layer |= {f"{new}.{kind}": weights[f"{prefix}{old}.{kind}"] for new, old in same.items()}
    return layer


def _linear_weights(graph: Any) -> State:
    """Return matrices of linear layers, named after their biases: the exporter kept only the biases' names.

    x, matrix -> MatMul -> Add <- bias
    """
    weights = _onnx_weights(graph)
    makers = {output: node for node in graph.node for output in node.output}
    found: State = {}
    for node in graph.node:
        biases = [name for name in node.input if node.op_type == "Add" and name.endswith(".bias") and name in weights]
        sources = [makers[name] for name in node.input if name in makers and makers[name].op_type == "MatMul"]
        for bias, source in zip(biases, sources, strict=False):
            for name in weights.keys() & set(source.input):
                found[f"{bias.removesuffix('bias')}weight"] = weights[name].T.contiguous()
    return found


def read_open_nsfw(path: Path) -> State:
    """Read ResNet-50-thin from the ONNX graph of Open NSFW, each normalisation folded into its convolution.

    Its input is blue, green, red; the first convolution is turned round to take red, green, blue.
    """
    convolutions = list(_folded_convolutions(_read_onnx(path)))
    names = list(_resnet_names())
    if len(convolutions) != len(names):
        raise WeightsError(f"{path}: has {len(convolutions)} convolutions instead of {len(names)}; fetch it again")
    state: State = {}
    for name, (weight, bias) in zip(names, convolutions, strict=True):
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    state["stem.weight"] = state["stem.weight"].flip(1)
    return state


def _resnet_names() -> Iterator[str]:
    """Yield our names of the convolutions in the graph's order."""
    yield "stem"
    for stage, count in enumerate(BLOCKS):
        for block in range(count):
            shortcut = ("shortcut",) if block == 0 else ()
            for name in ("conv1", "conv2", *shortcut, "conv3"):
                yield f"stages.{stage}.{block}.{name}"


def _folded_convolutions(graph: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight and bias of each convolution together with the affine steps that follow it.

    conv -> + bias -> - mean -> x scale -> + shift, then a ReLU or a sum of two branches ends the chain
    """
    weights = _onnx_weights(graph)
    readers: dict[str, list[Any]] = {}
    for reader in graph.node:
        for name in reader.input:
            readers.setdefault(name, []).append(reader)
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        weight = weights[node.input[1]]
        bias = weight.new_zeros(len(weight))
        for step, constant in _affine_steps(node, readers, weights):
            values = constant.flatten()
            if step == "Mul":
                weight, bias = weight * values[:, None, None, None], bias * values
            else:
                bias = bias + values if step == "Add" else bias - values
        yield weight, bias


def _affine_steps(node: Any, readers: dict[str, list[Any]], weights: State) -> Iterator[tuple[str, Tensor]]:
    """Yield the steps after a node that add, subtract or multiply by a constant, up to the first other one."""
    while len(following := readers.get(node.output[0], [])) == 1:
        node = following[0]
        constants = [weights[name] for name in node.input if name in weights]
        if node.op_type in ("Add", "Sub", "Mul") and constants:
            yield node.op_type, constants[0]
        elif node.op_type not in ("Cast", "Transpose"):
            return


def _read_onnx(path: Path) -> Any:
    """Read an ONNX file's graph; nothing in it is run."""
    import onnx

    return onnx.load(str(path), load_external_data=False).graph


def _onnx_weights(graph: Any) -> State:
    """Return the graph's float32 constants; where one stands for several, under each name."""
    from onnx import numpy_helper

    held = {item.name: numpy_helper.to_array(item) for item in graph.initializer if item.data_type == 1}
    aliases = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    named = itertools.chain(held.items(), ((name, held[of]) for name, of in aliases.items() if of in held))
    return {name: torch.from_numpy(values.copy()) for name, values in named}
