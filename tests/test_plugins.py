"""Backends that other packages bring: found by their entry point, imported only when asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from media import grey_frames, write_video

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract import backends
from vqa.extract.backends import find_backend, plugin_names, plugin_versions

EXAMPLE = Path(__file__).parent / "plugin_example"


DOC = Path(__file__).parents[1] / "docs" / "backends.md"


@pytest.mark.parametrize(("language", "name"), [("toml", "pyproject.toml"), ("python", "vqa_toy.py")])
def test_the_documentation_shows_the_example_package_as_it_is(language: str, name: str) -> None:
    shown = DOC.read_text(encoding="utf-8").split(f"```{language}\n")[1].split("```")[0]
    assert shown == (EXAMPLE / name).read_text(encoding="utf-8")


def write_package(folder: Path, package: str, points: dict[str, str], modules: dict[str, str]) -> None:
    """Write an installed package by hand: its metadata and modules, as pip would leave them."""
    info = folder / f"{package.replace('-', '_')}-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.5\n")
    entries = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[vqa.backends]\n{entries}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages on this process's path."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    backends._plugins.cache_clear()
    yield tmp_path / "site"
    backends._plugins.cache_clear()


def test_the_example_package_is_installed_and_its_backbone_extracted(tmp_path: Path) -> None:
    source, site, folder = tmp_path / "source", tmp_path / "site", tmp_path / "w"
    shutil.copytree(EXAMPLE, source)  # building writes beside the sources
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)
    (tmp_path / "clips").mkdir()
    folder.mkdir()
    (folder / "vqa.toml").write_text('[dataset]\nvideos = "../clips"\n')
    write_video(tmp_path / "clips" / "a.mp4", grey_frames())

    def vqa(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "vqa", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    extracted = json.loads(vqa("extract", "-C", folder, "--models", "toy:mean", "--precision", "float32", "--json"))
    assert [(row["name"], row["stored"]) for row in extracted["candidates"]] == [("toy:mean", 1)]
    (held,) = json.loads(vqa("cache", "info", "-C", folder, "--json"))["candidates"]
    assert (held["record"]["name"], held["videos"], held["width"]) == ("toy:mean", 1, 8)
    assert json.loads(held["record"]["details"])["weights_id"] == "vqa-toy mean 1"
    assert [line.split() for line in vqa("models", "toy:*").splitlines() if "toy:" in line] == [["toy:mean", *"------"]]


def test_a_plugin_is_imported_only_when_it_is_asked_for(site: Path) -> None:
    code = (
        "from vqa.extract.backends import Backend\n"
        "BACKEND = Backend('extra', tuple, describe=None, build=None, load=None)\n"
    )
    write_package(site, "vqa-extra", {"extra": "extra_module:BACKEND"}, {"extra_module": code})
    assert "extra" in plugin_names()
    assert plugin_versions()["vqa-extra"] == "2.5"
    assert find_backend("classic").name == "classic"
    assert "extra_module" not in sys.modules
    assert find_backend("extra").name == "extra"
    assert sys.modules.pop("extra_module")


@pytest.mark.parametrize(
    ("value", "modules", "message"),
    [
        ("gone:BACKEND", {}, "can't be imported (ModuleNotFoundError: No module named 'gone')"),
        ("bad1:BACKEND", {"bad1": "raise RuntimeError('no\\nluck')"}, "can't be imported (RuntimeError: no luck)"),
        ("bad2:NONE", {"bad2": ""}, "can't be imported (AttributeError: module 'bad2' has no attribute 'NONE')"),
        ("bad3:BACKEND", {"bad3": "BACKEND = 3"}, "offers no backend of that name at bad3:BACKEND"),
    ],
)
def test_a_broken_plugin_is_an_error_of_its_own_name_alone(
    site: Path, value: str, modules: dict[str, str], message: str
) -> None:
    write_package(site, "vqa-broken", {"broken": value}, modules)
    assert find_backend("classic").name == "classic"
    with pytest.raises(WeightsError) as caught:
        find_backend("broken")
    assert str(caught.value).startswith("broken: the package vqa-broken ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_ours_is_refused_by_name_and_others_go_on(site: Path) -> None:
    write_package(site, "vqa-thief", {"timm": "thief:BACKEND"}, {})
    with pytest.raises(UnknownModelError, match=r"^vqa-thief bring\(s\) a backend 'timm', which is one of vqa's own; "):
        find_backend("timm")
    assert find_backend("classic").name == "classic"


def test_two_packages_with_one_name_are_both_refused(site: Path) -> None:
    write_package(site, "vqa-one", {"same": "one:BACKEND"}, {})
    write_package(site, "vqa-two", {"same": "two:BACKEND"}, {})
    with pytest.raises(UnknownModelError, match=r"vqa-(one|two) and vqa-(one|two) bring\(s\) a backend 'same', each"):
        find_backend("same")


def test_a_misspelt_plugin_gets_a_did_you_mean(site: Path) -> None:
    write_package(site, "vqa-extra", {"pixelwise": "gone:BACKEND"}, {})
    with pytest.raises(UnknownModelError, match="did you mean pixelwise"):
        find_backend("pixelwize")
