"""What `vqa` alone prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.terminal import say

if TYPE_CHECKING:
    from vqa.pipeline import Overview


def print_overview(overview: Overview) -> None:
    """Print what is there and what to do next."""
    if overview.workspace:
        say(
            f"{overview.videos} videos, {overview.labelled} with a label; features of {overview.models} models are "
            f"cached, {overview.failed} videos failed"
        )
        say(_so_far(overview))
        for reason in overview.damaged.values():
            say(f"Damaged: {reason}")
    else:
        say("This folder is no workspace: it has no vqa.toml")
    say("Next:")
    width = max(len(step.command) for step in overview.steps)
    for step in overview.steps:
        say(f"  {step.command:{width}}   {step.why}")
    say("All commands: vqa --help")


def _so_far(overview: Overview) -> str:
    """Say what was done with the features."""
    chosen = f"{len(overview.selected) or 'No'} models are selected"
    if "selection.json" in overview.damaged:
        chosen = "The selection is damaged"
    if "scorer.vqa" in overview.damaged:
        return f"{chosen}, the scorer is damaged"
    if overview.trained_videos is None:
        return f"{chosen}, no scorer is trained"
    return f"{chosen}, the scorer is trained on {overview.trained_videos} videos"
