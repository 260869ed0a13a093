"""Class maps as they are given: a YAML file, or a run that was trained with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goodsam.data.class_map import ClassMap
from goodsam.data.classes import CITYSCAPES
from goodsam.data.errors import InputError
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.pipeline.config import MAX_SETTINGS, read_yaml
from goodsam.stages.segformer.bounds import MAX_CONFIG
from goodsam.stages.segformer.origin import KEY, origin_of


def read_groups(path: Path) -> dict[str, Any]:
    """What a YAML file maps: `AdaptConfig.classes`, to be held against a network's classes.

    Raises InputError for a file that is none, names no class, or the same one twice.
    """
    try:
        groups = read_yaml(read_bounded(path, MAX_SETTINGS))
        ClassMap.parse(groups, _named(groups), "the network")
    except InputError as error:
        raise _of(path, error) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such class map; give a YAML file") from error
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path}: no class map ({why}); see docs/licences.md") from error
    return groups


def _named(groups: Any) -> list[str]:
    """All that a map names, whatever it is: whether a network has it is asked later."""
    named = []
    for members in groups.values() if isinstance(groups, dict) else ():
        named += members if isinstance(members, list) else [members]
    return named


def class_map_at(source: Path, of: Sequence[str] = CITYSCAPES) -> ClassMap:
    """A class map from a YAML file, of the classes `of`, or from a run or a network of one.

    Raises InputError as `read_groups`, for a class that is not in `of`, and for a run without one.
    """
    if not source.is_dir():
        what = "Cityscapes" if tuple(of) == CITYSCAPES else "the network"
        try:
            return ClassMap.parse(read_groups(source), of, what)
        except InputError as error:
            raise _of(source, error) from error
    for folder in (source / "student", source):
        path = folder / "config.json"
        if not path.is_file():
            continue
        try:
            about = parse_json(read_bounded(path, MAX_CONFIG)).get(KEY) or {}
            found = about.get("classes")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error
        if found is not None:
            return ClassMap.from_json(found)
    if (source / "checkpoints").is_dir():  # of a run that has not ended
        from goodsam.stages.segformer.snapshot import load_network

        origin = origin_of(load_network(source)[0], source)
        if origin is not None and origin.classes is not None:
            return origin.classes
    raise InputError(f"{source}: no run with a class map; give that run, or the map as a .yaml")


def _of(path: Path, error: InputError) -> InputError:
    return error if str(path) in str(error) else InputError(f"{path}: {error}")
