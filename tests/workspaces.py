"""A small workspace with clips of known quality and tiny networks, for tests of the whole job."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from media import write_video
from numpy.typing import NDArray
from safetensors.torch import save_file

from vqa.pipeline import extract_features, init_workspace, rank_models, train_regressor
from vqa.workspace import DatasetSettings, ExtractSettings

ARCHITECTURES = ("test_vit", "test_convnext", "test_resnet")
CONTENTS, LEVELS = 4, 4


@dataclass(frozen=True)
class Trained:
    """A workspace that is done: 16 clips, two tiny networks, a scorer."""

    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "scorer.vqa"

    @property
    def clips(self) -> list[Path]:
        return sorted((self.folder / "clips").glob("*.mp4"))


def make_trained(folder: Path) -> Trained:
    """Do the whole job in a folder, on labels of 0 to 100."""
    make_clips(folder)
    models = tiny_models(folder)[:2]
    settings = DatasetSettings(videos=str(folder / "clips"), labels=str(folder / "labels.csv"), scale=(0.0, 100.0))
    init_workspace(folder, settings, ExtractSettings(models=models, frames=4))
    file = folder / "vqa.toml"
    file.write_text(file.read_text().replace("bins = 6", "bins = 4"))
    extract_features(folder)
    rank_models(folder, top_k=2)
    train_regressor(folder, cached=True)
    return Trained(folder)


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
