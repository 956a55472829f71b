"""Which networks are on a device: all while they fit, else they take turns."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import nn

from vqa.errors import VqaError

_WORKING_SHARE = 0.4
"""Part of a device's memory kept for activations."""


class Residency:
    """Brings networks to a device when they are needed, and sends the longest unused away when room is needed.

    A network's weights never change, so the host keeps its copy and leaving the device costs nothing. On the CPU there
    is nothing to move.

    Args:
        networks: On the host, by position; candidates that differ in their view alone share one.
        device: Where they are needed.
        total_bytes: Memory of the device; asked of the driver if not given.
    """

    def __init__(
        self,
        networks: Mapping[int, nn.Module],
        device: torch.device,
        total_bytes: Callable[[torch.device], int] | None = None,
    ) -> None:
        self._hosted = networks
        self._device = device
        self._sizes = {network: _bytes(network) for network in networks.values()}
        self._placed: OrderedDict[nn.Module, nn.Module] = OrderedDict()
        measure = total_bytes or _device_bytes
        self._limit = None if device.type == "cpu" else int(measure(device) * (1 - _WORKING_SHARE))

    @property
    def takes_turns(self) -> bool:
        """Whether the networks do not fit together."""
        return self._limit is not None and sum(self._sizes.values()) > self._limit

    def place(self, index: int) -> nn.Module:
        """Return a network on the device, sending others away as far as it needs their room.

        Raises:
            VqaError: it does not even fit alone.
        """
        hosted = self._hosted[index]
        if self._limit is None:
            return hosted
        if hosted not in self._placed:
            while self._placed and self._held() + self._sizes[hosted] > self._limit:
                self._placed.popitem(last=False)
            self._placed[hosted] = self._moved(hosted)
        self._placed.move_to_end(hosted)
        return self._placed[hosted]

    def keep_only(self, index: int) -> bool:
        """Send all networks but one away; return whether that made room."""
        kept = self._hosted[index]
        others = [network for network in self._placed if network is not kept]
        for network in others:
            del self._placed[network]
        if others:
            torch.cuda.empty_cache()
        return bool(others)

    def _moved(self, hosted: nn.Module) -> nn.Module:
        """Copy a network to the device; if other programs took its room meanwhile, alone."""
        try:
            return copy.deepcopy(hosted).to(self._device)
        except torch.OutOfMemoryError:
            self._placed.clear()
            torch.cuda.empty_cache()
        try:
            return copy.deepcopy(hosted).to(self._device)
        except torch.OutOfMemoryError as error:
            raise VqaError(
                f"a network of {self._sizes[hosted] / 1e6:.0f} MB does not fit into the memory of {self._device}; "
                "free it, or use --device cpu"
            ) from error

    def _held(self) -> int:
        return sum(self._sizes[network] for network in self._placed)


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _device_bytes(device: torch.device) -> int:
    """Return the memory of a device that is free, or that this process holds already."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return 1 << 62
