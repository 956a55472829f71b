"""The datasets of `datasets.toml`: what `vqa init --dataset NAME` takes for known."""

from __future__ import annotations

import difflib
import functools
import hashlib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from vqa.errors import LabelsError
from vqa.settings import DatasetSettings


@dataclass(frozen=True)
class PublishedList:
    """A published list of videos that have one split, recognised by its ids."""

    dataset: str
    name: str
    rows: int
    split: str
    ids_sha256: str
    """Of the sorted ids, joined by newlines."""
    needs: str | None = None
    """The split of the list that has to stand beside this one, which does not tell training and test apart."""


@dataclass(frozen=True)
class Preset:
    """What is known of a dataset."""

    name: str
    title: str
    aliases: tuple[str, ...]
    videos: int
    """Rows of its published labels."""
    citation: str
    source: str
    """Address of its authors' page."""
    labels: str
    """The label files in circulation, in words."""
    settings: Mapping[str, Any]
    """Keys of `[dataset]` in vqa.toml."""

    @property
    def lists(self) -> tuple[PublishedList, ...]:
        """Its published lists, none where it has no official split."""
        return tuple(entry for entry in _known_lists() if entry.dataset == self.name)


@functools.cache
def known_presets() -> tuple[Preset, ...]:
    """Return every known dataset, in the order of the file."""
    return tuple(_preset(name, row) for name, row in _read_file().items() if name != "list")


@functools.cache
def _known_lists() -> tuple[PublishedList, ...]:
    return tuple(PublishedList(**row) for row in _read_file()["list"])


def _read_file() -> Mapping[str, Any]:
    return tomllib.loads(resources.files("vqa").joinpath("datasets.toml").read_text(encoding="utf-8"))


def _preset(name: str, row: Mapping[str, Any]) -> Preset:
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in row["settings"].items()}
    return Preset(
        name=name,
        title=row["title"],
        aliases=tuple(row["aliases"]),
        videos=row["videos"],
        citation=row["citation"],
        source=row["source"],
        labels=row["labels"],
        settings=settings | {"note": f"mean opinion scores of {row['title']} ({row['citation']})"},
    )


def find_preset(name: str) -> Preset:
    """Return the dataset of a name, title or alias; case, hyphens and the like do not matter.

    Raises:
        LabelsError: there is none.
    """
    known = {
        _plain(word): preset for preset in known_presets() for word in (preset.name, preset.title, *preset.aliases)
    }
    found = known.get(_plain(name))
    if found is not None:
        return found
    close = difflib.get_close_matches(_plain(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {known[close[0]].name}? " if close else ""
    names = ", ".join(preset.name for preset in known_presets())
    raise LabelsError(f"unknown dataset {name!r}; {hint}Known are: {names}; any other goes without --dataset")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def fill_settings(settings: DatasetSettings, preset: Preset) -> DatasetSettings:
    """Return settings that take from a preset whatever they leave at its default."""
    given = {
        field.name: value
        for field in fields(settings)
        if (value := getattr(settings, field.name)) != field.default  # videos has none, so it is always given
    }
    known = dict(preset.settings)
    if settings.group_column is not None:
        known.pop("group_pattern", None)
    return DatasetSettings(**(known | given))


def find_splits(preset: Preset, files: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Recognise a dataset's published lists, and return the split of each.

    Args:
        preset: A dataset that has official splits.
        files: For each label file, the ids it holds.

    Raises:
        LabelsError: a file is none of the lists, belongs to another dataset, or does not tell training and test apart.
    """
    found = {file: _find_list(preset, file, ids) for file, ids in files.items()}
    told = {entry.split for entry in found.values() if entry.needs is None}
    for file, entry in found.items():
        if entry.needs is not None and entry.needs not in told:
            wanted = next(other.name for other in preset.lists if other.split == entry.needs)
            raise LabelsError(
                f"{file}: holds training and test videos and does not say which are which; add {wanted} "
                "with a second --labels, or read no split with --split-column ''"
            )
    return tuple(entry.split for entry in found.values())


def _find_list(preset: Preset, file: str, ids: Collection[str]) -> PublishedList:
    digest = ids_sha256(ids)
    found = next((entry for entry in _known_lists() if entry.ids_sha256 == digest), None)
    if found is None:
        known = "; ".join(f"{entry.name}, {entry.rows} rows" for entry in preset.lists)
        raise LabelsError(
            f"{file}: its {len(ids)} videos are no published list of {preset.title}, so their split is not known; "
            f"known are {known}; name a column with --split-column, or read no split with --split-column ''"
        )
    if found.dataset != preset.name:
        raise LabelsError(
            f"{file}: belongs to {find_preset(found.dataset).title}: it is {found.name}; "
            f"make a workspace of its own with --dataset {found.dataset}"
        )
    return found


def ids_sha256(ids: Iterable[str]) -> str:
    """Return the SHA-256 of a list of ids, in whatever order, 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
