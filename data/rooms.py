"""The classes of rooms, and the protocols of Stanford2D3D and Structured3D to score by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from goodsam.data.classes import IGNORE, LEFT_OUT, Protocol, lookup_of
from goodsam.data.errors import InputError

STANFORD = (
    "beam",
    "board",
    "bookcase",
    "ceiling",
    "chair",
    "clutter",
    "column",
    "door",
    "floor",
    "sofa",
    "table",
    "wall",
    "window",
)
"""The 13 classes of Stanford2D3D, in the order of the public code's train ids."""

EIGHT_OF_ROOMS = ("ceiling", "chair", "door", "floor", "sofa", "table", "wall", "window")
"""What is scored from pinhole images, or from Structured3D, to panoramas of Stanford2D3D."""

NYU = {
    1: "wall",
    2: "floor",
    5: "chair",
    6: "sofa",
    7: "table",
    8: "door",
    9: "window",
    22: "ceiling",
}
"""Structured3D: the ids of NYUv2's 40 classes that are scored, and as what."""


def _protocol(
    key: str, names: tuple[str, ...], rooms: str, ids: dict[int, str], note: str
) -> Protocol:
    """ids: what a label map's ids, 0 to the highest that may stand there, are called."""
    labels = np.full(256, IGNORE, np.uint8)
    for id, name in ids.items():
        labels[id] = names.index(name) if name in names else LEFT_OUT
    labels[IGNORE] = LEFT_OUT
    lookup = lookup_of({index: index for index in range(len(names))})
    return Protocol(key, names, lookup, len(names), labels, note, rooms=rooms)


_STANFORD_IDS = dict(enumerate(STANFORD))
STANFORD_THIRTEEN = _protocol(
    "stanford13",
    STANFORD,
    "stanford2d3d",
    _STANFORD_IDS,
    "The 13 classes of Stanford2D3D; black pixels of the photograph are left out",
)
STANFORD_EIGHT = _protocol(
    "stanford8",
    EIGHT_OF_ROOMS,
    "stanford2d3d",
    _STANFORD_IDS,
    "8 classes of Stanford2D3D, those of the pinhole-to-panorama setting; beam, board, bookcase, "
    "clutter and column are left out, and so are black pixels of the photograph",
)
STRUCTURED_EIGHT = _protocol(
    "structured8",
    EIGHT_OF_ROOMS,
    "structured3d",
    {id: NYU.get(id, "") for id in range(41)},
    "8 of NYUv2's 40 classes, as Structured3D is used beside Stanford2D3D; the others are left out",
)

PROTOCOLS_OF_ROOMS = {
    protocol.key: protocol for protocol in (STANFORD_THIRTEEN, STANFORD_EIGHT, STRUCTURED_EIGHT)
}


def in_ids_of(protocol: Protocol, names: Sequence[str]) -> Protocol:
    """A protocol of rooms, its predictions in the ids of a model with the classes `names`."""
    if missing := [name for name in protocol.names if name not in names]:
        raise InputError(
            f"protocol {protocol.key}: is made of {', '.join(protocol.names)}, and the model has "
            f"no {missing[0]}; give one of these classes, or bring them about by a class map"
        )
    scored = {
        i: protocol.names.index(name) for i, name in enumerate(names) if name in protocol.names
    }
    return replace(protocol, lookup=lookup_of(scored), ids=len(names))
