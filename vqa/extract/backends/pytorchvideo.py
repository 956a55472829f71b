"""Video networks of the model zoo of pytorchvideo (https://github.com/facebookresearch/pytorchvideo).

`pytorchvideo:NAME[/FILE]`, by the zoo's own names; there is one, `slowfast_r50`: SlowFast R50 8 x 8, Kinetics-400. The
package itself is not needed: the network is ours, its tensors have the zoo's names. Features are what goes into the
classifier, averaged over its places.

The input is the zoo's: shorter side 256, bilinear without antialiasing, centre square, 32 frames, every second one of
30 frames per second. The zoo publishes no hash of its file, so a download can't be checked against one; the features
are stored with the SHA-256 of the weights that were loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import Backend, suggest
from vqa.extract.backends.hub import fetching
from vqa.extract.spec import InputSpec, ModelSpec, Plan
from vqa.extract.weights import file_id, load_strictly, read_state

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAME = "pytorchvideo"

_URLS = {
    "slowfast_r50": "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth",
}

_NEST = "model_state"
"""Where the zoo's files keep the tensors."""

_CLASSIFIER = "blocks.6."

_INPUT = InputSpec(
    resize=(256,),
    crop=(256, 256),
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
    interpolation="bilinear",
    antialias=False,
    clip_frames=32,
    clip_fps=15.0,
)


def list_names() -> tuple[str, ...]:
    """Return the names of the zoo's networks."""
    return tuple(_URLS)


def describe(spec: ModelSpec) -> Plan:
    """Return input and weights of a network.

    Raises:
        UnknownModelError: there is no such network, or it has no such weights.
        WeightsError: the local weights file is missing.
    """
    url = _url(spec)
    return Plan(_INPUT, file_id(Path(spec.weights)) if spec.weights_are_a_file else f"hub:{url}")


def _url(spec: ModelSpec) -> str:
    """Return where a network's weights are published.

    Raises:
        UnknownModelError: there is no such network, or it has no such weights.
    """
    if spec.name not in _URLS:
        raise UnknownModelError(f"pytorchvideo has no model {spec.name!r} here; {suggest(spec.name, list_names())}")
    if spec.weights and not spec.weights_are_a_file:
        raise UnknownModelError(f"{spec}: {spec.name} has one set of weights; write {_NAME}:{spec.name}")
    return _URLS[spec.name]


def build(spec: ModelSpec) -> nn.Module:
    """Return a network with the parameters its initialiser leaves.

    Raises:
        UnknownModelError: there is no such network, or it has no such weights.
    """
    _url(spec)
    from vqa.extract.networks.slowfast import SlowFast

    return SlowFast().eval()


def load(spec: ModelSpec) -> nn.Module:
    """Return a network with the zoo's weights or those of a local file.

    Raises:
        UnknownModelError: there is no such network, or it has no such weights.
        WeightsError: the weights can't be had or do not fit.
    """
    state = _fetch(spec)
    network = build(spec)
    load_strictly(network, state, source=str(spec), drop_prefixes=(_CLASSIFIER,))
    return network


def _fetch(spec: ModelSpec) -> Mapping[str, Tensor]:
    """Read all tensors of a local file, or of the zoo's, which is kept in torch's hub folder."""
    if spec.weights_are_a_file:
        return read_state(Path(spec.weights))
    from torch import hub

    url = _url(spec)
    path = Path(hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    is_new = not path.exists()
    with fetching(spec):
        try:
            content: Any = hub.load_state_dict_from_url(url, map_location="cpu", progress=False, weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            if is_new:  # cut short on its way, which no hash tells: the next fetch is to start anew
                path.unlink(missing_ok=True)
            raise RuntimeError(f"what came is damaged; {'try again' if is_new else f'remove {path}'}") from error
    state = content.get(_NEST) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise WeightsError(f"{spec}: the published file holds no {_NEST!r}; name a local file: {spec}/FILE.safetensors")
    return state


BACKEND = Backend(_NAME, list_names, describe, build, load)
