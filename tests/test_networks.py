"""The networks written here, on inputs whose answers can be worked out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqa.extract.networks.resnet50_thin import ResNet50Thin
from vqa.extract.networks.transnetv2 import TransNetV2, _likeness_to_neighbours, colour_histograms
from vqa.extract.networks.vgg16 import Vgg16
from vqa.extract.networks.xfeat import XFeat

INPUTS = {
    TransNetV2: (2, 3, 12, 27, 48),
    XFeat: (2, 3, 64, 96),
    ResNet50Thin: (2, 3, 64, 64),
    Vgg16: (2, 3, 32, 32),
}


def seeded(make: type[nn.Module]) -> nn.Module:
    """A network of random weights, scaled so that its input's differences reach its output."""
    torch.manual_seed(0)
    network = make().eval().requires_grad_(requires_grad=False)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.mul_(6**0.5)
    return network


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def pixels(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


# The originals' own numbers of parameters, without the heads that features do not need.
@pytest.mark.parametrize(
    ("make", "parameters"),
    [(TransNetV2, 7_614_208), (XFeat, 633_140), (ResNet50Thin, 5_889_216), (Vgg16, 14_714_688)],
)
def test_has_as_many_parameters_as_the_original(make, parameters):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in make().parameters()) == parameters


@pytest.mark.parametrize("make", INPUTS)
def test_a_row_does_not_depend_on_the_others_of_its_batch(make):
    network, batch = seeded(make), pixels(INPUTS[make])
    together = network(batch)
    assert difference(together[0], together[1]) > 1e-2
    assert difference(network(batch[1:]), together[1:]) < 1e-4


def test_colour_histograms_count_every_pixel_of_a_frame():
    clips = torch.zeros(1, 3, 2, 27, 48)
    clips[0, :, 1, :, :24] = 1.0  # the second frame: left half white
    clips[0, 2, 1, :, 24:] = 32 / 255  # right half the darkest blue that is not bin 0
    counts = colour_histograms(clips)
    assert counts.shape == (1, 2, 512)
    assert counts[0, 0].nonzero().flatten().tolist() == [0]
    assert counts[0, 0, 0] == 27 * 48
    assert {bin_: int(counts[0, 1, bin_]) for bin_ in (1, 511)} == {1: 648, 511: 648}


def test_colour_histograms_take_red_as_the_slowest_digit():
    clips = torch.zeros(1, 3, 1, 27, 48)
    clips[0, 0] = 1.0
    assert int(colour_histograms(clips)[0, 0].argmax()) == 7 * 64


def test_colour_histograms_clip_what_bicubic_resizing_overshoots():
    clips = torch.full((1, 3, 1, 27, 48), 1.2)
    clips[..., 24:] = -0.2
    assert colour_histograms(clips)[0, 0, [0, 511]].tolist() == [648, 648]


def test_likeness_compares_each_frame_with_50_before_and_50_after():
    rows = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]]])
    likeness = _likeness_to_neighbours(rows)
    assert likeness.shape == (1, 3, 101)
    assert likeness[0, 0, 49:54].tolist() == [0, 1, 0, 1, 0]
    assert likeness[0, 1, 49:54].tolist() == [0, 1, 0, 0, 0]
    assert likeness[0, 2, 47:52].tolist() == [0, 1, 0, 1, 0]
    assert likeness.sum() == 5


def test_transnetv2_sees_the_order_of_frames():
    network, clip = seeded(TransNetV2), pixels((1, 3, 12, 27, 48))
    shuffled = clip[:, :, [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]]
    assert difference(network(shuffled), network(clip)) > 1e-2


def test_xfeat_does_not_depend_on_scale_brightness_or_colour_order():
    network, frames = seeded(XFeat), pixels((2, 3, 64, 64))
    frames[1] = (torch.linspace(0, 9, 64).floor() % 2)[:, None]  # stripes
    expected = network(frames)
    assert difference(expected[0], expected[1]) > 1e-1
    assert difference(network(frames * 100 + 7), expected) < 1e-3
    assert difference(network(frames.flip(1)), expected) < 1e-4


@pytest.mark.parametrize(("side", "map_side"), [(224, 7), (64, 2), (228, 8)])
def test_resnet50_thin_takes_in_a_last_part_window_after_the_stem(side, map_side):
    shapes = []
    with torch.device("meta"):
        network = ResNet50Thin()
        network.stages.register_forward_hook(lambda _module, _inputs, maps: shapes.append(tuple(maps.shape)))
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 1024)
    assert shapes == [(1, 1024, map_side, map_side)]


def test_resnet50_thin_strides_in_the_first_convolution_of_a_stage():
    with torch.device("meta"):
        stages = ResNet50Thin().stages
    strides = [(stage[0].conv1.stride, stage[0].conv2.stride, stage[0].shortcut.stride) for stage in stages]
    assert strides == [((1, 1), (1, 1), (1, 1)), *[((2, 2), (1, 1), (2, 2))] * 3]


def test_vgg16_ends_with_the_last_convolution_before_the_fifth_pooling():
    with torch.device("meta"):
        network = Vgg16()
        assert network.features(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 14, 14)
    assert [type(layer).__name__ for layer in network.features[-2:]] == ["Conv2d", "ReLU"]
