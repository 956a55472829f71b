"""What the CPU of this machine can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def cpu_capabilities() -> Mapping[str, Any]:
    """Return the CPU's name and instruction sets as torch tells them; nothing where this torch does not."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
