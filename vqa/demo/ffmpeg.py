"""The FFmpeg program that imageio-ffmpeg carries: found, run with argument lists, asked for VMAF or SSIM."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa.errors import VqaError

_RUN_SECONDS = 300
_PROBE_INPUT = ("-f", "lavfi", "-i", "testsrc2=size=192x128:rate=25:duration=0.08")


@dataclass(frozen=True)
class Metric:
    """A full-reference quality metric of FFmpeg, on the scale 0 (worst) to 100 (equal to the reference)."""

    name: str
    filter: str
    """FFmpeg's filter for it; takes the distorted video first, the reference second."""
    result: str
    """Regular expression for the mean over frames in FFmpeg's log."""
    factor: float
    """Brings the logged number to the scale 0 to 100."""


VMAF = Metric("VMAF", "libvmaf=n_threads=2", r"VMAF score: ([\d.]+)", 1.0)
SSIM = Metric("SSIM", "ssim", r"SSIM Y:([\d.]+)", 100.0)
"""Of the luma plane; stands in where FFmpeg was built without libvmaf (64-bit Arm)."""


def find_ffmpeg() -> Path:
    """Return the path of the FFmpeg program.

    Raises:
        VqaError: the extra `demo` is not installed, or has no FFmpeg for this machine.
    """
    try:
        return Path(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except ImportError as error:
        raise VqaError('the demo needs FFmpeg, and imageio-ffmpeg is not installed; pip install "vqa[demo]"') from error
    except RuntimeError as error:
        raise VqaError(
            "imageio-ffmpeg carries no FFmpeg for this machine; install FFmpeg and set IMAGEIO_FFMPEG_EXE to its path"
        ) from error


def run_ffmpeg(ffmpeg: Path, arguments: Sequence[str], *, task: str) -> str:
    """Run FFmpeg and return its log.

    Args:
        ffmpeg: The program.
        arguments: What to do; input and output paths are absolute, so that none reads as an option.
        task: What it is for, as the error names it.

    Raises:
        VqaError: FFmpeg can't be started, fails, or takes longer than five minutes.
    """
    command = [str(ffmpeg), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-y", *arguments]
    try:
        result = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", timeout=_RUN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise VqaError(f"{task}: FFmpeg took longer than {_RUN_SECONDS} s; run the same command again") from error
    except OSError as error:
        raise VqaError(
            f"{task}: {ffmpeg} can't be started ({error.strerror}); reinstall it: "
            "pip install --force-reinstall imageio-ffmpeg"
        ) from error
    if result.returncode != 0:
        found = re.search(r"\[(?:error|fatal)\] (.*\S)", result.stderr)
        reason = found[1] if found else f"exit status {result.returncode}"
        raise VqaError(f"{task}: FFmpeg failed ({reason}); check the free disk space, then run the same command again")
    return result.stderr


def choose_metric(ffmpeg: Path) -> Metric:
    """Return VMAF where this FFmpeg can really measure it, else SSIM.

    A trial run, since a filter that is listed may still lack its model.
    """
    trial = [*_PROBE_INPUT, *_PROBE_INPUT, "-lavfi", VMAF.filter, "-f", "null", "-"]
    try:
        run_ffmpeg(ffmpeg, trial, task="VMAF trial")
    except VqaError:
        return SSIM
    return VMAF


def measure(ffmpeg: Path, clip: Path, reference: Path, *, metric: Metric) -> float:
    """Return the metric's mean over the frames of a clip, 0 (worst) to 100 (equal to the reference).

    Frames are compared by their number, whatever the two containers' clocks.

    Raises:
        VqaError: FFmpeg fails or logs no result.
    """
    numbered = "settb=1/25,setpts=N"
    graph = f"[0:v]{numbered}[distorted];[1:v]{numbered}[reference];[distorted][reference]{metric.filter}"
    inputs = ["-i", str(clip), "-i", str(reference)]
    log = run_ffmpeg(ffmpeg, [*inputs, "-lavfi", graph, "-f", "null", "-"], task=f"{metric.name} of {clip.name}")
    found = re.search(metric.result, log)
    if found is None:
        raise VqaError(
            f"{metric.name} of {clip.name}: FFmpeg logged no result; upgrade it: pip install -U imageio-ffmpeg"
        )
    return round(float(found[1]) * metric.factor, 3)
