from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import transforms

from vqa.extract.model import load_network, run_network
from vqa.extract.pools import find_row, pool_rows
from vqa.extract.precision import choose_precision
from vqa.extract.spec import Candidate, parse_spec, plan_candidate
from vqa.extract.views import render, view_of

BUNDLED = [row.spec for row in pool_rows() if row.pool == "bundled"]
IMAGE_MODELS = [spec for spec in BUNDLED if not find_row(spec).data.get("clip_frames")]  # type: ignore[union-attr]
CPU = torch.device("cpu")


def candidate(text: str) -> Candidate:
    from vqa.extract.backends import find_backend

    spec = parse_spec(text)
    return plan_candidate(spec, find_backend(spec.backend).describe(spec), "float32")


def frames() -> list[np.ndarray]:  # type: ignore[type-arg]
    """Cut six windows out of two photographs, other ones than the precision probe's."""
    return [
        photo[top : top + 270, left : left + 480].copy()
        for photo in load_sample_images().images
        for top, left in ((0, 0), (100, 90), (157, 160))
    ]


def libraries_own(entry: Candidate) -> torch.Tensor:
    """Resize, crop and normalise with PIL and torchvision's transforms, in float32."""
    size = entry.input.resize[0] if len(entry.input.resize) == 1 else entry.input.resize
    modes = {"bicubic": transforms.InterpolationMode.BICUBIC, "bilinear": transforms.InterpolationMode.BILINEAR}
    transform = transforms.Compose(
        [
            transforms.Resize(size, interpolation=modes[entry.input.interpolation]),
            transforms.CenterCrop(entry.input.crop),
            transforms.ToTensor(),
            transforms.Normalize(entry.input.mean, entry.input.std),
        ]
    )
    return torch.stack([transform(Image.fromarray(frame)) for frame in frames()])


@pytest.mark.parametrize(
    "text", [pytest.param(spec, marks=pytest.mark.slow if "vgg16" in spec else ()) for spec in IMAGE_MODELS]
)
def test_features_are_those_of_the_librarys_own_transform(text: str) -> None:
    entry = candidate(text)
    network = load_network(entry)
    with torch.inference_mode():
        theirs = network(libraries_own(entry))
    ours = run_network(network, torch.stack([render(frame, view_of(entry)) for frame in frames()]), entry)
    auto = replace(entry, precision=choose_precision(entry, network, CPU))
    chosen = run_network(network, torch.stack([render(frame, view_of(entry)) for frame in frames()]), auto)
    assert torch.nn.functional.cosine_similarity(ours.half().float(), theirs).min() >= 0.999
    assert torch.nn.functional.cosine_similarity(chosen, ours).min() >= 0.999
    blurred = torch.stack([render(frame[::4, ::4].copy(), view_of(entry)) for frame in frames()])
    assert torch.nn.functional.cosine_similarity(run_network(network, blurred, entry), theirs).min() < 0.999
