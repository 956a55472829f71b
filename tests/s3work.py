"""Workspaces whose videos and cache are in a bucket, and whose one model is fast."""

from __future__ import annotations

from pathlib import Path

from media import grey_frames, write_video
from s3server import Bucket

from vqa.pipeline import init_workspace
from vqa.settings import ExtractSettings
from vqa.workspace import DatasetSettings

MODELS = ("classic:siti",)


def make_workspace(folder: Path, videos: str, cache: str) -> Path:
    folder.mkdir(exist_ok=True)
    init_workspace(folder, DatasetSettings(videos=videos), ExtractSettings(models=MODELS, frames=3, workers=1))
    place_cache(folder, cache)
    return folder


def place_cache(folder: Path, cache: str) -> None:
    file = folder / "vqa.toml"
    lines = file.read_text().split("\n")
    file.write_text("\n".join(f'cache = "{cache}"' if line.startswith("cache =") else line for line in lines))


def clip(folder: Path, greys: tuple[int, ...]) -> bytes:
    return write_video(folder / "clip.mp4", grey_frames(greys)).read_bytes()


def make_remote(folder: Path, bucket: Bucket) -> Path:
    """A workspace of four clips; its videos and cache are in the bucket."""
    for number in range(4):
        bucket.put(f"clips/{number}.mp4", clip(folder, (10 + number, 100, 200, 50)))
    return make_workspace(folder / "w", f"{bucket.url}/clips", f"{bucket.url}/cache")
