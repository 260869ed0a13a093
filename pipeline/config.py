"""Presets and overrides: from YAML and `key=value` to the frozen dataclasses of the stages."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from goodsam.data.errors import InputError
from goodsam.stages.adapt.learner import AdaptConfig

Config = TypeVar("Config")
MAX_SETTINGS = 2**16  # bytes of a file of settings; all of ours with their comments are 5,000


def preset_names() -> list[str]:
    """The presets that come with goodsam."""
    folder = resources.files("goodsam.pipeline") / "presets"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_preset(name: str) -> dict[str, Any]:
    """A preset by name, or any YAML file by path, as a nested mapping.

    A preset may have a `base`, another preset that it changes. Raises InputError for a name that
    does not exist, a file that is no mapping, and a base that leads back to its own preset.
    """
    values: dict[str, Any] = {}
    seen: list[str] = []
    base: Any = name
    while base is not None:
        if base in seen:
            raise InputError(f"preset {base!r}: is its own base ({' -> '.join([*seen, base])})")
        seen.append(base)
        found = _read_preset(base)
        base = found.pop("base", None)
        if base is not None and not isinstance(base, str):
            raise InputError(f"preset {seen[-1]!r}: base is {base!r}; give the name of a preset")
        values = _merged(found, values)
    return values


def _read_preset(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InputError(f"{path}: no such preset file")
        content = path.read_bytes()
    elif name in preset_names():
        content = (resources.files("goodsam.pipeline") / "presets" / f"{name}.yaml").read_bytes()
    else:
        raise InputError(
            f"preset {name!r}: there is none{_nearest(name, preset_names())}; "
            f"use one of {', '.join(preset_names())}, or a .yaml file"
        )
    try:
        values = read_yaml(content)
    except ValueError as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a preset is a mapping of settings")
    return values


class _NoAliases(yaml.SafeLoader):
    """Without references: a few of them, one in another, stand for more than any memory holds.

    And without two lines of one name, of which the last would count.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias, *name; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"it has {name!r} twice")
        return super().construct_mapping(node, deep)


def read_yaml(content: bytes) -> Any:
    """The value of a YAML text in UTF-8. ValueError for what is none, or too long for settings."""
    if len(content) > MAX_SETTINGS:
        raise ValueError(f"{len(content)} bytes, the most is {MAX_SETTINGS}")
    try:
        return yaml.load(content.decode(), _NoAliases)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, group by group."""
    merged = {**base}
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def adapt_config(preset: str, overrides: Iterable[str] = (), **arguments: object) -> AdaptConfig:
    """Stage 2's settings: the preset, then named arguments that are not None, then `key=value`.

    Keys of nested settings are dotted: `step.weights.consistency=0`. Values are read as YAML.
    """
    values = load_preset(preset)
    for key, value in arguments.items():
        if value is not None:
            values[key] = value
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: write it as key=value")
        try:
            _put(values, key.strip(), read_yaml(text.encode(errors="surrogateescape")))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"--set {override}: the value is not YAML") from error
    return build(AdaptConfig, values)


def build(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A frozen dataclass from a nested mapping; InputError names the first field that is wrong."""
    _check_names(kind, values)
    try:
        return TypeAdapter(with_config(ConfigDict(extra="forbid"))(kind)).validate_python(
            dict(values)
        )
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, InputError):  # says all there is to say
            raise own from error
        where = ".".join(str(part) for part in first["loc"]) or kind.__name__
        raise InputError(f"setting {where}: {first['msg']} (got {first['input']!r})") from error


def as_yaml(config: object) -> str:
    """A dataclass as YAML that `build` reads back."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)  # type: ignore[call-overload]


def _put(values: dict[str, Any], key: str, value: object) -> None:
    *outer, last = key.split(".")
    for part in outer:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {key}: {part} is a single value, not a group of settings")
        values = inner
    values[last] = value


def _check_names(kind: Any, values: Mapping[str, Any]) -> None:
    """InputError for a key, however deep, that is no setting of `kind`; it names the nearest."""
    known = _setting_names(kind)
    for name in _given_names(values, kind):
        if name not in known:
            raise InputError(f"setting {name}: there is none{_nearest_setting(name, known)}")


def _setting_names(kind: Any, prefix: str = "") -> list[str]:
    """The dotted names of all settings of a dataclass and of those inside it."""
    names = []
    for field in dataclasses.fields(kind):
        names.append(f"{prefix}{field.name}")
        if dataclasses.is_dataclass(field.default_factory):
            names += _setting_names(field.default_factory, f"{prefix}{field.name}.")
    return names


def _given_names(values: Mapping[str, Any], kind: Any, prefix: str = "") -> Iterator[str]:
    groups = {field.name: field.default_factory for field in dataclasses.fields(kind)}
    for key, value in values.items():
        yield f"{prefix}{key}"
        group = groups.get(key)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(group):
            yield from _given_names(value, group, f"{prefix}{key}.")


def _nearest_setting(name: str, known: list[str]) -> str:
    """In the same group, or else by its last part: theta_medium is step.fusion.theta_medium."""
    by_last = {full.rpartition(".")[2]: full for full in reversed(known)}
    close = difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1, cutoff=0.75)
    beside = [full for full in known if full.rpartition(".")[0] == name.rpartition(".")[0]]
    nearest = difflib.get_close_matches(name, beside, n=1) or [by_last[key] for key in close]
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
