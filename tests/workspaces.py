"""A small workspace with clips of known quality and tiny networks, for tests of the whole job."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import timm
import torch
from media import write_video
from numpy.typing import NDArray
from safetensors.torch import save_file

ARCHITECTURES = ("test_vit", "test_convnext", "test_resnet")
CONTENTS, LEVELS = 4, 4


def tiny_models(folder: Path) -> tuple[str, ...]:
    """Save random weights of timm's test architectures; return their model specs."""
    specs = []
    for seed, name in enumerate(ARCHITECTURES):
        torch.manual_seed(seed)
        network = timm.create_model(name, pretrained=False)
        save_file(network.state_dict(), str(folder / f"{name}.safetensors"))
        specs.append(f"timm:{name}/{folder / f'{name}.safetensors'}")
    return tuple(specs)


def make_clips(folder: Path) -> Path:
    """Write 4 contents in 4 versions, from clean (MOS 80) to very noisy (MOS 20); return the labels file."""
    (folder / "clips").mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "mos", "group"])
        for content in range(CONTENTS):
            for level in range(LEVELS):
                name = f"c{content}v{level}"
                write_video(folder / "clips" / f"{name}.mp4", _frames(content, level))
                writer.writerow([name, 80 - 20 * level + content / 10, f"c{content}"])
    return folder / "labels.csv"


def _frames(content: int, level: int) -> list[NDArray[np.uint8]]:
    """Return moving waves of one colour and direction, under noise that grows with the level."""
    rng = np.random.default_rng(content)
    y, x = np.mgrid[:96, :128] / 16
    colour, noise = rng.uniform(0.4, 1, 3), np.random.default_rng(100 + content).normal(size=(96, 128, 3))
    frames = []
    for t in range(10):
        wave = np.sin(x * (1 + content) + y * (content - 1) + t / 3)[..., None] * 60 * colour + 128
        frames.append(np.clip(wave + 25 * level * noise, 0, 255).astype(np.uint8))
    return frames
