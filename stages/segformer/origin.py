"""What a trained network says of itself: how its panoramas were seen, and what it comes from.

It stands in the network's `config.json` under `goodsam`, which transformers keeps as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goodsam.data.class_map import ClassMap
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry

KEY = "goodsam"


@dataclass(frozen=True)
class Origin:
    """geometry: of the run that trained it. starts: the networks that this run began with.

    step: of the run, at which this network was written; None where an older goodsam wrote it.
    chosen: by which labelled pictures it was chosen among others, in words; "": by none. classes:
    how the run mapped the classes of its teacher assistant; None: not at all.
    """

    geometry: Geometry
    starts: tuple[str, ...]
    step: int | None = None
    chosen: str = ""
    classes: ClassMap | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `config.json`."""
        return {
            "geometry": self.geometry.to_json(),
            "starts": list(self.starts),
            **({} if self.step is None else {"step": self.step}),
            **({"chosen": self.chosen} if self.chosen else {}),
            **({} if self.classes is None else {"classes": self.classes.to_json()}),
        }


def origin_of(model: Any, source: object) -> Origin | None:
    """What a loaded network says of itself; None where it says nothing.

    source: named in the InputError for something that cannot be read.
    """
    values = getattr(model.config, KEY, None)
    if values is None:
        return None
    try:
        starts = values["starts"]
        if not isinstance(starts, list) or not all(isinstance(start, str) for start in starts):
            raise InputError("starts holds other than names")
        step, chosen = values.get("step"), values.get("chosen", "")
        if not isinstance(step, int | None) or not isinstance(chosen, str):
            raise InputError("step is no number, or chosen no text")
        mapped = values.get("classes")
        classes = None if mapped is None else ClassMap.from_json(mapped)
        geometry = Geometry.from_json(values["geometry"])
        return Origin(geometry, tuple(starts), step, chosen, classes)
    except (KeyError, TypeError, InputError) as error:
        raise InputError(
            f"{source}: its config.json has an entry {KEY!r} that cannot be read ({error}); "
            "export the network again, or remove the entry"
        ) from error
