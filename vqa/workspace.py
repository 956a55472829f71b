"""A workspace: a folder with a `vqa.toml`, which is read, checked and written here."""

from __future__ import annotations

import difflib
import json
import logging
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from vqa.errors import WorkspaceError
from vqa.files import refuse_link, write_text
from vqa.settings import COMMENT, DatasetSettings, ExtractSettings, SelectSettings, TrainSettings, setting
from vqa.urls import Place, is_url, place_of

__all__ = [
    "FILE_NAME",
    "DatasetSettings",
    "ExtractSettings",
    "SelectSettings",
    "TrainSettings",
    "Workspace",
    "open_workspace",
    "write_workspace",
]

FILE_NAME = "vqa.toml"
_SHOWN_CHARACTERS = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workspace:
    """A folder, the settings in its vqa.toml, and where things lie in it."""

    root: Path
    dataset: DatasetSettings
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    select: SelectSettings = field(default_factory=SelectSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    cache: str = "cache"
    """The cache folder, a path or a URL; several workspaces may share one."""

    def __post_init__(self) -> None:
        if not self.cache:
            raise WorkspaceError("[workspace] cache is empty; name a folder")

    def resolve(self, path: str) -> Path:
        """Return a path of vqa.toml: relative ones start at the workspace's folder."""
        return self.root / Path(path).expanduser()

    @property
    def cache_dir(self) -> Place:
        """Folder of the features.

        Raises:
            StorageError: it is a URL of a kind that can't be used here.
        """
        return self._place(self.cache)

    @property
    def videos(self) -> str:
        """The folder or glob of the videos, a path or a URL.

        Raises:
            StorageError: it is a URL of a kind that can't be used here.
        """
        return str(self._place(self.dataset.videos))

    def _place(self, path: str) -> Place:
        return place_of(path) if is_url(path) else self.resolve(path)

    @property
    def selection_file(self) -> Path:
        """The chosen models."""
        return self.root / "selection.json"

    @property
    def bundle_file(self) -> Path:
        """The trained scorer."""
        return self.root / "scorer.vqa"

    @property
    def results_dir(self) -> Path:
        """Folder of tables and figures."""
        return self.root / "results"

    def results_folder(self, name: str = "") -> Path:
        """Return where results are to be written: the folder of results, or one in it. It is made with the first file.

        Raises:
            WorkspaceError: it is a link: in a workspace from elsewhere it could lead anywhere.
        """
        folder = self.results_dir / name
        for path in (self.results_dir, folder):
            try:
                refuse_link(path)
            except OSError as error:
                raise WorkspaceError(
                    f"{path}: is a link, and results are not written through one; put a folder there, "
                    "or link to the whole workspace"
                ) from error
        return folder


@dataclass(frozen=True)
class _WorkspaceTable:
    """The table [workspace] of vqa.toml."""

    cache: str = setting(
        "Folder of the features, or a URL such as s3://bucket/folder; several workspaces may share one.", "cache"
    )


_TABLES: dict[str, type[Any]] = {
    "workspace": _WorkspaceTable,
    "dataset": DatasetSettings,
    "extract": ExtractSettings,
    "select": SelectSettings,
    "train": TrainSettings,
}


def open_workspace(folder: str | Path) -> Workspace:
    """Read a workspace's vqa.toml.

    Raises:
        WorkspaceError: there is none, it is no TOML, or it has a key or a value that can't be used.
    """
    folder = Path(folder)
    file = folder / FILE_NAME
    try:
        content = tomllib.loads(file.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WorkspaceError(
            f"{folder} has no {FILE_NAME}; make one with `vqa init {folder} --videos ... --labels ...`"
        ) from error
    except OSError as error:
        raise WorkspaceError(f"{file}: can't be read ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError) as error:  # of TOML and of UTF-8 alike
        raise WorkspaceError(f"{file}: is no TOML ({error}); correct it, or make a new one with `vqa init`") from error
    try:
        _check_names(content, tuple(_TABLES), "table")
        tables = {name: _read_table(name, kind, content.get(name, {})) for name, kind in _TABLES.items()}
        cache = tables.pop("workspace").cache
        _log.info("settings are those of %s", file)
        return Workspace(folder, **tables, cache=cache)
    except WorkspaceError as error:
        raise WorkspaceError(f"{file}: {error}") from error


def write_workspace(workspace: Workspace, *, overwrite: bool = False) -> Path:
    """Write a workspace's vqa.toml, with a comment on each key.

    Returns:
        The file's path.

    Raises:
        WorkspaceError: it exists already and `overwrite` is not set, or it can't be written.
    """
    file = workspace.root / FILE_NAME
    if file.exists() and not overwrite:
        raise WorkspaceError(f"{file} exists already; edit it, or choose another folder")
    values = {name: getattr(workspace, name) for name in _TABLES if name != "workspace"}
    values["workspace"] = _WorkspaceTable(workspace.cache)
    text = "\n".join(_table_text(name, values[name]) for name in _TABLES)
    try:
        write_text(file, text)
    except OSError as error:
        raise WorkspaceError(f"{file}: can't be written ({error.strerror}); choose another folder") from error
    except UnicodeEncodeError as error:
        raise WorkspaceError(f"{file}: a path or name in it is no text ({error.reason}); rename that file") from error
    return file


def _check_names(found: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Refuse a name that is not known: a misspelt key would otherwise leave its default in force."""
    for name in found:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"known are: {', '.join(known)}"
            raise WorkspaceError(f"unknown {what} {name!r}; {hint}")


def _read_table(name: str, kind: type[Any], values: Any) -> Any:
    """Return the settings that a table of vqa.toml holds, defaults where it is silent."""
    if not isinstance(values, dict):
        raise WorkspaceError(f"{name} is no table; write [{name}] on a line of its own")
    hints = get_type_hints(kind)
    _check_names(values, tuple(hints), f"key of [{name}]")
    for entry in fields(kind):
        if entry.default is MISSING and entry.name not in values:
            raise WorkspaceError(
                f"[{name}] has no {entry.name}; add {entry.name} = {_FORMS[hints[entry.name]].example}"
            )
    return kind(**{key: _convert(f"[{name}] {key}", hints[key], value) for key, value in values.items()})


def _convert(key: str, hint: Any, value: Any) -> Any:
    form = _FORMS[hint]
    try:
        return form.convert(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise WorkspaceError(f"{key} is {_told(value)}; write {form.wording}, such as {form.example}") from error


def _told(value: Any) -> str:
    """Return a value for a message, the beginning of a long one."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _is(value: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """Return the value if it is of that kind; true and false are no numbers."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return value


def _number(value: Any) -> float:
    return float(_is(value, (int, float)))


def _pair(value: Any) -> tuple[float, float]:
    low, high = _is(value, list)
    return _number(low), _number(high)


@dataclass(frozen=True)
class _Form:
    """How values of a type are written in vqa.toml."""

    wording: str
    example: str
    convert: Callable[[Any], Any]
    """Raises TypeError or ValueError for what is no such value."""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_is(item, str) for item in _is(value, list))


def _text_or_texts(value: Any) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else _texts(value)


_TEXT = _Form("text in quotes", '"..."', lambda value: _is(value, str))
_WHOLE = _Form("a whole number", "8", lambda value: _is(value, int))
_NUMBER = _Form("a number", "0.5", _number)
_TEXT_OR_TEXTS = _Form("text in quotes, or a list of such", '"..."', _text_or_texts)
_FORMS: dict[Any, _Form] = {
    str: _TEXT,
    str | None: _TEXT,
    bool: _Form("true or false", "true", lambda value: _is(value, bool)),
    int: _WHOLE,
    int | None: _WHOLE,
    float: _NUMBER,
    float | None: _NUMBER,
    str | tuple[str, ...]: _TEXT_OR_TEXTS,
    str | tuple[str, ...] | None: _TEXT_OR_TEXTS,
    tuple[str, ...]: _Form("a list of texts", '["bundled"]', _texts),
    tuple[float, float] | None: _Form("two numbers", "[1.0, 5.0]", _pair),
}


def _table_text(name: str, settings: Any) -> str:
    """Return one table of vqa.toml; a key without a value is left as a comment."""
    hints = get_type_hints(type(settings))
    lines = [f"[{name}]"]
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if entry.metadata[COMMENT]:
            lines.append(f"# {entry.metadata[COMMENT]}")
        if value is None:
            lines.append(f"# {entry.name} = {_FORMS[hints[entry.name]].example}")
        else:
            lines.append(f"{entry.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a value as TOML; its strings are JSON's but for the delete character, which TOML wants escaped."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
