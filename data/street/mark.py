"""The mark in every picture of the street world, by which it is known again."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from goodsam.data.files import regular

MARK = {"Source": "goodsam street world"}
"""A text chunk of the PNG file."""


def mark_of(tilt: float | None) -> dict[str, str]:
    """The text chunks of a picture's files. tilt: of a whole sphere's camera; None: no sphere."""
    if tilt is None:
        return MARK
    return {**MARK, "View": f"whole sphere, tilted by {tilt:g} degrees"}


def is_street_world(path: Path) -> bool:
    """Whether an image file says of itself that `write_world` wrote it."""
    try:
        with Image.open(regular(path)) as image:
            return image.info.get("Source") == MARK["Source"]
    except Exception:  # whoever reads it says what is wrong with it
        return False
