"""`classic:nss` against SciPy's filters and root finder, samples of known distribution, and known pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, optimize, special, stats
from sklearn.datasets import load_sample_image

from vqa.extract.classic.fits import Moments, find_shape, fit_asymmetric, fit_symmetric
from vqa.extract.classic.nss import NSS_NAMES, SceneStatistics, mscn
from vqa.extract.classic.planes import luma, strips

Plane = NDArray[np.float64]


@cache
def photo() -> NDArray[np.uint8]:
    """Grey, 240 x 320, with a flat sky and fine detail."""
    colour = load_sample_image("china.jpg")[80:320, 100:420]
    return np.asarray(Image.fromarray(colour).convert("L"))


def measure(grey: NDArray[np.uint8]) -> dict[str, float]:
    frame = torch.from_numpy(grey.copy())[None, None, None].expand(1, 1, 3, -1, -1)
    return dict(zip(NSS_NAMES, SceneStatistics()(frame)[0].tolist(), strict=True))


def reference_mscn(x: Plane) -> Plane:
    side = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window = np.outer(side, side) / side.sum() ** 2
    mean = ndimage.correlate(x, window, mode="nearest")
    square = ndimage.correlate(x * x, window, mode="nearest")
    coefficients: Plane = (x - mean) / (np.sqrt(np.maximum(square - mean**2, 0)) + 1)
    return coefficients


def reference_shape(ratio: float) -> float:
    def excess(a: float) -> float:
        return float(special.gamma(2 / a) ** 2 / special.gamma(1 / a) / special.gamma(3 / a) - ratio)

    return float(optimize.brentq(excess, 0.2, 10))


def reference_asymmetric(x: Plane) -> list[float]:
    left, right = np.sqrt(np.mean(x[x < 0] ** 2)), np.sqrt(np.mean(x[x > 0] ** 2))
    g = left / right
    ratio = np.mean(np.abs(x)) ** 2 / np.mean(x**2) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    a = reference_shape(float(ratio))
    spread = np.sqrt(special.gamma(1 / a) / special.gamma(3 / a))
    mean = (right - left) * special.gamma(2 / a) / special.gamma(1 / a) * spread
    return [a, mean, left**2, right**2]


def reference_features(x: Plane) -> list[float]:
    c = reference_mscn(x)
    pairs = (c[:, :-1] * c[:, 1:], c[:-1] * c[1:], c[:-1, :-1] * c[1:, 1:], c[:-1, 1:] * c[1:, :-1])
    values = [reference_shape(float(np.mean(np.abs(c)) ** 2 / np.mean(c**2))), float(np.mean(c**2))]
    return values + [value for pair in pairs for value in reference_asymmetric(pair)]


def half_size(grey: NDArray[np.uint8]) -> Plane:
    height, width = grey.shape
    small = Image.fromarray(grey.astype(np.float32)).resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float64)


def test_there_are_36_features_and_their_names_differ() -> None:
    assert len(NSS_NAMES) == 36
    assert len(set(NSS_NAMES)) == 36
    assert NSS_NAMES[:3] == ("full_mscn_shape", "full_mscn_variance", "full_horizontal_shape")
    assert NSS_NAMES[-1] == "half_antidiagonal_right_variance"


def test_full_size_features_are_those_of_an_independent_implementation() -> None:
    got = list(measure(photo()).values())[:18]
    assert got == pytest.approx(reference_features(photo().astype(np.float64)), rel=0.01, abs=5e-4)


def test_half_size_features_are_those_of_pillows_half_size_picture() -> None:
    got = list(measure(photo()).values())[18:]
    assert got == pytest.approx(reference_features(half_size(photo())), rel=0.01, abs=2e-3)


def test_mscn_coefficients_are_those_of_scipys_filters_to_a_hundredth() -> None:
    grey = photo().astype(np.float64)
    padded = torch.from_numpy(np.pad(grey, 3, mode="edge")).float() - 128
    assert np.abs(mscn(padded).numpy() - reference_mscn(grey)).max() < 0.01


@pytest.mark.parametrize("level", [0, 77, 255])
def test_mscn_coefficients_of_a_flat_area_are_exactly_zero(level: int) -> None:
    assert torch.equal(mscn(torch.full((20, 30), level - 128.0)), torch.zeros(14, 24))


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_frame_of_one_colour_has_shapes_of_a_fifth_and_zeros(level: int) -> None:
    for name, value in measure(np.full((40, 50), level, np.uint8)).items():
        assert value == (pytest.approx(0.2) if name.endswith("shape") else 0), name


@pytest.mark.parametrize("shape", [0.4, 1.0, 2.0, 5.0])
def test_the_shape_of_a_moment_ratio_is_found_to_a_thousandth(shape: float) -> None:
    ratio = special.gamma(2 / shape) ** 2 / special.gamma(1 / shape) / special.gamma(3 / shape)
    assert float(find_shape(torch.tensor(ratio, dtype=torch.float64))) == pytest.approx(shape, abs=1e-3)


def test_shapes_end_at_a_fifth_and_ten() -> None:
    assert find_shape(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist() == pytest.approx([0.2, 10])


def moments_of(samples: Plane) -> Moments:
    below, above = samples[samples < 0], samples[samples > 0]
    figures = (np.abs(samples).mean(), (samples**2).mean(), (below**2).mean(), (above**2).mean())
    return Moments(*(torch.tensor(figure, dtype=torch.float64) for figure in figures))


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0, 3.0])
def test_a_fit_finds_the_shape_and_variance_that_samples_were_drawn_with(shape: float) -> None:
    samples = stats.gennorm(shape, scale=3).rvs(200_000, random_state=1)
    variance = 9 * special.gamma(3 / shape) / special.gamma(1 / shape)
    assert fit_symmetric(moments_of(samples)).tolist() == pytest.approx([shape, variance], rel=0.02)


@pytest.mark.parametrize(("left", "right"), [(1.0, 3.0), (3.0, 1.0), (2.0, 2.0)])
def test_an_asymmetric_fit_finds_what_samples_were_drawn_with(left: float, right: float) -> None:
    shape, rng = 1.5, np.random.default_rng(2)
    sizes = np.abs(stats.gennorm(shape).rvs(400_000, random_state=3))
    samples = np.where(rng.random(400_000) < left / (left + right), -left, right) * sizes
    unit = special.gamma(3 / shape) / special.gamma(1 / shape)
    mean = (right - left) * special.gamma(2 / shape) / special.gamma(1 / shape)
    expected = [shape, mean, left**2 * unit, right**2 * unit]
    assert fit_asymmetric(moments_of(samples)).tolist() == pytest.approx(expected, rel=0.02, abs=0.02)


def test_blur_lowers_the_variance_and_the_weight_of_neighbours_signs() -> None:
    sharp = measure(photo())
    blurred = measure(ndimage.gaussian_filter(photo(), 2))
    assert blurred["full_mscn_variance"] < 0.8 * sharp["full_mscn_variance"]
    assert blurred["full_horizontal_mean"] > sharp["full_horizontal_mean"] + 0.02


def test_noise_makes_coefficients_gaussian() -> None:
    noise = np.random.default_rng(4).normal(128, 20, (200, 300)).round().clip(0, 255).astype(np.uint8)
    values = measure(noise)
    assert values["full_mscn_shape"] > 2
    assert values["full_mscn_variance"] == pytest.approx(
        float(np.mean(reference_mscn(noise.astype(np.float64)) ** 2)), rel=0.002
    )


def test_luma_weighs_red_green_and_blue_as_bt601_does() -> None:
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [200, 100, 50]])
    frame = colours.T[:, :, None].expand(3, 5, 16).repeat(1, 4, 1).to(torch.uint8)
    assert luma(frame)[:5, 0].tolist() == [76, 150, 29, 255, 124]


def test_grey_of_every_level_is_its_own_luma() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(luma(levels.expand(3, 16, 256)), levels.expand(16, 256))


@pytest.mark.parametrize(("rows", "width"), [(1, 5000), (16, 16), (1080, 1920), (17, 100_000)])
def test_strips_cover_every_row_once(rows: int, width: int) -> None:
    assert [row for start, stop in strips(rows, width) for row in range(start, stop)] == list(range(rows))
