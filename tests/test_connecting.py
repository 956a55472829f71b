"""What is Ray's own to say stays out of the results; no cluster is started here."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

import ray

from vqa.pipeline.cluster import connecting
from vqa.pipeline.cluster.connecting import connected


def test_what_ray_prints_in_any_thread_or_at_its_end_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def last_words() -> None:
        sys.stdout.write("(raylet) Raylet is terminated\n")
        sys.stderr.write("(raylet) and so is its agent\n")

    monkeypatch.setattr(connecting, "_join", lambda address: None)
    monkeypatch.setattr(ray, "shutdown", last_words)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="a:1"))
    with connected(None) as address:
        thread = threading.Thread(target=lambda: sys.stdout.write("(raylet) is busy\n"))
        thread.start()
        thread.join()
        sys.stdout.write(f"{address}\n")
    sys.stdout.write("after\n")
    assert capsys.readouterr() == ("a:1\nafter\n", "")
