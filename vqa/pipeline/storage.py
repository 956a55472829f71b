"""Whether the places that a workspace names by URLs can be reached, and the cache's be written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vqa.cache.folder import make_folder
from vqa.cache.store import FeatureStore
from vqa.dataset import find_videos
from vqa.errors import VqaError
from vqa.urls import is_url
from vqa.workspace import Workspace

NOT_ASKED = "was not asked (--offline)"
UNREACHED = "can't be used"


def check_storage(workspace: Workspace, *, offline: bool, missing: list[str]) -> Mapping[str, str]:
    """Ask the servers of a workspace's URLs.

    Args:
        workspace: Whose cache and videos; what lies in local folders is not looked at.
        offline: Ask nothing.
        missing: What can't be used is added, each with the next step.

    Returns:
        For each URL what it answers.
    """
    told: dict[str, str] = {}
    checks = {"cache": (workspace.cache, _check_cache), "videos": (workspace.dataset.videos, _check_videos)}
    for what, (url, check) in checks.items():
        if not is_url(url):
            continue
        try:
            told[f"{what} {url}"] = NOT_ASKED if offline else check(workspace)
        except VqaError as error:
            told[f"{what} {url}"] = UNREACHED
            missing.append(str(error))
    return told


def _check_cache(workspace: Workspace) -> str:
    root = workspace.cache_dir
    make_folder(root, root)
    if isinstance(root, Path):  # file:///...
        return "is a local folder, and takes files"
    return f"answers, takes files, and holds {len(FeatureStore(root).candidates())} model(s)"


def _check_videos(workspace: Workspace) -> str:
    return f"answers, and holds {len(find_videos(workspace.videos)[1])} video(s)"
