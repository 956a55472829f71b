"""What the CPU of this machine can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vqa.rlimits import core_quota


def cpu_capabilities() -> Mapping[str, Any]:
    """Return the CPU's name and instruction sets as torch tells them; nothing where this torch does not."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def torch_threads() -> int:
    """Return how many threads networks on the CPU take: as many as torch is set to, or as a quota of cores allows."""
    threads = torch.get_num_threads()
    return min(threads, core_quota() or threads)
