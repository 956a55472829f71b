"""Parts of the reference that are made from the code: settings, public names, what they return, errors."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Iterator
from typing import Any

import vqa
import vqa.errors
from vqa.settings import COMMENT, DatasetSettings, ExtractSettings, SelectSettings, TrainSettings

_TABLES = {"dataset": DatasetSettings, "extract": ExtractSettings, "select": SelectSettings, "train": TrainSettings}


def settings_tables() -> str:
    """Return a heading and a table for each table of vqa.toml, as Markdown."""
    return "\n".join(_settings_table(name, kind) for name, kind in _TABLES.items())


def _settings_table(name: str, kind: type[Any]) -> str:
    rows = [f"## [{name}]", "", "| key | default | meaning |", "|---|---|---|"]
    for entry in dataclasses.fields(kind):
        comment = str(entry.metadata[COMMENT]).replace("|", "\\|") or "As above."
        rows.append(f"| `{entry.name}` | {_default(entry)} | {comment} |")
    return "\n".join([*rows, ""])


def _default(entry: dataclasses.Field[Any]) -> str:
    if entry.default is dataclasses.MISSING:
        return "must be given"
    if entry.default is None:
        return "left out"
    value = list(entry.default) if isinstance(entry.default, tuple) else entry.default
    return f"`{json.dumps(value)}`"


def public_names() -> str:
    """Return the directives that document `vqa.__all__`: functions first, then classes."""
    found = {name: getattr(vqa, name) for name in vqa.__all__}
    functions = [f".. autofunction:: vqa.{name}" for name, value in found.items() if not inspect.isclass(value)]
    classes = [_class_directive(f"vqa.{name}", value) for name, value in found.items() if inspect.isclass(value)]
    return _directives(*functions, *classes)


def public_records() -> str:
    """Return the directives that document what the public functions return, and what that holds in turn."""
    return _directives(*(_class_directive(f"{kind.__module__}.{kind.__qualname__}", kind) for kind in _records()))


def errors() -> str:
    """Return the directives that document the errors a caller can catch."""
    kinds = [kind for _, kind in inspect.getmembers(vqa.errors, inspect.isclass) if kind is not vqa.VqaError]
    return _directives(*(_class_directive(f"vqa.errors.{kind.__name__}", kind) for kind in kinds))


def _class_directive(name: str, kind: type[Any]) -> str:
    options = [":members:"]
    if issubclass(kind, BaseException):
        options = [":show-inheritance:"]
    elif dataclasses.is_dataclass(kind):
        options.append(":undoc-members:")
    return "\n".join([f".. autoclass:: {name}", *(f"   {option}" for option in options)])


def _directives(*directives: str) -> str:
    return "\n\n".join(["```{eval-rst}", *directives, "```"])


def _records() -> list[type[Any]]:
    """Return the dataclasses of vqa that public functions and methods give, each once, in the order they are met."""
    given = [found for name in vqa.__all__ for found in _returned(getattr(vqa, name))]
    public, met = {getattr(vqa, name) for name in vqa.__all__}, dict.fromkeys(given)
    for kind in given:
        for hint in typing.get_type_hints(kind).values():
            new = [found for found in _dataclasses_in(hint) if found not in met]
            met.update(dict.fromkeys(new))
            given.extend(new)
    return [kind for kind in met if kind not in public]


def _returned(public: Any) -> Iterator[type[Any]]:
    functions = [public]
    if inspect.isclass(public):
        functions = [value for name, value in inspect.getmembers(public, callable) if not name.startswith("_")]
    for function in functions:
        if not inspect.isclass(function) and hasattr(function, "__annotations__"):
            yield from _dataclasses_in(typing.get_type_hints(function).get("return"))


def _dataclasses_in(hint: Any) -> Iterator[type[Any]]:
    """Yield the dataclasses of vqa that a type hint names, those in its brackets as well."""
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint) and hint.__module__.startswith("vqa."):
        yield hint
    for part in typing.get_args(hint):
        yield from _dataclasses_in(part)
