"""The folder that every page of the documentation starts in, with the files that pages name."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from media import write_video
from numpy.typing import NDArray

import vqa
from vqa.pipeline import setting_up, transferring
from vqa.pipeline.demonstration import label_note
from vqa.workspace import Workspace, write_workspace

CONTENTS = ("pagoda", "bunny", "city", "bikes", "parrot", "rocket")
OTHERS = ("harbour", "market", "forest")
VERSIONS = ("light", "medium", "heavy", "rescaled", "noisy")
QUICK = {"splits = 20": "splits = 2", "# restarts = 8": "restarts = 1", "# epochs = 8": "epochs = 2"}
"""Settings of [train] that keep pages quick."""


def make_world(folder: Path) -> Path:
    """Fill a folder; it is a finished workspace itself, and holds another two, `vqa-demo` and `livevqc`.

    clips/, ratings.csv     30 clips, opinions of 1 to 5 and the scene that each shows
    new-clip.mp4, new.mp4   two that were not rated
    my-workspace/           a scorer alone
    vqa-demo/               the same clips, with labels of 0 to 100
    livevqc/                15 other clips
    konvid1k.npz            five feature sets of 40 videos, with MOS
    """
    clips = _write_clips(folder / "clips", CONTENTS, seed=0)
    others = _write_clips(folder / "livevqc" / "Video", OTHERS, seed=50)
    shutil.copytree(folder / "clips", folder / "vqa-demo" / "clips")
    shutil.copy(others[0], folder / "new-clip.mp4")
    shutil.copy(others[1], folder / "new.mp4")
    _write_labels(folder / "ratings.csv", clips, header=("video", "mos", "scene"), scale=(1, 5))
    _write_labels(folder / "vqa-demo" / "labels.csv", clips, header=("id", "mos", "group"), scale=(0, 100))
    _write_labels(folder / "livevqc" / "labels.csv", others, header=("id", "mos", "group"), scale=(0, 100))
    _write_features(folder / "konvid1k.npz")
    _finish(folder, videos="clips", labels="ratings.csv", scale=(1, 5))
    (folder / "my-workspace").mkdir()
    shutil.copy(folder / "scorer.vqa", folder / "my-workspace")
    shutil.copytree(folder / "cache", folder / "vqa-demo" / "cache")
    _finish(folder / "vqa-demo", videos="clips", labels="labels.csv", scale=(0, 100), note=label_note("VMAF"))
    _finish(folder / "livevqc", videos="Video", labels="labels.csv", scale=(0, 100))
    return folder


def copy_world(world: Path, folder: Path) -> Path:
    """Copy a world, to be changed; videos that lie elsewhere now are looked at once, so that the caches know them."""
    copy = Path(shutil.copytree(world, folder / "world"))
    shutil.copytree(world / "livevqc", folder / "livevqc")
    for workspace in (copy, copy / "vqa-demo", folder / "livevqc"):
        vqa.extract_features(workspace, ["bundled"])
    return copy


def write_quick_workspace(workspace: Workspace) -> Path:
    """Write a workspace's vqa.toml, but for few splits and epochs."""
    file = write_workspace(workspace)
    text = file.read_text(encoding="utf-8")
    for slow, quick in QUICK.items():
        text = text.replace(slow, quick)
    file.write_text(text, encoding="utf-8")
    return file


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Have every workspace that is made from now on be a quick one."""
    for module in (setting_up, transferring):
        patch.setattr(module, "write_workspace", write_quick_workspace)


def _finish(folder: Path, *, videos: str, labels: str, scale: tuple[int, int], note: str = "") -> None:
    """Do the whole job in a folder."""
    paths = {"videos": str(folder / videos), "labels": str(folder / labels)}
    vqa.init_workspace(folder, vqa.DatasetSettings(**paths, scale=(float(scale[0]), float(scale[1])), note=note))
    vqa.extract_features(folder, ["bundled"])
    vqa.rank_models(folder, top_k=4)
    vqa.train_regressor(folder, cached=True)


def _write_clips(folder: Path, contents: Sequence[str], *, seed: int) -> list[Path]:
    folder.mkdir(parents=True)
    return [
        write_video(folder / f"{number:02d}-{name}_{version}.mp4", _frames(seed + number, level))
        for number, name in enumerate(contents, 1)
        for level, version in enumerate(VERSIONS)
    ]


def _write_labels(file: Path, clips: Sequence[Path], *, header: Sequence[str], scale: tuple[int, int]) -> None:
    """Rate each clip by its version, best first, and a little by its content."""
    low, high = scale
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for index, clip in enumerate(clips):
            content, level = divmod(index, len(VERSIONS))
            part = 0.9 - 0.2 * level + content / 100
            writer.writerow([clip.stem, round(low + part * (high - low), 3), clip.stem.partition("_")[0]])


def _write_features(file: Path) -> None:
    """Write features that tell a little of the MOS."""
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 40)
    sets = {f"feat__{name}": rng.normal(size=(40, 20)) + mos[:, None] / 4 for name in "abcde"}
    np.savez(file, ids=[f"{number}.mp4" for number in range(40)], mos=mos, **sets)


def _frames(content: int, level: int) -> list[NDArray[np.uint8]]:
    """Return moving waves of one colour and direction, under noise that grows with the level."""
    rng = np.random.default_rng(content)
    y, x = np.mgrid[:72, :128] / 16
    colour, noise = rng.uniform(0.4, 1, 3), rng.normal(size=(72, 128, 3))
    frames = []
    for t in range(8):
        wave = np.sin(x * (1 + content % 5) + y * (content % 3 - 1) + t / 3)[..., None] * 60 * colour + 128
        frames.append(np.clip(wave + 18 * level * noise, 0, 255).astype(np.uint8))
    return frames
