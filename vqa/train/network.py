"""The network of PTM-VQA, many replicas of it at once.

Structure after Yuan et al., PTM-VQA (CVPR 2024, arXiv 2405.17765): a transformation module per backbone, two fully
connected layers each followed by a normalisation and GELU, brings all backbones to one width; their results are fused
with weights that come from the DBI; the fused representation gives the score. Ours, since the published text does not
say: layer normalisation, a linear score, dropout after each GELU, and every size.

    f_n (B, P) -> T_n -> h_n (B, W)      H = sum_n w_n h_n      score = g(H)

All parameters have a leading axis S, the replicas: different splits and restarts train as one batched computation. A
replica with fewer backbones or narrower features than its neighbours has zeros in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Parameters = dict[str, Tensor]

LAYERS = ("first", "second")
"""The two fully connected layers of a transformation module, by the names of their parameters."""


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of one replica's network."""

    input_widths: tuple[int, ...]
    """Features of each of the K backbones."""
    width: int
    """W, the common width of all h_n."""


def parameter_shapes(size: NetworkSize) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of one replica, without the leading S."""
    count, widest, width = len(size.input_widths), max(size.input_widths), size.width
    shapes: dict[str, tuple[int, ...]] = {
        "first.weight": (count, widest, width),
        "second.weight": (count, width, width),
        "score.weight": (width,),
        "score.bias": (1,),
    }
    return shapes | {f"{layer}.{kind}": (count, 1, width) for layer in LAYERS for kind in ("bias", "gain", "shift")}


def initial_parameters(size: NetworkSize, generator: torch.Generator) -> Parameters:
    """Return the parameters of one replica (S = 1).

    Weights are uniform within the inverse root of the number of their inputs, gains are 1, all others 0.
    """
    parameters = {
        name: torch.ones(1, *shape) if name.endswith("gain") else torch.zeros(1, *shape)
        for name, shape in parameter_shapes(size).items()
    }
    fan_in = torch.tensor(size.input_widths).view(-1, 1, 1)
    used = torch.arange(max(size.input_widths)).view(-1, 1) < fan_in
    limits = {"first.weight": used / fan_in.sqrt(), "second.weight": size.width**-0.5, "score.weight": size.width**-0.5}
    for name, limit in limits.items():
        shape = parameters[name].shape
        parameters[name] = (torch.rand(shape, generator=generator) * 2 - 1) * limit
    return parameters


def stack_replicas(replicas: Sequence[Parameters]) -> Parameters:
    """Join replicas along S; those with fewer backbones or features are filled up with zeros."""
    return {name: pad_stack([replica[name] for replica in replicas]) for name in replicas[0]}


def pad_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors of one rank along their first axis, each filled up with zeros to the largest."""
    largest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    rows = sum(len(tensor) for tensor in tensors)
    joined = tensors[0].new_zeros((rows, *largest))
    start = 0
    for tensor in tensors:
        corner = tuple(slice(size) for size in tensor.shape[1:])
        joined[(slice(start, start + len(tensor)), *corner)] = tensor
        start += len(tensor)
    return joined


def cut_replicas(parameters: Mapping[str, Tensor], rows: slice, size: NetworkSize) -> Parameters:
    """Return some replicas of one size without the zeros that `stack_replicas` put around them."""
    count, widest = len(size.input_widths), max(size.input_widths)
    cut = {name: value[rows] if value.ndim == 2 else value[rows, :count] for name, value in parameters.items()}
    cut["first.weight"] = cut["first.weight"][:, :, :widest]
    return {name: value.detach().clone() for name, value in cut.items()}


def transform(parameters: Mapping[str, Tensor], blocks: Tensor, dropouts: Sequence[Tensor] = ()) -> Tensor:
    """Apply every transformation module T_n.

    Args:
        parameters: Of S replicas.
        blocks: Features, shape (S, K, B, P).
        dropouts: In training, for each of the two layers the factors of its outputs, shape (S, K, B, W): 0 or 1 / (1 -
            rate).

    Returns:
        All h_n, shape (S, K, B, W).
    """
    hidden = blocks
    for index, layer in enumerate(LAYERS):
        hidden = hidden @ parameters[f"{layer}.weight"] + parameters[f"{layer}.bias"]
        hidden = functional.layer_norm(hidden, hidden.shape[-1:])
        hidden = functional.gelu(hidden * parameters[f"{layer}.gain"] + parameters[f"{layer}.shift"])
        if dropouts:
            hidden = hidden * dropouts[index]
    return hidden


def fuse(hidden: Tensor, fusion_weights: Tensor) -> Tensor:
    """Return H = sum_n w_n h_n, shape (S, B, W), for hidden (S, K, B, W) and weights (S, K)."""
    return torch.einsum("skbw,sk->sbw", hidden, fusion_weights)


def score(parameters: Mapping[str, Tensor], fused: Tensor) -> Tensor:
    """Return g(H), standardised scores of shape (S, B)."""
    return torch.einsum("sbw,sw->sb", fused, parameters["score.weight"]) + parameters["score.bias"]
