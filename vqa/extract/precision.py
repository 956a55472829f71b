"""Which precision a candidate runs in: measured, never assumed.

bfloat16 is taken only where the hardware has it natively and the candidate's features stay within a cosine of .999 of
float32 on a few fixed frames. Networks of depthwise convolutions often don't: mobilenetv2 falls to .98.
"""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vqa.extract.model import run_network
from vqa.extract.processor import cpu_capabilities
from vqa.extract.spec import Candidate
from vqa.extract.views import render, view_of

MIN_COSINE = 0.999
_PHOTOS = ("china.jpg", "flower.jpg")
_PROBES = 16
_PROBE_BATCH = 4


def native_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware (CUDA from Ampere on, AMX, AVX512-BF16)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = cpu_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


def choose_precision(candidate: Candidate, network: nn.Module, device: torch.device) -> str:
    """Return `bfloat16` where it is native and its features agree with float32's, else `float32`."""
    if not native_bfloat16(device):
        return "float32"
    return "bfloat16" if precision_cosine(candidate, network, device) >= MIN_COSINE else "float32"


def precision_cosine(candidate: Candidate, network: nn.Module, device: torch.device) -> float:
    """Return the smallest cosine between bfloat16 and float32 features over the probe frames, -1 to 1."""
    frames = probe_input(candidate)
    if device.type != "cpu":
        network = copy.deepcopy(network).to(device)
    exact, rough = (
        torch.cat(
            [
                run_network(network, part.to(device), replace(candidate, precision=precision)).cpu()
                for part in torch.split(frames, 1 if candidate.clip_frames else _PROBE_BATCH)
            ]
        )
        for precision in ("float32", "bfloat16")
    )
    return float(torch.nn.functional.cosine_similarity(exact, rough).min())


def probe_input(candidate: Candidate) -> Tensor:
    """Return the candidate's view of fixed frames cut out of two photographs, the same everywhere.

    Returns:
        uint8 frames (16, 3, h, w), or two clips (2, T, 3, h, w) for a video network: a pan over each photograph.
    """
    view, clip_frames = view_of(candidate), candidate.clip_frames
    if not clip_frames:
        return torch.stack([render(frame, view) for frame in _windows(_PROBES // len(_PHOTOS))])
    frames = torch.stack([render(frame, view) for frame in _windows(clip_frames)])
    return frames.view(len(_PHOTOS), clip_frames, *frames.shape[1:])


def _windows(count: int) -> list[NDArray[np.uint8]]:
    """Cut `count` windows of 360 lines out of each photograph (427 x 640), moving from corner to corner."""
    windows = []
    for photo in _PHOTOS:
        pixels = _photo(photo)
        for step in np.linspace(0, 1, count):
            top, left = int(step * (pixels.shape[0] - 360)), int(step * (pixels.shape[1] - 540))
            windows.append(np.ascontiguousarray(pixels[top : top + 360, left : left + 540]))
    return windows


def _photo(name: str) -> NDArray[np.uint8]:
    """Return one of scikit-learn's photographs: out of its folder, since importing it takes as long as torch."""
    package = importlib.util.find_spec("sklearn")
    folders = [] if package is None else package.submodule_search_locations or []
    files = [path for path in (Path(folder, "datasets", "images", name) for folder in folders) if path.is_file()]
    if files:
        with Image.open(files[0]) as photo:
            return np.asarray(photo)
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image(name), dtype=np.uint8)
