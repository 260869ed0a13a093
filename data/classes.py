"""Class names, palettes and the protocols: 19 classes, 13 classes, WildPASS.

Label maps hold train ids as uint8, 255 (`IGNORE`) where nothing is known. The 19 classes are
those of Cityscapes; what counts in training is the teacher assistant's `id2label`, so a model
may bring other classes, which then get the palette of `palette_for`. Rooms: `data.rooms`.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goodsam.data.errors import InputError

IGNORE = 255

CITYSCAPES: tuple[str, ...] = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)

PALETTE = np.array(
    [
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ],
    dtype=np.uint8,
)
"""uint8 (19, 3): the customary RGB colours of the Cityscapes classes."""


def lookup_of(train_of: dict[int, int]) -> np.ndarray:
    """uint8 (256,): a table of ids, 255 for those that are not named."""
    table = np.full(256, IGNORE, dtype=np.uint8)
    for source, train in train_of.items():
        table[source] = train
    return table


LABEL_IDS = lookup_of(
    {
        label: train
        for train, label in enumerate(
            (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
        )
    }
)
"""uint8 (256,): the train id of each id in a Cityscapes `labelIds` file, 255 if it has none."""


@dataclass(frozen=True, eq=False)
class Protocol:
    """A set of classes to score by, and how ids map onto it. Numbers of two protocols never mix.

    key: its name for `--protocol`. names: its classes. lookup: uint8 (256,), its class of each
    train id, 255 where the id has none: such a pixel is left out in the truth, and wrong in a
    prediction. ids: how many train ids there are. label_lookup: the same of the ids in its label
    maps where those are no train ids; LEFT_OUT marks the ids that may stand there without meaning
    anything, 255 those that may not. note: what has to be said beside its numbers. of_cityscapes:
    the truth has Cityscapes' ids, whatever becomes of them. rooms: the data set of rooms whose
    label maps it is for; None for those outdoors.
    """

    key: str
    names: tuple[str, ...]
    lookup: np.ndarray
    ids: int = len(CITYSCAPES)
    label_lookup: np.ndarray | None = None
    note: str = ""
    of_cityscapes: bool = False
    rooms: str | None = None


LEFT_OUT = 254

_MERGED = {
    "rider": "person",
    "truck": "car",
    "bus": "car",
    "motorcycle": "car",
    "bicycle": "car",
}
_THIRTEEN_NAMES = tuple(name for name in CITYSCAPES if name not in {*_MERGED, "train"})

NINETEEN = Protocol(
    "19", CITYSCAPES, lookup_of({i: i for i in range(len(CITYSCAPES))}), of_cityscapes=True
)
THIRTEEN = Protocol(
    "13",
    _THIRTEEN_NAMES,
    lookup_of(
        {
            train: _THIRTEEN_NAMES.index(_MERGED.get(name, name))
            for train, name in enumerate(CITYSCAPES)
            if name != "train"
        }
    ),
    of_cityscapes=True,
    note="13 classes: rider counts as person; truck, bus, motorcycle and bicycle as car; train is "
    "left out. Another benchmark than that of 19 classes",
)

_WILDPASS_NAMES = ("road", "sidewalk", "person", "car", "truck", "bus")
MAPILLARY = {
    4: "car",
    5: "truck",
    8: "bus",
    11: "road",
    12: "sidewalk",
    13: "sidewalk",  # curb
    17: "person",
    24: "road",  # crosswalk
}
"""The ids annotated in WildPASS, and the class that we score each by."""


def _wildpass_labels() -> np.ndarray:
    table = lookup_of({mapped: _WILDPASS_NAMES.index(name) for mapped, name in MAPILLARY.items()})
    table[[0, *range(25, 256)]] = LEFT_OUT  # below 25 are the train ids: not to be taken for these
    return table


WILDPASS = Protocol(
    "wildpass",
    _WILDPASS_NAMES,
    lookup_of(
        {CITYSCAPES.index(name): position for position, name in enumerate(_WILDPASS_NAMES)},
    ),
    label_lookup=_wildpass_labels(),
    note="WildPASS by a mapping of our own, since the papers' is unpublished: six classes; curb "
    "counts as sidewalk and crosswalk as road; all else is left out",
)

PROTOCOLS = {protocol.key: protocol for protocol in (NINETEEN, THIRTEEN, WILDPASS)}


def own_classes(names: Sequence[str]) -> Protocol:
    """The protocol of a model with classes of its own: as they are, in its ids."""
    lookup = lookup_of({index: index for index in range(len(names))})
    return Protocol("own", tuple(names), lookup, len(names), note="The model's own classes")


def protocol_for(key: str | None, names: Sequence[str]) -> Protocol:
    """The protocol called `key` for a model with the classes `names`; None: the one that fits.

    A protocol of rooms fits every model that has its classes, whatever their order and the others.
    Raises InputError for an unknown key, and for a model without the classes.
    """
    if key is None:
        return NINETEEN if tuple(names) == CITYSCAPES else own_classes(names)
    protocol = protocol_of_maps(key)
    if protocol.rooms is not None:
        from goodsam.data.rooms import in_ids_of

        return in_ids_of(protocol, names)
    if tuple(names) != CITYSCAPES:
        raise InputError(
            f"protocol {key}: is made of the 19 Cityscapes classes, and the model has {len(names)} "
            "others; leave --protocol out to score it by its own"
        )
    return protocol


def protocol_of_maps(key: str | None) -> Protocol:
    """The protocol called `key` for label maps in its own ids; None: the 19 classes.

    Raises InputError for an unknown key.
    """
    if key is None:
        return NINETEEN
    from goodsam.data.rooms import PROTOCOLS_OF_ROOMS

    known = PROTOCOLS | PROTOCOLS_OF_ROOMS
    if key not in known:
        raise InputError(f"protocol {key!r}: use one of {', '.join(known)}")
    return known[key]


def palette_for(names: Sequence[str]) -> np.ndarray:
    """uint8 (C, 3): the Cityscapes colours for its class names, generated ones for any others.

    The generated colours depend on the position alone: hues by the golden angle, with lightness
    and saturation alternating so that neighbouring ids differ. Colours in use are passed over.
    """
    known = {
        name: tuple(map(int, colour)) for name, colour in zip(CITYSCAPES, PALETTE, strict=True)
    }
    taken = {known[name] for name in names if name in known}
    colours = []
    for position, name in enumerate(names):
        if name not in known:
            turn = position
            while _generated(turn) in taken:
                turn += len(names)
            known[name] = _generated(turn)
            taken.add(known[name])
        colours.append(known[name])
    return np.array(colours, dtype=np.uint8).reshape(-1, 3)


def _generated(position: int) -> tuple[int, int, int]:
    hue = (position * 0.618033988749895) % 1
    lightness = (0.45, 0.65, 0.30)[position % 3]
    saturation = (0.75, 0.50)[position % 2]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def colourise(labels: np.ndarray, palette: np.ndarray = PALETTE) -> np.ndarray:
    """uint8 (..., H, W) ids -> uint8 (..., H, W, 3) RGB; black for 255 and ids beyond `palette`."""
    table = np.zeros((256, 3), dtype=np.uint8)
    count = min(len(palette), IGNORE)
    table[:count] = palette[:count]
    return table[labels]
