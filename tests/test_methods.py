from __future__ import annotations

import pytest

from vqa.errors import DegenerateDataError
from vqa.train.methods import METHODS, find_method
from vqa.train.settings import TrainSettings


def test_the_papers_method_is_one_network_without_anything_beside_it():
    method = find_method("ptm-vqa")
    assert method.settings.paths == ("network",)
    assert (method.settings.restarts, method.settings.scaling, method.fusion) == (1, "standard", "inverse")


def test_the_default_method_has_the_default_settings():
    assert METHODS["blend"].settings == TrainSettings()


def test_settings_are_replaced_by_name():
    method = find_method("ptm-vqa", {"margin": 0.5, "fusion": "uniform", "inter_weight": 0.0})
    assert (method.settings.margin, method.settings.inter_weight, method.fusion) == (0.5, 0.0, "uniform")
    assert method.settings.paths == ("network",)


def test_an_unknown_method_gets_a_hint_and_an_unknown_rule_the_known_ones():
    with pytest.raises(DegenerateDataError, match="there is no method 'ptmvqa'; did you mean ptm-vqa"):
        find_method("ptmvqa")
    with pytest.raises(DegenerateDataError, match="use one of: srocc, inverse, softmax, uniform"):
        find_method("blend", {"fusion": "mean"})
