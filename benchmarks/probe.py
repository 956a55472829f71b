"""The probe clip: how it was made, and how far its features move when something changes.

    python benchmarks/probe.py make probe.webm
    python benchmarks/probe.py measure bundled:vgg16 --precision float32

`make` writes the clip anew; another version of libvpx may code it in other bytes, so the clip in `vqa/extract` stays
the one it is. `measure` prints a distance for each change: harmless ones, which only round otherwise, and harmful ones.
The tolerances in `vqa/extract/probe.py` lie between; docs/provenance.md has the table.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from unittest import mock

import av
import click
import numpy as np
import torch
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray
from torch import Tensor, nn

from vqa.extract import decoding, pixels, probe
from vqa.extract.backends import find_backend
from vqa.extract.model import load_network, run_network
from vqa.extract.spec import PRECISIONS, Candidate, InputSpec, parse_spec, plan_candidate
from vqa.extract.video import read_timeline
from vqa.extract.views import normalise

_HEIGHT, _WIDTH, _FRAMES = 541, 703, 5
_BT709, _LIMITED, _FULL = 1, 1, 2
_CPU = torch.device("cpu")
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Change = Callable[[Candidate, nn.Module], NDArray[np.float32]]


def frame(number: int) -> NDArray[np.uint8]:
    """Return a frame of the scene: stripes from coarse to fine in every other square, flat tiles, coloured waves."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float64)
    y, x = y + 5 * number, x + 9 * number
    squares = (x // 48 + y // 48) % 2
    stripes = np.cos(np.pi * ((x - _WIDTH / 2) ** 2 + (y - _HEIGHT / 2) ** 2) / (4 * _WIDTH)) * squares
    hue = np.sin(x / 19) + np.cos(y / 13)
    red = 60 * stripes + 60 * np.sin(hue)
    green = 60 * stripes * np.cos(x / 47) + 60 * np.sin(hue + 2.1)
    blue = 50 * stripes * np.sin(y / 31) + 60 * np.sin(hue + 4.2)
    rgb = 128 + np.stack([red, green, blue], -1)
    tiles = (x // 24 + y // 24)[..., None] % 5
    rgb = np.where(tiles == 0, (200, 40, 90), np.where(tiles == 3, (20, 160, 220), rgb))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def write_clip(path: Path) -> None:
    """Write the clip: VP9, whose decoding is exact by its specification, at odd size, tagged BT.709."""
    options = {"crf": "45", "b:v": "0", "lag-in-frames": "0", "auto-alt-ref": "0"}
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = _HEIGHT, _WIDTH, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT709, _LIMITED
        for number in range(_FRAMES):
            shown = av.VideoFrame.from_ndarray(frame(number), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=_BT709, src_color_range=_FULL, dst_color_range=_LIMITED
            )
            shown.colorspace, shown.color_range = _BT709, _LIMITED
            shown.pts, shown.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(shown))
        container.mux(stream.encode())


def plain(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Return the probe's features as they are."""
    return probe.probe_features(candidate, network, _CPU)


def with_threads(count: int) -> Change:
    """Compute with so many threads."""

    def change(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            return plain(candidate, network)
        finally:
            torch.set_num_threads(before)

    return change


def without_onednn(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Compute with torch's own kernels."""
    with torch.backends.mkldnn.flags(enabled=False):
        return plain(candidate, network)


def other_layout(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Compute with weights in the other memory format; those of video networks stay."""
    if candidate.clip_frames:
        return plain(candidate, network)
    return plain(candidate, copy.deepcopy(network).to(memory_format=torch.contiguous_format))


def in_a_batch(count: int) -> Change:
    """Compute the clip's frame among others."""

    def change(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
        def batched(network: nn.Module, frames: Tensor, candidate: Candidate) -> Tensor:
            noise = torch.randint(0, 256, (count - 1, *frames.shape[1:]), dtype=torch.uint8)
            return run_network(network, torch.cat([frames, noise]), candidate)[:1]

        with mock.patch.object(probe, "run_network", batched):
            return plain(candidate, network)

    return change


def in_float64(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Compute as exactly as can be."""

    def exact(network: nn.Module, frames: Tensor, candidate: Candidate) -> Tensor:
        assert isinstance(candidate.input, InputSpec)
        if candidate.clip_frames:
            values = normalise(frames.flatten(0, 1), candidate.input).view(frames.shape).transpose(1, 2)
        else:
            values = normalise(frames, candidate.input)
        with torch.inference_mode():
            return copy.deepcopy(network).double()(values.double()).float()

    with mock.patch.object(probe, "run_network", exact):
        return plain(replace(candidate, precision="float32"), network)


def with_input(**changes: object) -> Change:
    """Prepare frames otherwise."""
    return lambda candidate, network: plain(
        replace(candidate, input=replace(candidate.input, **changes)),  # type: ignore[arg-type]
        network,
    )


def other_interpolation(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Take bilinear for bicubic, and the other way round."""
    assert isinstance(candidate.input, InputSpec)
    name = {"bicubic": "bilinear", "bilinear": "bicubic"}[candidate.input.interpolation]
    return with_input(interpolation=name)(candidate, network)


def other_statistics(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Take ImageNet's mean and deviation for .5, and the other way round: timm's plain efficientnet_lite0."""
    assert isinstance(candidate.input, InputSpec)
    half = (0.5, 0.5, 0.5)
    mean, std = _IMAGENET if candidate.input.mean == half else (half, half)
    return with_input(mean=mean, std=std)(candidate, network)


def as_bt601(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Do not believe the clip's colour tag."""
    with mock.patch.dict(pixels._MATRICES, {_BT709: Colorspace.ITU601}):
        return plain(candidate, network)


def linear_chroma(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Spread chroma over pixels linearly."""
    with mock.patch.object(pixels, "_SCALING", Interpolation.BILINEAR):
        return plain(candidate, network)


def without_a_frame(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Lose the clip's middle frame: that the first is lost is noticed."""

    def lossy(path: Path, **limits: float) -> object:
        whole = read_timeline(path, **limits)
        return replace(whole, pts=np.delete(whole.pts, 2), keys=np.empty(0, np.intp))

    with mock.patch.object(decoding, "read_timeline", lossy):
        return plain(candidate, network)


def with_noisy_weights(share: float) -> Change:
    """Multiply every weight by about 1, give or take a share."""

    def change(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
        other, random = copy.deepcopy(network), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(1 + share * torch.randn(parameter.shape, generator=random))
        return plain(candidate, other)

    return change


def with_quick_gelu(candidate: Candidate, network: nn.Module) -> NDArray[np.float32]:
    """Take the sigmoid's approximation of GELU, as CLIP's first weights do."""

    class QuickGelu(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values * torch.sigmoid(1.702 * values)

    other = copy.deepcopy(network)
    for module in list(other.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.GELU):
                setattr(module, name, QuickGelu())
    return plain(candidate, other)


HARMLESS: Mapping[str, Change] = {
    "again": plain,
    "1 thread": with_threads(1),
    "2 threads": with_threads(2),
    "no oneDNN": without_onednn,
    "other layout": other_layout,
    "batch of 2": in_a_batch(2),
    "batch of 5": in_a_batch(5),
    "float64": in_float64,
}
HARMFUL: Mapping[str, Change] = {
    "other interpolation": other_interpolation,
    "no antialiasing": with_input(antialias=False),
    "BT.601 for BT.709": as_bt601,
    "linear chroma": linear_chroma,
    "other mean and deviation": other_statistics,
    "a frame lost": without_a_frame,
    "weights off by .001": with_noisy_weights(1e-3),
    "QuickGELU": with_quick_gelu,
}


@contextlib.contextmanager
def _timed(label: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    click.echo(f"  {label}: {1000 * (time.perf_counter() - started):.0f} ms")


@click.group()
def main() -> None:
    """Make the probe clip, or measure what moves its features."""


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
def make(path: Path) -> None:
    """Write the clip."""
    write_clip(path)


@main.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32")
def measure(models: tuple[str, ...], precision: str) -> None:
    """Print the distance that each change makes."""
    for text in models:
        spec = parse_spec(text)
        candidate = plan_candidate(spec, find_backend(spec.backend).describe(spec), precision)
        network = load_network(candidate)
        click.echo(f"{text}, {precision}")
        before = plain(candidate, network)
        with _timed("one probe"):
            plain(candidate, network)
        for changes in (HARMLESS, HARMFUL):
            for name, change in changes.items():
                click.echo(f"  {name}: {probe.probe_distance(change(candidate, network), before):.1e}")


if __name__ == "__main__":
    main()
