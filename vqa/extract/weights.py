"""Pretrained weights: read without running code, loaded whole or not at all, and errors a user can act on."""

from __future__ import annotations

import pickle
import urllib.error
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.errors import WeightsError
from vqa.extract.spec import ModelSpec
from vqa.files import downloads, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_NESTS = ("state_dict", "model")
_BATCH_COUNTER = "num_batches_tracked"
_SHOWN_KEYS = 3
_SHOWN_CHARACTERS = 160


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary from a safetensors file or a PyTorch checkpoint, onto the CPU.

    A checkpoint that keeps it under `state_dict` or `model` is unwrapped. Pickled code is refused, not run.

    Raises:
        WeightsError: the file is missing, damaged, holds code, or holds something other than named tensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file; check the path")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    return _checked_state(content, path)


def _read_safetensors(path: Path) -> object:
    """Read a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: is no readable safetensors file ({_first_line(error)}); fetch it again") from error


def _read_checkpoint(path: Path) -> object:
    """Read a PyTorch checkpoint of plain tensors."""
    import torch

    try:
        _check_archive(path)
        return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: is no checkpoint of plain tensors: it is damaged or holds code, which is not run; "
            "save it as .safetensors where it came from"
        ) from error
    except Exception as error:
        raise WeightsError(f"{path}: is no readable checkpoint ({_first_line(error)}); fetch it again") from error


def _check_archive(path: Path) -> None:
    """Refuse a checkpoint with packed members: PyTorch writes none, and a small file could unpack to any size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are packed, or larger than the file")


def _checked_state(content: object, path: Path) -> dict[str, Tensor]:
    """Return the content if it is a dictionary of named tensors."""
    import torch

    state: dict[str, Tensor] = {}
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{path}: {key!r} in it is no named tensor; save the state_dict alone")
        state[key] = value
    if not state:
        raise WeightsError(f"{path}: holds no named tensors; save the network's state_dict")
    return state


def load_strictly(
    network: nn.Module, state: Mapping[str, Tensor], *, source: str, drop_prefixes: tuple[str, ...] = ()
) -> None:
    """Copy weights into a network: every tensor of both sides must find its counterpart, of the same shape.

    Args:
        network: Changed in place.
        state: Tensors by name.
        source: What the weights are, for messages: a model spec or a path.
        drop_prefixes: Tensors of `state` whose name starts with one of these are left out on purpose, such as the
            classifier that features do not need.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape; names the first few.
    """
    given = {name: tensor for name, tensor in state.items() if not name.startswith(drop_prefixes)}
    wanted = network.state_dict()
    faults = {
        # Batch counters do not change outputs, and old checkpoints lack them: PyTorch itself fills them in.
        "missing": [name for name in wanted if name not in given and not name.endswith(_BATCH_COUNTER)],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} for {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in given and given[name].shape != tensor.shape
        ],
    }
    found = [f"{len(names)} {fault}: {_few(names)}" for fault, names in faults.items() if names]
    if found:
        raise WeightsError(f"{source}: the weights do not fit the network ({'; '.join(found)}); use those made for it")
    network.load_state_dict(given)


def file_id(path: Path) -> str:
    """Return `sha256:HEX` of a local weights file.

    Raises:
        WeightsError: the file is missing or can't be read.
    """
    try:
        return f"sha256:{sha256_of(path)}"
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error.strerror or error}); check the path") from error


class SwitchedOff(urllib.error.URLError):
    """What a library meets that asks the network although it is switched off."""


def hub_error(spec: ModelSpec, error: Exception) -> WeightsError:
    """Turn what a library raised while fetching weights into one line: the model, the reason, the next step."""
    return WeightsError(
        f"{spec}: weights can't be had ({_reason(error)}); run `vqa models fetch {spec}` where the hub "
        f"can be reached, or name a local file: {spec.backend}:{spec.name}/FILE.safetensors"
    )


def _reason(error: BaseException) -> str:
    """Say in a few words why weights could not be fetched, from the most telling error of the chain."""
    from huggingface_hub import errors as hub

    if downloads().offline and isinstance(error, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, SwitchedOff)):
        return "they are not on this machine, and --offline asks no network"
    told = (
        (hub.GatedRepoError, "access must be asked for at the hub, then log in"),
        (hub.RepositoryNotFoundError, "the hub has no such repository, or it is private"),
        (hub.OfflineModeIsEnabled, "the hub is switched off by HF_HUB_OFFLINE"),
        (hub.LocalEntryNotFoundError, "they are not in the local cache and the hub can't be reached"),
        (hub.EntryNotFoundError, "the hub has no such file"),
        (urllib.error.HTTPError, f"the server answered {getattr(error, 'code', '')}"),
        (urllib.error.URLError, f"the server can't be reached: {getattr(error, 'reason', '')}"),
        (ConnectionError, "the server can't be reached"),
        (TimeoutError, "no answer from the server in time"),
    )
    for kind, reason in told:
        if isinstance(error, kind):
            return _short(reason)
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    """Return an error's first line of text, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _short(lines[0]) if lines else type(error).__name__


def _short(text: str) -> str:
    """Cut a text to a length that fits a line of a table."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 3]}..."


def _few(names: list[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:_SHOWN_KEYS]) + (", ..." if len(names) > _SHOWN_KEYS else "")
