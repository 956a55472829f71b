"""Fetching from the model hub: whether it answers is found out once, without a network in these tests."""

from __future__ import annotations

import email.message
import ssl
import urllib.error

import pytest
from huggingface_hub import constants, get_hf_file_metadata
from huggingface_hub.errors import OfflineModeIsEnabled

from vqa.errors import WeightsError
from vqa.extract.backends import hub
from vqa.extract.spec import parse_spec

SPEC = parse_spec("timm:resnet50.a1_in1k")


def answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (urllib.error.HTTPError("http://hub", 404, "not found", email.message.Message(), None), True),
        (urllib.error.URLError(ssl.SSLCertVerificationError("unknown authority")), True),
        (urllib.error.URLError("Name or service not known"), False),
        (TimeoutError("timed out"), False),
    ],
)
def test_any_answer_will_do(error: Exception, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, error)
    assert hub._answers("http://hub") is answers


def test_the_hub_library_asks_nobody_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """It believes whatever it is told, so that files of the hub are brought before, by `hub_files`."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    answer(monkeypatch, AssertionError("the network was asked"))
    with hub.fetching(SPEC):
        assert constants.HF_HUB_OFFLINE is True
        with pytest.raises(OfflineModeIsEnabled):
            get_hf_file_metadata("http://127.0.0.1:1/a/b/resolve/main/c")
    assert constants.HF_HUB_OFFLINE is False


def test_an_offline_setting_is_kept_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    answer(monkeypatch, AssertionError("the network was asked"))
    with hub.fetching(SPEC):
        assert constants.HF_HUB_OFFLINE is True
    assert constants.HF_HUB_OFFLINE is True


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("invalid\nhash value")])
def test_a_failure_is_told_in_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_answers", lambda endpoint: True)
    with (
        pytest.raises(WeightsError, match=r"^timm:resnet50\.a1_in1k: weights can't be had") as caught,
        hub.fetching(SPEC),
    ):
        raise error
    assert "\n" not in str(caught.value)


def test_a_bug_is_not_taken_for_a_failed_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_answers", lambda endpoint: True)
    with pytest.raises(ZeroDivisionError), hub.fetching(SPEC):
        raise ZeroDivisionError
