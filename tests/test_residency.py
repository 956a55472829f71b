from __future__ import annotations

import pytest
import torch
from torch import nn

from vqa.errors import VqaError
from vqa.extract.residency import Residency

META = torch.device("meta")
CPU = torch.device("cpu")


def network(values: int) -> nn.Module:
    """A network of so many float32 values."""
    return nn.Linear(values, 1, bias=False)


def residency(*sizes: int, total: int) -> Residency:
    return Residency({index: network(size) for index, size in enumerate(sizes)}, META, lambda _: total)


def test_networks_that_fit_stay_on_the_device() -> None:
    device = residency(100, 100, total=2000)  # 800 bytes; 1200 of 2000 are for networks
    first, second = device.place(0), device.place(1)
    assert not device.takes_turns
    assert device.place(0) is first
    assert device.place(1) is second
    assert next(first.parameters()).device == META


def test_the_longest_unused_network_makes_room() -> None:
    device = residency(100, 100, 100, total=1400)  # 840 bytes for networks: two of three
    assert device.takes_turns
    first, second = device.place(0), device.place(1)
    assert device.place(0) is first  # used again: now the second is the longest unused
    device.place(2)
    assert device.place(0) is first
    assert device.place(1) is not second


def test_a_network_too_large_for_the_share_is_placed_alone() -> None:
    device = residency(1000, 10, total=1000)
    device.place(1)
    assert next(device.place(0).parameters()).device == META


def test_two_views_of_one_network_are_one_network_on_the_device() -> None:
    shared = network(100)
    device = Residency({0: shared, 1: shared}, META, lambda _: 1000)
    assert not device.takes_turns
    assert device.place(0) is device.place(1)


def test_the_host_keeps_its_own_weights() -> None:
    hosted = network(4)
    Residency({0: hosted}, META, lambda _: 1000).place(0)
    assert next(hosted.parameters()).device == CPU


def test_on_the_cpu_nothing_moves() -> None:
    hosted = network(4)

    def never(_: torch.device) -> int:
        pytest.fail("the CPU's memory was asked for")

    device = Residency({0: hosted}, CPU, never)
    assert device.place(0) is hosted
    assert not device.takes_turns


class Crowded(nn.Linear):
    """A network that fits onto the device only from its second try on, or never."""

    def __init__(self, failures: int) -> None:
        super().__init__(100, 1, bias=False)
        self.left = [failures]

    def __deepcopy__(self, memo: object) -> Crowded:
        return self

    def to(self, *_: object) -> Crowded:  # type: ignore[override]
        if self.left[0]:
            self.left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self


def test_room_that_others_took_meanwhile_sends_all_networks_away() -> None:
    device = Residency({0: network(100), 1: Crowded(1)}, META, lambda _: 10000)
    first = device.place(0)
    assert isinstance(device.place(1), Crowded)
    assert device.place(0) is not first


def test_a_network_that_does_not_fit_alone_is_one_line() -> None:
    device = Residency({0: Crowded(2)}, META, lambda _: 10000)
    with pytest.raises(VqaError, match="a network of 0 MB does not fit into the memory of meta; free it, or use"):
        device.place(0)


def test_one_network_may_have_the_device_to_itself() -> None:
    device = residency(100, 100, total=10000)
    first, second = device.place(0), device.place(1)
    assert device.keep_only(1)
    assert not device.keep_only(1)
    assert device.place(1) is second
    assert device.place(0) is not first
