"""What the folder of a network of any family may ask for at most: it may be a stranger's.

A SegFormer's has bounds of its own (`goodsam.stages.segformer.bounds`). The others name their sizes
in a hundred ways: no number may be large, no loop long, and the network is built once without
memory, on torch's meta device, to count what it would hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from goodsam.data.errors import InputError
from goodsam.stages.networks.families import FAMILIES, PARTS, Family, transformers_class
from goodsam.stages.segformer.bounds import (
    MAX_CLASSES,
    MAX_LAYERS,
    MAX_PARAMETERS,
    check_config,
)

MAX_NUMBER = 2**17  # vocabularies and the points of a loss are the largest that are published
MAX_LIST = 256
MAX_SIDE = 4096  # px of a square input
MAX_QUERIES = 4096

# numbers by which a network is repeated
_REPEATED = re.compile(r"(layers|depths|blocks|stages|convs|levels|repeats)$")
_MOST = {"image_size": MAX_SIDE, "num_queries": MAX_QUERIES, "num_labels": MAX_CLASSES}


def check_network(config: Any) -> Family:
    """The family of a config.json's network.

    InputError for a family that is not known, one that wants code or a backbone from elsewhere,
    and one that is too large to be built.
    """
    if not isinstance(config, Mapping):
        raise InputError("its config.json is no mapping")
    _check_nothing_from_elsewhere(config)
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise InputError(
            f"a {kind}, not a SegFormer nor of another family that is known here: "
            f"{', '.join(FAMILIES)}"
        )
    family = FAMILIES[kind]
    _check_class_ids(config)
    if kind == "segformer":
        check_config(config)
    else:
        _check_numbers(config)
        _check_size(config, family)
    return family


def _check_nothing_from_elsewhere(config: Mapping[str, Any]) -> None:
    for part in _parts(config):
        if "auto_map" in part:
            raise InputError("wants code of its own to be run, which is refused")
        for name in ("attn_implementation", "_attn_implementation"):
            if part.get(name) not in (None, "eager", "sdpa"):
                raise InputError(f"wants an {name} of its own, {part[name]!r}, which is refused")
        kind = part.get("model_type")
        if part is not config and kind not in (None, "", *PARTS):
            raise InputError(f"its backbone is a {kind}; {', '.join(sorted(PARTS))} are known here")
        fetched = part.get("use_pretrained_backbone") or part.get("use_timm_backbone")
        if fetched or (part.get("backbone") and not part.get("backbone_config")):
            raise InputError(
                "its config.json fetches a backbone from elsewhere; save the whole model in one "
                "folder, with a backbone_config"
            )


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """A mapping and all mappings in it."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _check_class_ids(config: Mapping[str, Any]) -> None:
    names = config.get("id2label")
    if names is None:
        return
    if not isinstance(names, Mapping) or len(names) > MAX_CLASSES:
        raise InputError(f"its config.json has more than {MAX_CLASSES} classes, or no names")
    if {str(index) for index in names} != {str(index) for index in range(len(names))}:
        raise InputError("its config.json does not number its classes 0, 1, 2 and so on")


def _check_numbers(config: Mapping[str, Any]) -> None:
    repeated = 0.0
    for name, number in _numbers(config):
        most = _MOST.get(name, MAX_LAYERS if _REPEATED.search(name) else MAX_NUMBER)
        if not math.isfinite(number) or abs(number) > most:
            raise InputError(f"its config.json has {name} {number}, the most is {most}")
        if _REPEATED.search(name):
            repeated += abs(number)
    if repeated > MAX_LAYERS:
        raise InputError(f"its config.json has {repeated:.0f} layers, the most is {MAX_LAYERS}")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number with the key that it stands under."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in ("id2label", "label2id"):
                yield from _numbers(inner, str(key))
    elif isinstance(value, list):
        if len(value) > MAX_LIST:
            raise InputError(
                f"its config.json has {len(value)} values of {name}, the most is {MAX_LIST}"
            )
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def _check_size(config: Mapping[str, Any], family: Family) -> None:
    kind = transformers_class(family.model)
    try:
        with torch.device("meta"):
            model = kind(kind.config_class.from_dict(dict(config)))
    except Exception as error:  # whatever a wrong number leads to
        first = (str(error).strip().splitlines() or [repr(error)])[0]
        raise InputError(f"its config.json makes no network ({first})") from error
    count = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if count > MAX_PARAMETERS:
        raise InputError(f"a network of {count:.1e} numbers, the most is {MAX_PARAMETERS}")
