"""`classic:siti` against SciPy's filters, closed forms, and what blur, noise and JPEG must do."""

from __future__ import annotations

import io
import math
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_image

from vqa.extract.classic.siti import SITI_NAMES, SpatialTemporalInformation
from vqa.extract.classic.spatial import SPATIAL_NAMES

Grey = NDArray[np.uint8]


@cache
def photo() -> Grey:
    """Grey, 240 x 320."""
    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")[80:320, 100:420]).convert("L"))


def measure_colour(frame: NDArray[np.uint8]) -> dict[str, float]:
    """Measure a still (H, W, 3)."""
    run = torch.from_numpy(np.stack([frame] * 3)).permute(0, 3, 1, 2)[None]
    return dict(zip(SITI_NAMES, SpatialTemporalInformation()(run)[0].tolist(), strict=True))


def measure(first: Grey, second: Grey | None = None, third: Grey | None = None) -> dict[str, float]:
    """Measure three grey frames (H, W); those left out repeat the one before."""
    second = first if second is None else second
    third = second if third is None else third
    run = torch.from_numpy(np.stack([first, second, third]))[None, :, None].expand(1, 3, 3, -1, -1)
    return dict(zip(SITI_NAMES, SpatialTemporalInformation()(run)[0].tolist(), strict=True))


def flat(level: int, height: int = 40, width: int = 60) -> Grey:
    return np.full((height, width), level, np.uint8)


def ramp(slope: int, offset: int = 0) -> Grey:
    return np.tile(np.arange(60) * slope + offset, (40, 1)).astype(np.uint8)


def noise(sigma: float, seed: int = 1) -> Grey:
    return np.random.default_rng(seed).normal(128, sigma, (300, 400)).round().clip(0, 255).astype(np.uint8)


def jpeg(grey: Grey, quality: int) -> Grey:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file))


def test_there_are_22_features_and_their_names_differ() -> None:
    assert len(SITI_NAMES) == 22
    assert len(set(SITI_NAMES)) == 22


def test_what_a_frame_shows_is_measured_on_the_first() -> None:
    moving, still = measure(photo(), flat(9, 240, 320), flat(8, 240, 320)), measure(photo())
    assert all(moving[name] == still[name] for name in SPATIAL_NAMES)


# --- spatial information and gradient ---


def test_spatial_information_is_that_of_scipys_sobel_without_the_border() -> None:
    grey = photo().astype(np.float64)
    magnitude = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))[1:-1, 1:-1]
    values = measure(photo())
    assert values["spatial_information"] == pytest.approx(magnitude.std(), rel=1e-5)
    assert values["gradient_mean"] == pytest.approx(magnitude.mean(), rel=1e-5)


def test_a_ramp_of_3_levels_a_pixel_has_gradient_24_and_no_spatial_information() -> None:
    values = measure(ramp(3))
    assert values["gradient_mean"] == 24
    assert values["spatial_information"] == 0
    assert values["laplacian_variance"] == values["noise"] == 0


def test_a_step_of_100_levels_is_seen_by_2_of_58_columns() -> None:
    step = flat(50)
    step[:, 30:] = 150
    share = 2 / 58
    values = measure(step)
    assert values["gradient_mean"] == pytest.approx(400 * share)
    assert values["spatial_information"] == pytest.approx(400 * math.sqrt(share * (1 - share)))


def test_pairs_of_black_and_white_columns_have_the_steepest_gradient_everywhere() -> None:
    pairs = np.tile(np.arange(600) // 2 % 2 * 255, (401, 1)).astype(np.uint8)
    values = measure(pairs)
    assert values["gradient_mean"] == 1020
    assert values["spatial_information"] == 0


# --- sharpness, blur, noise ---


def test_a_checkerboard_of_black_and_white_pixels() -> None:
    board = (np.indices((40, 60)).sum(0) % 2 * 255).astype(np.uint8)
    values = measure(board)
    assert values["spatial_information"] == values["gradient_mean"] == 0
    assert values["laplacian_variance"] == pytest.approx(2 * math.log10(8 * 127.5), abs=1e-4)
    assert values["noise"] == pytest.approx(math.sqrt(math.pi / 2) / 6 * 16 * 127.5)
    assert values["flat_share"] == 0


def test_laplacian_and_noise_are_those_of_scipys_convolutions() -> None:
    grey = photo().astype(np.float64)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    masked = np.abs(ndimage.convolve(grey, mask))[1:-1, 1:-1].mean()
    values = measure(photo())
    assert values["noise"] == pytest.approx(math.sqrt(math.pi / 2) / 6 * masked, rel=1e-5)
    assert values["laplacian_variance"] == pytest.approx(
        np.log10(1 + ndimage.laplace(grey)[1:-1, 1:-1].var()), rel=1e-5
    )


@pytest.mark.parametrize("sigma", [3, 8, 15])
def test_white_noise_is_measured_as_it_was_added(sigma: float) -> None:
    assert measure(noise(sigma))["noise"] == pytest.approx(math.hypot(sigma, 1 / math.sqrt(12)), rel=0.02)


def test_blur_is_that_of_a_mean_of_nine() -> None:
    grey = photo().astype(np.float64)
    shares = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis))
        smooth = np.abs(np.diff(ndimage.uniform_filter1d(grey, 9, axis=axis), axis=axis))
        inside = [slice(None)] * 2
        inside[axis] = slice(4, -4)
        steps, smooth = steps[tuple(inside)], smooth[tuple(inside)]
        shares.append(1 - np.maximum(0, steps - smooth).sum() / steps.sum())
    assert measure(photo())["blur"] == pytest.approx(max(shares), rel=1e-4)


def test_each_blur_raises_blur_and_lowers_sharpness() -> None:
    steps = [measure(ndimage.gaussian_filter(photo(), sigma)) for sigma in (0, 1, 2, 4)]
    assert [values["blur"] for values in steps] == sorted(values["blur"] for values in steps)
    for name in ("laplacian_variance", "spatial_information", "gradient_mean", "noise"):
        falling = [values[name] for values in steps]
        assert falling == sorted(falling, reverse=True), name


def test_each_noise_raises_noise() -> None:
    added = [np.random.default_rng(2).normal(0, sigma, photo().shape) for sigma in (0, 2, 5, 10)]
    rising = [measure((photo() + more).round().clip(0, 255).astype(np.uint8))["noise"] for more in added]
    assert rising == sorted(rising)
    assert rising[-1] > rising[0] + 4


# --- blocks and flat areas ---


@pytest.mark.parametrize("phase", range(8))
def test_steps_on_an_8_pixel_grid_are_found_wherever_the_grid_starts(phase: int) -> None:
    stripes = np.tile((np.arange(89) + phase) // 8 * 10, (40, 1)).astype(np.uint8)  # 80 steps count, 10 are on the grid
    values = measure(stripes)
    assert values["blockiness_horizontal"] == pytest.approx(math.log((10 + 0.1) / 0.1))
    assert values["blockiness_vertical"] == 0
    turned = measure(stripes.T.copy())
    assert turned["blockiness_vertical"] == pytest.approx(math.log((10 + 0.1) / 0.1))
    assert turned["blockiness_horizontal"] == 0


def test_a_grid_of_7_pixels_is_none() -> None:
    stripes = np.tile(np.arange(400) // 7 % 2 * 10, (40, 1)).astype(np.uint8)
    assert measure(stripes)["blockiness_horizontal"] < 0.1


def test_each_jpeg_raises_blockiness() -> None:
    for name in ("blockiness_horizontal", "blockiness_vertical"):
        rising = [measure(jpeg(photo(), quality))[name] for quality in (90, 50, 20, 10)]
        assert rising == sorted(rising), name
        assert rising[-1] > rising[0] + 0.5, name


def test_blocks_are_found_in_a_jpeg_cropped_off_its_grid() -> None:
    assert measure(jpeg(photo(), 10)[3:, 5:].copy())["blockiness_horizontal"] > 0.5


def test_7_of_8_steps_of_the_stripes_are_flat() -> None:
    stripes = np.tile(np.arange(89) // 8 * 10, (40, 1)).astype(np.uint8)
    assert measure(stripes)["flat_share"] == pytest.approx(7 / 8)


# --- colour and exposure ---


def test_colourfulness_of_known_colours() -> None:
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 255
    assert measure_colour(red)["colourfulness"] == pytest.approx(0.3 * math.hypot(255, 127.5))
    red_and_green = red.copy()
    red_and_green[:, 30:] = (0, 255, 0)
    assert measure_colour(red_and_green)["colourfulness"] == pytest.approx(255 + 0.3 * 127.5)
    assert measure(photo())["colourfulness"] == 0


def test_colourfulness_is_that_of_numpys_moments() -> None:
    colour = load_sample_image("flower.jpg")[80:320, 100:420]
    red, green, blue = colour.astype(np.float64).transpose(2, 0, 1)
    a, b = red - green, (red + green) / 2 - blue
    expected = math.hypot(a.std(), b.std()) + 0.3 * math.hypot(a.mean(), b.mean())
    assert measure_colour(colour)["colourfulness"] == pytest.approx(expected, rel=1e-4)


def test_half_black_half_white() -> None:
    frame = flat(0)
    frame[:, 30:] = 255
    values = measure(frame)
    names = ("brightness", "contrast", "dynamic_range", "entropy", "dark_share", "bright_share")
    assert [values[name] for name in names] == [127.5, 127.5, 255, 1, 0.5, 0.5]


def test_256_equal_shares_of_levels_hold_8_bits() -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (32, 1))
    values = measure(levels)
    assert values["entropy"] == 8
    assert values["dynamic_range"] == pytest.approx(230, abs=2)
    assert values["dark_share"] == values["bright_share"] == 5 / 256


# --- change ---


def test_a_ramp_of_3_levels_moved_by_a_pixel_changes_evenly() -> None:
    values = measure(ramp(3, 20), ramp(3, 23), ramp(3, 26))
    assert values["difference_mean"] == values["brightness_change"] == 3
    assert values["temporal_information"] == values["temporal_information_change"] == 0
    assert values["changed_share"] == values["second_difference"] == values["frozen_share"] == 0


def test_temporal_information_is_the_deviation_of_numpys_differences() -> None:
    frames = [photo(), np.roll(photo(), 1, axis=1), np.roll(photo(), 4, axis=1)]
    steps = np.diff(np.stack(frames).astype(np.float64), axis=0)
    values = measure(*frames)
    deviations = steps.std(axis=(1, 2))
    assert values["temporal_information"] == pytest.approx(deviations.mean(), rel=1e-5)
    assert values["temporal_information_change"] == pytest.approx(np.ptp(deviations), rel=1e-5)
    assert values["difference_mean"] == pytest.approx(np.abs(steps).mean(), rel=1e-5)
    assert values["changed_share"] == pytest.approx((np.abs(steps) > 4).mean(), rel=1e-5)
    assert values["second_difference"] == pytest.approx(np.abs(steps[1] - steps[0]).mean(), rel=1e-5)


def test_flicker_shows_as_second_difference() -> None:
    values = measure(flat(100), flat(110), flat(100))
    assert values["difference_mean"] == values["brightness_change"] == 10
    assert values["second_difference"] == 20
    assert values["changed_share"] == 1


def test_a_change_of_4_levels_does_not_count_and_one_of_5_does() -> None:
    assert measure(flat(100), flat(104))["changed_share"] == 0
    assert measure(flat(100), flat(105))["changed_share"] == 0.5  # of two pairs, the other is a repeat


def test_repeats_are_frozen() -> None:
    assert measure(photo())["frozen_share"] == 1
    assert measure(photo(), photo(), ndimage.shift(photo(), (0, 2)))["frozen_share"] == 0.5
    assert measure(noise(5, 1), noise(5, 2), noise(5, 3))["frozen_share"] == 0


def test_a_pair_is_frozen_up_to_a_thousandth_of_the_range() -> None:
    almost, changed = flat(100), flat(100)
    almost.ravel()[:600] += 1  # of 2400 pixels: .25 levels on average, .255 is the bound
    changed.ravel()[:624] += 1
    assert measure(flat(100), almost)["frozen_share"] == 1
    assert measure(flat(100), changed)["frozen_share"] == 0.5


def test_three_frames_of_one_colour() -> None:
    values = measure(flat(255))
    ones = {"blur", "flat_share", "bright_share", "frozen_share"}
    assert values == {name: 255 if name == "brightness" else float(name in ones) for name in SITI_NAMES}
