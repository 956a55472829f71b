"""What a run of the engine may take: the settings of `[extract]`, as the engine has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vqa.extract.options import EngineOptions
from vqa.rlimits import MOST_BYTES
from vqa.settings import ExtractSettings
from vqa.workspace import FILE_NAME, open_workspace


def engine_options(settings: ExtractSettings, devices: tuple[torch.device, ...]) -> EngineOptions:
    """Return the engine's options."""
    return EngineOptions(
        batch=settings.batch,
        max_pixels=settings.max_pixels,
        memory_bytes=settings.memory << 20,
        workers=settings.workers,
        video_seconds=settings.video_seconds,
        max_duration_seconds=settings.max_duration_seconds,
        worker_bytes=int(min(settings.worker_memory * (1 << 30), MOST_BYTES)),
        devices=devices,
    )


def settings_of(folder: Path, overrides: Mapping[str, Any]) -> ExtractSettings:
    """Return the `[extract]` settings of a folder that need not be a workspace, with some replaced.

    Raises:
        WorkspaceError: its vqa.toml can't be read, or a value is out of range.
    """
    settings = open_workspace(folder).extract if (folder / FILE_NAME).is_file() else ExtractSettings()
    return replace(settings, **overrides)
