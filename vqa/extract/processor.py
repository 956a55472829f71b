"""What the CPU of this machine can do, and how many threads of torch may do it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from vqa.rlimits import core_quota


def cpu_capabilities() -> Mapping[str, Any]:
    """Return the CPU's name and instruction sets as torch tells them; nothing where this torch does not."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


_before_fork = 0
"""Threads that torch took in the process that this one was forked from; 0 if it was not forked."""


def torch_threads() -> int:
    """Return how many threads networks on the CPU take: as many as torch is set to, or as a quota of cores allows."""
    threads = max(torch.get_num_threads(), _before_fork)
    return min(threads, core_quota() or threads)


def _take_one_thread() -> None:
    """Keep a forked process from waiting for ever for threads of OpenMP that only its parent has.

    This holds for the thread that goes on, as in workers of torch's DataLoader; networks run in threads of their own,
    which begin without any, and may take more.
    """
    global _before_fork
    _before_fork = max(torch.get_num_threads(), _before_fork)
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_take_one_thread)
