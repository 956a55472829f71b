from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def call(*command: object, cwd: Path) -> str:
    """Run a command away from the checkout, so that nothing is imported from it; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that holds the built wheel of vqa, and sees the installed libraries but not the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    venv.create(folder / "env", with_pip=False)
    bin_folder = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    site = Path(call(bin_folder / "python", "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip())
    # A .pth line adds a folder to the path without reading the .pth files in it: an editable vqa stays unseen.
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    wheel = next(folder.glob("vqa-*.whl"))
    call(
        sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "-q", "--no-deps", wheel, cwd=folder
    )
    return bin_folder


def test_the_wheel_alone_has_all_it_needs(installed: Path, tmp_path: Path) -> None:
    where = call(installed / "python", "-c", "import vqa; print(vqa.__file__)", cwd=tmp_path)
    assert str(installed.parent) in where
    assert "vqa extract --models all" in call(installed / "vqa", "--help", cwd=tmp_path)
    listed = call(installed / "vqa", "models", cwd=tmp_path)
    assert "bundled:tf_efficientnet_lite0" in listed
    assert "timm:" in listed
    listing = "from importlib.resources import files; print([(files('vqa') / n).is_file() for n in {names}])"
    names = ["py.typed", "datasets.toml", "extract/pools.toml", "demo/sources.toml"]
    names += ["report/page.html", "report/page.css", "report/page.js"]
    assert call(installed / "python", "-c", listing.format(names=names), cwd=tmp_path) == f"{[True] * 7}\n"


def test_the_version_is_the_packages(installed: Path, tmp_path: Path) -> None:
    assert call(installed / "vqa", "--version", cwd=tmp_path).split() == ["vqa", "0.1.0"]
