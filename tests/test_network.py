from __future__ import annotations

import torch
from torch import nn

from vqa.train.network import (
    NetworkSize,
    cut_replicas,
    fuse,
    initial_parameters,
    pad_stack,
    parameter_shapes,
    score,
    stack_replicas,
    transform,
)


def new(widths, seed, width=8):
    return initial_parameters(NetworkSize(widths, width), torch.Generator().manual_seed(seed))


def test_a_module_is_twice_linear_normalisation_and_gelu():
    parameters = new((5,), 0)
    for name in ("first.gain", "first.shift", "second.bias"):
        parameters[name] = torch.randn(parameters[name].shape, generator=torch.Generator().manual_seed(1))
    layers = []
    for name, inputs in (("first", 5), ("second", 8)):
        linear, norm = nn.Linear(inputs, 8), nn.LayerNorm(8)
        linear.weight.data, linear.bias.data = parameters[f"{name}.weight"][0, 0].T, parameters[f"{name}.bias"][0, 0, 0]
        norm.weight.data, norm.bias.data = parameters[f"{name}.gain"][0, 0, 0], parameters[f"{name}.shift"][0, 0, 0]
        layers += [linear, norm, nn.GELU()]
    blocks = torch.randn(1, 1, 7, 5)
    with torch.no_grad():
        wanted = nn.Sequential(*layers)(blocks)
    torch.testing.assert_close(transform(parameters, blocks), wanted)


def test_fusion_adds_up_what_backbones_say_by_their_weights():
    hidden = torch.tensor([[[[1.0, 2.0]], [[10.0, 20.0]]]])  # S = 1, K = 2, B = 1, W = 2
    assert torch.allclose(fuse(hidden, torch.tensor([[0.75, 0.25]])), torch.tensor([[[3.25, 6.5]]]))


def test_the_score_is_linear_in_the_fused_representation():
    parameters = {"score.weight": torch.tensor([[2.0, -1.0]]), "score.bias": torch.tensor([[0.5]])}
    assert score(parameters, torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])).tolist() == [[2.5, 0.5]]


def test_replicas_of_other_backbones_and_widths_side_by_side_score_as_each_alone():
    widths, weights = [(5, 3, 9), (4,), (7, 7)], [[0.5, 0.3, 0.2], [1.0], [0.4, 0.6]]
    replicas = [new(own, seed) for seed, own in enumerate(widths)]
    blocks = [torch.randn(1, len(own), 6, max(own)) for own in widths]
    alone = [
        score(replica, fuse(transform(replica, block), torch.tensor([weight])))
        for replica, block, weight in zip(replicas, blocks, weights, strict=True)
    ]
    together = stack_replicas(replicas)
    fused = fuse(transform(together, pad_stack(blocks)), pad_stack([torch.tensor([weight]) for weight in weights]))
    torch.testing.assert_close(score(together, fused), torch.cat(alone))


def test_a_replica_cut_from_its_neighbours_is_the_one_that_was_put_in():
    replicas = [new((5, 3, 9), 0), new((4,), 1)]
    cut = cut_replicas(stack_replicas(replicas), slice(1, 2), NetworkSize((4,), 8))
    assert {name: value.tolist() for name, value in cut.items()} == {
        name: value.tolist() for name, value in replicas[1].items()
    }


def test_parameters_have_the_stated_shapes_and_no_weight_where_a_narrow_backbone_has_no_feature():
    parameters = new((2, 5), 0)
    assert {name: tuple(value.shape[1:]) for name, value in parameters.items()} == parameter_shapes(
        NetworkSize((2, 5), 8)
    )
    assert parameters["first.weight"][0, 0, 2:].abs().max() == 0
    assert 0.3 < parameters["first.weight"][0, 0, :2].abs().max() <= 2**-0.5
    assert parameters["first.weight"][0, 1].abs().max() <= 5**-0.5


def test_the_start_comes_from_the_given_generator_alone():
    before = torch.random.get_rng_state()
    assert torch.equal(new((5,), 3)["first.weight"], new((5,), 3)["first.weight"])
    assert not torch.equal(new((5,), 3)["first.weight"], new((5,), 4)["first.weight"])
    assert torch.equal(torch.random.get_rng_state(), before)
