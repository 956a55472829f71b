from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision import transforms

from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.extract.views import normalise, render, view_of


def candidate(**changes: object) -> Candidate:
    values = {"resize": (256,), "crop": (224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return Candidate(ModelSpec("timm", "x"), InputSpec(**(values | changes)), "tag", "float32")  # type: ignore[arg-type]


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
