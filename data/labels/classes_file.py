"""`classes.json`, beside label maps: what their ids mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.files import write_whole

NAME = "classes.json"


@dataclass(frozen=True)
class LabelClass:
    """A class of label maps. id: as it stands in them, below 255. colour: RGB, 0 to 255 each."""

    id: int
    name: str
    colour: tuple[int, int, int]

    @property
    def hex(self) -> str:
        """`#804080`."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


def write_classes(folder: Path, names: Sequence[str], palette: np.ndarray) -> None:
    """Write `folder/classes.json`: id, name and colour of each class. palette: uint8 (C, 3)."""
    write_whole(folder / NAME, classes_json(names, palette))


def classes_json(names: Sequence[str], palette: np.ndarray) -> str:
    """What `write_classes` writes."""
    colours = (tuple(map(int, colour)) for colour in palette)
    classes = [
        asdict(LabelClass(index, name, (red, green, blue)))
        for index, (name, (red, green, blue)) in enumerate(zip(names, colours, strict=True))
    ]
    return json.dumps(classes, indent=1) + "\n"


def read_classes(folder: Path) -> tuple[LabelClass, ...]:
    """The classes of the label maps in a folder. InputError where it does not say them."""
    path = folder / NAME
    try:
        found = tuple(
            LabelClass(int(c["id"]), str(c["name"]), _colour(c["colour"]))
            for c in json.loads(path.read_text(encoding="utf-8"))
        )
        if len({c.id for c in found}) != len(found) or not all(0 <= c.id < 255 for c in found):
            raise ValueError("its ids are not different numbers from 0 to 254")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: does not say what the ids mean ({error}); give a folder that "
            "`goodsam predict` or `goodsam label` wrote"
        ) from error
    return found


def _colour(values: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = map(int, values)
    if not all(0 <= value < 256 for value in (red, green, blue)):
        raise ValueError(f"{values} is no colour")
    return red, green, blue
