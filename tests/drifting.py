"""A backend as another package brings it, whose numbers change when the package is upgraded."""

from __future__ import annotations

import sys
from pathlib import Path

from vqa.extract import backends

_MODULE = '''
import torch
from torch import nn
from vqa.extract.backends import Backend
from vqa.extract.spec import InputSpec, Plan

SHARES, WEIGHTS = {shares}, {weights}

class Drift(nn.Module):
    """Mean colours of a grid, mixed; a share of the mixture is added to itself in another order."""
    def __init__(self, share):
        super().__init__()
        self.share, self.mix = share, nn.Linear(48, 20, bias=False)
        self.mix.weight.data = torch.randn(20, 48, generator=torch.Generator().manual_seed(WEIGHTS))

    def forward(self, frames):
        mixed = self.mix(nn.functional.adaptive_avg_pool2d(frames, 4).flatten(1))
        return mixed + self.share * mixed.flip(1)

PLAN = Plan(InputSpec(resize=(32,), crop=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3), "drift 1")

def load(spec):
    return Drift(SHARES.get(spec.name, 0.0)).eval()

BACKEND = Backend("drift", lambda: ("one", "two", "still"), lambda spec: PLAN, load, load)
'''


def install(site: Path, version: str, *, weights: int = 0, **shares: float) -> None:
    """Write the package, or upgrade it, and let this process forget the one before.

    Args:
        site: Folder of installed packages, on this process's path.
        version: Of the package.
        weights: Which weights its networks have.
        shares: By how much each network's numbers differ from those of the first version.
    """
    info = site / "vqa_drift-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vqa-drift\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[vqa.backends]\ndrift = vqa_drift:BACKEND\n")
    (site / "vqa_drift.py").write_text(_MODULE.format(shares=shares, weights=weights))
    for compiled in site.glob("__pycache__/*"):
        compiled.unlink()
    sys.modules.pop("vqa_drift", None)
    backends._plugins.cache_clear()
