"""Add a backbone to a workspace, and see whether it helps.

    python examples/add_backbone.py my-workspace timm:convnext_base.fb_in22k
    python examples/add_backbone.py my-workspace timm:convnext_base.fb_in22k@fragments

Only what is new is computed: the features of all other backbones lie in the cache. Both evaluations use the same
splits, so that they can be compared split by split; with few videos, a difference in half of them says nothing.

To keep the backbone, write its name into `models` of the workspace's vqa.toml, so that videos which come later get its
features too; then `vqa train --cached` makes a scorer of what is chosen now. A network that none of the libraries
knows becomes a backbone by a small package of your own: docs/backends.md shows a whole one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import vqa


def main() -> None:
    """Add a backbone as the command line says."""
    arguments = read_arguments()
    workspace, name = arguments.workspace, arguments.name
    vqa.extract_features(workspace)  # whatever the models in vqa.toml lack
    before = vqa.evaluate_workspace(workspace, top_k=arguments.top_k, baselines=False)

    extraction = vqa.extract_features(workspace, [name])
    added = extraction.candidates[0]
    print(f"{added.name}: computed for {added.stored} videos, for {added.cached} it was there before")
    if not extraction.complete:
        print(f"{added.failed} videos failed; `vqa cache info` names them")
    for row in vqa.rank_models(workspace, top_k=arguments.top_k).rows:
        print(f"{'*' if row.selected else ' '} {row.rank:3}  DBI {row.dbi:.3f}  {row.name}")
    if not added.stored:
        print("nothing is new, so that there is no before and after")
        return

    after = vqa.evaluate_workspace(workspace, top_k=arguments.top_k, baselines=False)
    chosen = sum(added.name in split.chosen for split in after.splits)
    print(f"chosen in {chosen} of {len(after.splits)} splits")
    print(f"SROCC {before.summary.median.srocc:.3f} before, {after.summary.median.srocc:.3f} after (medians)")
    if before.splits_sha256 != after.splits_sha256:
        print("the splits are not the same, since some videos have no features of it: the two can't be compared")
        return
    pairs = list(zip(before.splits, after.splits, strict=True))
    better = sum(new.metrics.srocc > old.metrics.srocc for old, new in pairs)
    worse = sum(new.metrics.srocc < old.metrics.srocc for old, new in pairs)
    print(f"better in {better} splits, worse in {worse}, the same in {len(pairs) - better - worse}")


def read_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Add a backbone to a workspace, and see whether it helps.")
    parser.add_argument("workspace", type=Path, help="a folder with a vqa.toml whose features are extracted")
    parser.add_argument("name", help="the backbone, such as timm:convnext_base.fb_in22k")
    parser.add_argument("--top-k", type=int, help="how many backbones to choose; by default what vqa.toml says")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except vqa.VqaError as error:
        sys.exit(f"Error: {error}")
