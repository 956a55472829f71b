"""Views, statistics and a network: one decode for all of them, through the pipeline as a user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from media import write_video
from safetensors.torch import save_file

import vqa
import vqa.pipeline.candidates
from vqa.cache.store import FeatureStore

NAME = "test_resnet.r160_in1k"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    for number in range(2):
        smooth = np.kron(random.integers(0, 256, (10, 23, 40, 3)), np.ones((1, 16, 16, 1))).astype(np.uint8)
        write_video(tmp_path / "clips" / f"{number}.mp4", list(smooth))
    torch.manual_seed(0)
    save_file(timm.create_model(NAME, pretrained=False).state_dict(), tmp_path / "net.safetensors")
    (tmp_path / "vqa.toml").write_text('[dataset]\nvideos = "clips"\n[extract]\nframes = 4\nprecision = "float32"\n')
    return tmp_path


def test_all_views_and_statistics_come_of_one_decode_and_one_network(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = vqa.pipeline.candidates.load_network

    def counting(candidate: object) -> object:
        loaded.append(str(candidate))
        return load(candidate)  # type: ignore[arg-type]

    monkeypatch.setattr(vqa.pipeline.candidates, "load_network", counting)
    network = f"timm:{NAME}/{workspace}/net.safetensors"
    models = [network, f"{network}@crop", f"{network}@fragments", "classic:nss", "classic:siti"]
    report = vqa.extract_features(workspace, models)
    assert report.complete, report.failures
    assert (report.videos, report.decoded) == (2, 2)
    assert [row.stored for row in report.candidates] == [2] * 5
    assert loaded == [network, "classic:nss", "classic:siti"]

    store = FeatureStore(workspace / "cache")
    width = {stored.record.name: stored.width for stored in store.candidates()}
    assert width["classic:nss"] == 36
    assert width["classic:siti"] == 22
    assert width[network] == width[f"{network}@fragments"]
    means = {
        stored.record.name: store.read_means(stored.record.fingerprint, sorted(store.keys(stored.record.fingerprint)))
        for stored in store.candidates()
    }
    assert not np.allclose(means[network], means[f"{network}@fragments"], rtol=0.01)
    assert not np.allclose(means[f"{network}@crop"], means[f"{network}@fragments"], rtol=0.01)

    again = vqa.extract_features(workspace, [*models, f"{network}@crop"])
    assert again.decoded == 0
