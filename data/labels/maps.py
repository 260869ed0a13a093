"""Label maps as PNG files with a palette: a person sees the classes' colours, a program the ids."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goodsam.data.files import regular
from goodsam.data.panoramas import find_labels, maps_folder, read_ids

PHOTOGRAPH, STAMP = "photograph", "goodsam"  # keys of the notes in a label map


@dataclass(frozen=True)
class LabelMap:
    """photograph: the name of the image that it belongs to. labels: uint8 (H, W), 255: none."""

    photograph: str
    labels: np.ndarray


def label_png(
    labels: np.ndarray, palette: np.ndarray, photograph: str = "", stamp: str = ""
) -> bytes:
    """A PNG file of uint8 (H, W) ids, shown in the colours of `palette`, uint8 (C, 3).

    255 and ids beyond the palette are black. photograph, stamp: notes inside, of the image that it
    belongs to and of what it was made from.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[: min(len(palette), 255)] = palette[:255]
    picture = Image.fromarray(labels)
    picture.putpalette(colours.tobytes())  # the mode is then P, the pixels stay the ids
    notes = PngInfo()
    if photograph:
        notes.add_itxt(PHOTOGRAPH, photograph)
    if stamp:
        notes.add_text(STAMP, stamp)
    return _encoded(picture, 6, notes)


def grey_png(values: np.ndarray) -> bytes:
    """A PNG file of uint8 (H, W): a confidence map, 255 for 1; a trust map, 255 for trusted."""
    return _encoded(Image.fromarray(values), 6)


def rgb_png(image: np.ndarray) -> bytes:
    """A PNG file of uint8 (H, W, 3), made for looking at: fast rather than small.

    Only runs are looked for: on overlays of streets a sixth faster than level 1, a tenth smaller.
    """
    return _encoded(Image.fromarray(image), 1, compress_type=zlib.Z_RLE)


def read_stamp(path: Path) -> str | None:
    """The note in a label map of what it was made from; None without one, or without a file."""
    return _note(path, STAMP)


def is_foreign(path: Path) -> bool:
    """Whether there is a file without a stamp: drawn elsewhere, or corrected there."""
    return path.is_file() and read_stamp(path) is None


def label_maps(folder: Path) -> Iterator[LabelMap]:
    """The label maps below `folder/labels`, or below `folder`, in the order of their names.

    A map that does not say its photograph is called like itself. InputError for a folder without
    maps, and for a file that is none.
    """
    root = maps_folder(folder)
    for path in sorted(find_labels(root).values()):
        name = _note(path, PHOTOGRAPH) or path.relative_to(root).as_posix()
        yield LabelMap(name, read_ids(path))


def _note(path: Path, key: str) -> str | None:
    if not path.is_file():
        return None
    try:
        with Image.open(regular(path)) as image:
            note = image.info.get(key)
    except Exception:  # a file that is no label map of ours, whatever pillow makes of it
        return None
    return None if note is None else str(note)


def _encoded(
    picture: Image.Image, level: int, notes: PngInfo | None = None, compress_type: int = -1
) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png", pnginfo=notes, compress_level=level, compress_type=compress_type)
    return buffer.getvalue()
