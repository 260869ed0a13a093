"""What a model's card, the README.md of its directory, says of its licence and its origin.

A card is a stranger's text: nothing but names is taken from its front matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from goodsam.data.licences import Licence, licence_named, strictest

CARD = "README.md"
MAX_CARD = 2**20  # bytes
MAX_NAMES = 16  # of a list

# Data sets whose own terms matter beside the licence of what was trained on them, by a part of the
# name that cards give them.
DATA = {
    "cityscapes": "trained on Cityscapes, whose own terms allow non-commercial use only",
    "ade20k": "trained on ADE20K, whose own terms allow non-commercial use only",
    "scene_parse_150": "trained on ADE20K, whose own terms allow non-commercial use only",
}


@dataclass(frozen=True)
class Card:
    """licence: None if the card names none. bases: the models that this one was made from.

    notes: on the data that it was trained on.
    """

    licence: Licence | None = None
    bases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """The card of a model's directory; an empty one where there is none that can be read."""
    from huggingface_hub import metadata_load

    path = folder / CARD
    try:
        if not path.is_file() or path.stat().st_size > MAX_CARD:
            return Card()
        said = metadata_load(path) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return Card()
    names = _names(said.get("license"))
    if names == ["other"]:  # its name, if it has one, stands apart
        names = _names(said.get("license_name")) or names
    data = " ".join(_names(said.get("datasets"))).lower()
    return Card(
        strictest(map(licence_named, names)) if names else None,
        tuple(_names(said.get("base_model"))),
        tuple(dict.fromkeys(note for part, note in DATA.items() if part in data)),
    )


@cache  # a process asks the hub once
def hub_card(name: str) -> Card:
    """The card of a model on the hub; an empty one if there is none, or the hub is out of reach."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return read_card(Path(hf_hub_download(name, CARD)).parent)
    except (OSError, ValueError, EntryNotFoundError):
        return Card()


def _names(value: Any) -> list[str]:
    """A name, or a list of names, as cards have them."""
    listed = value if isinstance(value, list) else [value]
    return [name for name in listed[:MAX_NAMES] if isinstance(name, str)]
