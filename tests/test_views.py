from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision import transforms
from torchvision.transforms import v2

from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.extract.views import fragment_positions, normalise, render, view_of


def candidate(view: str = "resize", **changes: object) -> Candidate:
    values = {"resize": (256,), "crop": (224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    spec = InputSpec(**(values | changes))  # type: ignore[arg-type]
    return Candidate(ModelSpec("timm", "x", view=view), spec, "tag", "float32")


@pytest.mark.parametrize(
    ("resize", "crop", "interpolation"),
    [((256,), (224, 224), "bicubic"), ((232,), (224, 224), "bilinear"), ((27, 48), (27, 48), "bicubic")],
)
def test_a_view_is_the_libraries_own_transform_of_the_frame(
    resize: tuple[int, ...], crop: tuple[int, int], interpolation: str
) -> None:
    photo = load_sample_image("china.jpg").copy()
    mode = {"bicubic": transforms.InterpolationMode.BICUBIC, "bilinear": transforms.InterpolationMode.BILINEAR}
    theirs = transforms.Compose(
        [
            transforms.Resize(resize[0] if len(resize) == 1 else resize, interpolation=mode[interpolation]),
            transforms.CenterCrop(crop),
        ]
    )(Image.fromarray(photo))
    view = view_of(candidate(resize=resize, crop=crop, interpolation=interpolation))
    ours = render(photo, view)
    difference = np.abs(ours.permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs).astype(int))
    assert ours.shape == (3, *crop)
    assert difference.max() <= 2
    assert difference.mean() < 0.2


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    resize=st.one_of(st.tuples(st.integers(1, 60)), st.tuples(st.integers(1, 60), st.integers(1, 60))),
    crop=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    antialias=st.booleans(),
)
def test_a_views_pixels_are_those_of_torchvision_to_the_bit(
    height: int, width: int, resize: tuple[int, ...], crop: tuple[int, int], interpolation: str, antialias: bool
) -> None:
    frame = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), np.uint8)
    theirs = v2.Compose(
        [
            v2.Resize(list(resize), interpolation=v2.InterpolationMode(interpolation), antialias=antialias),
            v2.CenterCrop(list(crop)),
        ]
    )
    view = view_of(candidate(resize=resize, crop=crop, interpolation=interpolation, antialias=antialias))
    assume(0 not in theirs.transforms[0](torch.from_numpy(frame).permute(2, 0, 1)).shape)
    assert torch.equal(render(frame, view), theirs(torch.from_numpy(frame).permute(2, 0, 1)))


def test_candidates_with_equal_inputs_share_a_view_and_others_do_not() -> None:
    same = candidate(mean=(0.5, 0.5, 0.5))  # normalised later, on the batch
    assert view_of(candidate()) == view_of(same)
    assert view_of(candidate()) != view_of(candidate(resize=(224,)))
    assert view_of(candidate()) != view_of(candidate(antialias=False))


def test_normalise_brings_white_to_one_minus_mean_over_std() -> None:
    white = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    result = normalise(white, candidate().input)
    assert result.shape == (2, 3, 4, 4)
    assert result[1, :, 0, 0].tolist() == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rel=1e-5)


def coordinates(height: int, width: int) -> NDArray[np.uint8]:
    """A frame whose red and green tell row and column of each pixel, blue both modulo 256."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows // 256 * 16 + columns // 256, rows % 256, columns % 256], axis=-1).astype(np.uint8)


def position(pixel: torch.Tensor) -> tuple[int, int]:
    """Return the row and column that a pixel of `coordinates` came from."""
    high, row, column = (int(value) for value in pixel)
    return high // 16 * 256 + row, high % 16 * 256 + column


def test_fragments_are_native_patches_from_the_middle_of_each_cell() -> None:
    view = view_of(candidate(view="fragments"))
    pixels = render(coordinates(1080, 1920), view)
    assert pixels.shape == (3, 224, 224)
    # 7 x 7 cells of 154 x 274; each patch of 32 x 32 has half of the cell's slack before it.
    assert [position(pixels[:, 32 * cell, 0]) for cell in range(3)] == [(61, 121), (215, 121), (369, 121)]
    assert [position(pixels[:, 0, 32 * cell]) for cell in range(3)] == [(61, 121), (61, 395), (61, 669)]
    assert position(pixels[:, 31, 31]) == (92, 152)
    assert position(pixels[:, 223, 223]) == (1017, 1797)


def test_crop_is_the_middle_at_native_resolution() -> None:
    pixels = render(coordinates(540, 960), view_of(candidate(view="crop")))
    assert pixels.shape == (3, 224, 224)
    assert position(pixels[:, 0, 0]) == (158, 368)
    assert position(pixels[:, -1, -1]) == (381, 591)


@pytest.mark.parametrize("view", ["crop", "fragments"])
def test_a_frame_of_the_inputs_size_is_shown_as_it_is(view: str) -> None:
    frame = coordinates(224, 224)
    assert np.array_equal(render(frame, view_of(candidate(view=view))).permute(1, 2, 0), frame)


@pytest.mark.parametrize("view", ["crop", "fragments"])
@pytest.mark.parametrize(("height", "width"), [(100, 400), (400, 100), (17, 17), (223, 225)])
def test_a_smaller_frame_is_enlarged_until_it_covers_the_input(view: str, height: int, width: int) -> None:
    grey = np.full((height, width, 3), 77, np.uint8)
    pixels = render(grey, view_of(candidate(view=view)))
    assert pixels.shape == (3, 224, 224)
    assert pixels.unique().tolist() == [77]


def test_views_of_native_resolution_are_shared_whatever_the_weights_own_resize() -> None:
    for view in ("crop", "fragments"):
        other = candidate(view=view, resize=(288,), interpolation="bilinear", antialias=False)
        assert view_of(candidate(view=view)) == view_of(other)
    names = {view_of(candidate(view=view)).name for view in ("resize", "crop", "fragments")}
    assert len(names) == 3


@given(st.integers(1, 600), st.integers(0, 3000))
def test_fragments_never_overlap_and_never_leave_the_frame(size: int, more: int) -> None:
    positions = fragment_positions(size + more, size)
    assert len(positions) == size
    assert positions[0] >= 0
    assert positions[-1] < size + more
    assert (positions.diff() >= 1).all()
    steps = (positions.diff() > 1).sum()
    assert steps <= max(1, round(size / 32)) - 1
