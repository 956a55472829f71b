"""Video networks of transformers (https://huggingface.co/docs/transformers), the optional extra `transformers`.

`transformers:OWNER/REPOSITORY` names a repository of the model hub, such as
`transformers:facebook/timesformer-base-finetuned-k400`. A checkpoint on the disk is named by its weights file,
`transformers:LABEL/FOLDER/model.safetensors`, beside which `config.json` and `preprocessor_config.json` must lie; LABEL
is any word, and an absolute folder makes two slashes.

- Classifiers (TimeSformer, VideoMAE, ViViT, V-JEPA 2): what goes into their last layer.
- Encoders (VideoMAE, V-JEPA 2): the mean over all tokens; decoder and predictor are left out.
- X-CLIP: the clip's embedding, before normalisation; the text tower is left out.

The input is what the repository's own preprocessing gives. It is kept here for the repositories of the pool, which are
therefore known without the hub; of others the hub's files must lie in the local cache. Code from a repository is never
run: only classes of the library itself are built.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from torch import float32, nn

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import Backend
from vqa.extract.backends.hub_files import hub_files
from vqa.extract.backends.transformers_families import (
    ARCHITECTURES,
    FAMILIES,
    POOL,
    Architecture,
    ClipFeatures,
    Published,
    clip_frames_of,
    input_of,
)
from vqa.extract.spec import InputSpec, ModelSpec, Plan
from vqa.extract.weights import file_id

_NAME = "transformers"

_CONFIG = "config.json"
_PREPROCESSING = ("video_preprocessor_config.json", "preprocessor_config.json")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_LEADING_AWAY = ("transformers_weights", "quantization_config")


def list_names() -> tuple[str, ...]:
    """Return the repositories of the pool; any other of the same architectures can be named, too."""
    return tuple(POOL)


def _repository(spec: ModelSpec) -> str:
    """Return the hub's name of a repository."""
    return f"{spec.name}/{spec.weights}" if spec.weights else spec.name


def _published(spec: ModelSpec) -> Published:
    """Return what the files of a spec's checkpoint say, without asking the hub.

    Raises:
        UnknownModelError: the checkpoint is of an architecture that gives no clip features.
        WeightsError: the files are not there or not to be read.
    """
    repository = _repository(spec)
    published = POOL.get(repository) if not spec.weights_are_a_file else None
    if published is None:
        preprocessing = next((path for name in _PREPROCESSING if (path := _find_file(spec, name))), None)
        published = Published(
            _read_json(spec, _find_file(spec, _CONFIG), _CONFIG), _read_json(spec, preprocessing, _PREPROCESSING[-1])
        )
    kind = next(iter(published.config.get("architectures") or ()), "no architecture")
    if kind not in ARCHITECTURES or published.config.get("model_type") not in FAMILIES:
        raise UnknownModelError(
            f"{spec}: a checkpoint of {kind} gives no clip features; use one of {', '.join(ARCHITECTURES)}"
        )
    return published


def _find_file(spec: ModelSpec, name: str) -> Path | None:
    """Return where a checkpoint's file lies: beside a local weights file, or in the hub's local cache."""
    if spec.weights_are_a_file:
        beside = Path(spec.weights).with_name(name)
        return beside if beside.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(_repository(spec), name)
    except HFValidationError as error:
        raise UnknownModelError(f"{spec}: that is no name of a hub repository; write {_NAME}:OWNER/NAME") from error
    return Path(cached) if isinstance(cached, str) else None


def _read_json(spec: ModelSpec, path: Path | None, name: str) -> Mapping[str, Any]:
    """Read one of a checkpoint's files.

    Raises:
        WeightsError: it is not there, or is no JSON object.
    """
    if path is None:
        fetch = f"run `hf download {_repository(spec)}` or `vqa models fetch {spec}`"
        if spec.weights_are_a_file:
            fetch = f"put it beside {spec.weights}"
        raise WeightsError(f"{spec}: its {name} is not on this machine; {fetch}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: can't be read as JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: is no JSON object; fetch it again")
    return content


def describe(spec: ModelSpec) -> Plan:
    """Return input and weights of a checkpoint; asks no network and does not import the library.

    Raises:
        UnknownModelError: the checkpoint gives no clip features.
        WeightsError: its configuration is not on this machine, or its local weights file is missing.
    """
    weights = _local_id(spec) if spec.weights_are_a_file else f"hub:{_repository(spec)}"
    published = _published(spec)
    try:
        return Plan(input_of(published), weights)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{spec}: its configuration lacks or garbles {error}; fetch it again") from error


def _local_id(spec: ModelSpec) -> str:
    """Name a local checkpoint by the bytes of its weights and of its configuration, which decides as much."""
    path = Path(spec.weights)
    if path.name not in _WEIGHTS:
        raise WeightsError(f"{path}: the library reads {' or '.join(_WEIGHTS)} only; rename it")
    ids = f"{file_id(path)} {file_id(path.with_name(_CONFIG))}"
    return f"sha256:{hashlib.sha256(ids.encode()).hexdigest()}"


def _auto(spec: ModelSpec, architecture: Architecture) -> tuple[Any, Any]:
    """Import the library: the class that finds configurations, and the one that finds this architecture.

    Raises:
        WeightsError: the library is not installed.
    """
    try:
        from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification
    except ImportError as error:
        raise WeightsError(f"{spec}: needs transformers ({error}); run pip install 'vqa[transformers]'") from error
    return AutoConfig, AutoModelForVideoClassification if architecture.classifies else AutoModel


def build(spec: ModelSpec) -> nn.Module:
    """Return a checkpoint's network with the parameters its initialiser leaves.

    Raises:
        UnknownModelError: the checkpoint gives no clip features.
        WeightsError: its configuration is not on this machine, or the library is not installed.
    """
    config = dict(_published(spec).config)
    architecture = ARCHITECTURES[config["architectures"][0]]
    configs, models = _auto(spec, architecture)
    network = models.from_config(configs.for_model(config.pop("model_type"), **config))
    return ClipFeatures(network, architecture).eval()


def load(spec: ModelSpec) -> nn.Module:
    """Return a checkpoint's network with its weights, from the hub or the disk.

    Raises:
        UnknownModelError: the checkpoint gives no clip features.
        WeightsError: the weights can't be had or do not fit, or the library is not installed.
    """
    _fetch_configuration(spec)
    plan = describe(spec)
    architecture = ARCHITECTURES[_published(spec).config["architectures"][0]]
    _, models = _auto(spec, architecture)
    path = _weights_file(spec)
    _check_leads_nowhere(spec, path.with_name(_CONFIG))
    network, found = _read(path, models)
    _check_whole(spec, architecture, found)
    _check_configuration(spec, plan, network.config.to_dict())
    return ClipFeatures(network, architecture).eval()


def _fetch_configuration(spec: ModelSpec) -> None:
    """Bring what `describe` reads of a repository that is not of the pool to the hub's local cache.

    Raises:
        UnknownModelError: that is no name of a repository.
        WeightsError: the hub does not give it.
    """
    if spec.weights_are_a_file or _repository(spec) in POOL or _find_file(spec, _CONFIG):
        return
    hub_files(spec, _repository(spec), (_CONFIG,), _PREPROCESSING)


def _weights_file(spec: ModelSpec) -> Path:
    """Return a checkpoint's weights file, with its configuration beside it; from the hub, if it is not here yet.

    Raises:
        WeightsError: the hub does not give them.
    """
    if spec.weights_are_a_file:
        return Path(spec.weights)
    # Not left to the library: for repositories without safetensors it asks a server on the hub to convert them.
    described = () if _repository(spec) in POOL else (_PREPROCESSING,)
    return hub_files(spec, _repository(spec), (_CONFIG,), *described, _WEIGHTS)[-1]


def _check_leads_nowhere(spec: ModelSpec, config: Path) -> None:
    """Refuse a configuration that makes the library read other weights than those whose bytes were checked.

    Raises:
        WeightsError: it does.
    """
    content = _read_json(spec, config if config.is_file() else None, _CONFIG)
    for key in _LEADING_AWAY:
        if key in content:
            raise WeightsError(f"{spec}: its {_CONFIG} holds {key!r}, by which other weights are read; use another one")


def _read(path: Path, models: Any) -> tuple[Any, Mapping[str, Any]]:
    """Let the library read a checkpoint; return the network and the library's report on its tensors.

    Raises:
        WeightsError: the file is damaged, or holds code.
    """
    try:
        with _quiet():
            found: tuple[Any, Mapping[str, Any]] = models.from_pretrained(
                str(path.parent),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=path.suffix == ".safetensors",
                dtype=float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported instead of raised, to be refused with the missing ones
            )
    except (OSError, RuntimeError, ValueError, UnpicklingError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{path}: is no readable checkpoint ({reason}); fetch it again") from error
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from drawing progress and printing its report on tensors, which is judged here."""
    from transformers.utils import logging

    output: Any = logging
    level, drawing = output.get_verbosity(), output.is_progress_bar_enabled()
    output.set_verbosity_error()
    output.disable_progress_bar()
    try:
        yield
    finally:
        output.set_verbosity(level)
        if drawing:
            output.enable_progress_bar()


def _check_whole(spec: ModelSpec, architecture: Architecture, found: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that left tensors at random values which features need.

    Raises:
        WeightsError: tensors are missing or of another shape; names the first few.
    """
    unused = tuple(f"{part}." for part in architecture.unused)
    faults = {
        "missing": [name for name in found["missing_keys"] if not name.startswith(unused)],
        "of another shape": [key[0] for key in found["mismatched_keys"] if not key[0].startswith(unused)],
    }
    told = [f"{len(names)} {fault}: {', '.join(sorted(names)[:3])}" for fault, names in faults.items() if names]
    if told:
        raise WeightsError(f"{spec}: the weights do not fit the network ({'; '.join(told)}); use those made for it")


def _check_configuration(spec: ModelSpec, plan: Plan, config: Mapping[str, Any]) -> None:
    """Refuse a repository whose configuration is another than the one its input was planned from.

    Raises:
        WeightsError: the clips that it takes have another length.
    """
    frames = clip_frames_of(config)
    planned = plan.input.clip_frames if isinstance(plan.input, InputSpec) else 0
    if frames != planned:
        raise WeightsError(f"{spec}: its configuration now says {frames} frames, not {planned}; report it to vqa")


BACKEND = Backend(_NAME, list_names, describe, build, load)
