"""Images and label maps as arrays. Whatever is wrong with a file is an InputError."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from goodsam.data.classes import IGNORE, LABEL_IDS, LEFT_OUT, Protocol
from goodsam.data.errors import InputError
from goodsam.data.files import regular

HEIC_SUFFIXES = frozenset({".heic", ".heif"})


@dataclass
class Conversions:
    """Counts the images that were not plain RGB, for the caller to report once."""

    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """`3 images converted to RGB (2 grey, 1 alpha)`, empty when there were none."""
        total = sum(self.kinds.values())
        if not total:
            return ""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{total} image{'s' if total > 1 else ''} converted to RGB ({kinds})"


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image as it is seen, from its header. InputError if unreadable."""
    with _opened(path) as image:
        width, height = image.size
        if isinstance(image, TiffImageFile):  # pillow may have turned its size already
            width, height = image.tag_v2[256], image.tag_v2[257]
        # pillow decodes a whole PNG to look for EXIF behind the pixels, which few have
        plain = isinstance(image, PngImageFile) and not _more_behind_pixels(path)
        exif = Image.Image.getexif(image) if plain else image.getexif()
        turned = exif.get(0x0112) in {5, 6, 7, 8}  # these EXIF orientations stand on a side
    return (width, height) if turned else (height, width)


def read_image(path: Path, conversions: Conversions | None = None) -> np.ndarray:
    """uint8 (H, W, 3) RGB, turned as its EXIF orientation says.

    Grey, palette and other images are converted and counted in `conversions`, as are those of 16
    bits a channel, whose range is scaled to 8; transparency is dropped. Raises InputError for
    unreadable and truncated images, and for those of 32 bits a channel.
    """
    with _opened(path) as opened:
        deep = _bits(opened) > 8
        image = _eight_bits(ImageOps.exif_transpose(opened), path)
        kind = {"L": "grey", "1": "grey", "P": "palette"}.get(image.mode, image.mode)
        if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
            kind = "alpha"
            image = image.convert("RGBA")
        pixels = np.array(image.convert("RGB"))
    kind = "16-bit, scaled" if deep else kind
    if conversions is not None and kind != "RGB":
        conversions.kinds[kind] += 1
    return pixels


def read_labels(path: Path, n_classes: int = 19, label_ids: bool | None = None) -> np.ndarray:
    """uint8 (H, W) train ids below `n_classes`, 255 where ignored.

    label_ids: the file holds Cityscapes label ids, which are mapped to train ids; by default one
    does whose name ends in `_labelIds`. Raises InputError for a file that is no map of ids or holds
    one outside the classes, and for one of a data set of rooms.
    """
    from goodsam.data.panoramas.indoor import refuse_another

    refuse_another(path, None)
    ids = read_ids(path)
    if path.stem.endswith("_labelIds") if label_ids is None else label_ids:
        limit, ids_known = 34, (ids < 34) | (ids == IGNORE)
        labels = LABEL_IDS[ids]
    else:
        limit, ids_known = n_classes, (ids < n_classes) | (ids == IGNORE)
        labels = ids
    if not ids_known.all():
        raise InputError(
            f"{path}: label id {ids[~ids_known].max()} is outside the {limit} ids 0 to {limit - 1} "
            "(255: ignored); give train ids of these classes"
        )
    return labels


def read_truth(path: Path, protocol: Protocol, label_ids: bool | None = None) -> np.ndarray:
    """uint8 (H, W): the classes of `protocol` in a label map, 255 where it has none.

    label_ids: as for `read_labels`. Raises InputError for ids that do not belong to the protocol,
    and for label maps of another data set than it is for.
    """
    from goodsam.data.panoramas.indoor import refuse_another

    refuse_another(path, protocol)
    if protocol.label_lookup is None:
        return protocol.lookup[read_labels(path, protocol.ids, label_ids)]
    by_labels = label_ids and protocol.of_cityscapes
    ids = read_labels(path, label_ids=True) if by_labels else read_ids(path)
    classes = protocol.label_lookup[ids]
    if (classes == IGNORE).any():
        raise InputError(
            f"{path}: label id {ids[classes == IGNORE].min()} is none of the {protocol.key} "
            "protocol's; label maps of train ids are scored with --protocol 19"
        )
    return np.where(classes == LEFT_OUT, IGNORE, classes).astype(np.uint8)


def read_ids(path: Path) -> np.ndarray:
    """uint8 (H, W): what a map of ids holds, whatever it means. InputError for colours.

    Of Stanford2D3D, whose colours are ids of things: the ids of their classes, 255 where the
    photograph is black.
    """
    from goodsam.data.panoramas.indoor import read_stanford, rooms_of

    if rooms_of(path) == "stanford2d3d":
        return read_stanford(path)
    with _opened(path) as image:
        if image.mode not in {"L", "P", "1"}:
            raise InputError(
                f"{path}: a label map holds one 8-bit id a pixel, this is {image.mode}; "
                "give train ids, not colours"
            )
        ids = np.array(image, dtype=np.uint8)
        if image.mode == "1":
            ids = ids.astype(bool).astype(np.uint8)
        elif image.mode == "L" and (bits := _bits(image)) < 8:
            ids //= 255 // (2**bits - 1)  # pillow stretches shallow greys to 0..255
    return ids


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens an image; whatever pillow raises in the block is an InputError."""
    if path.suffix.lower() in HEIC_SUFFIXES:
        _open_heic_too()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(regular(path)) as image:
                if image.format == "EPS":  # pillow would have another program run it
                    raise InputError(f"{path}: PostScript, a program and no picture; convert it")
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too large to be read safely; make it smaller") from error
    except Exception as error:  # each of pillow's formats raises what it likes
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: cannot be read as an image ({why}); replace or remove it"
        ) from error


def _more_behind_pixels(path: Path) -> bool:
    """Whether a PNG has chunks behind its pixels that may say how it is to be turned."""
    behind = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            behind = behind or kind == b"IDAT"
            if behind and kind in {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}:
                return True
            file.seek(length + 4, 1)
    return False


def read_xmp(path: Path) -> bytes:
    """The XMP in an image, from its header; empty where it has none. InputError if unreadable."""
    with _opened(path) as image:
        found = image.info.get("xmp", image.info.get("XML:com.adobe.xmp", b""))
        if not found and isinstance(image, TiffImageFile):
            found = image.tag_v2.get(700, b"")
    return found.encode() if isinstance(found, str) else bytes(found or b"")


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """A grey image of 16 bits, scaled to 8; pillow has scaled colours of 16 bits already."""
    if not image.mode.startswith(("I", "F")):
        return image
    if not image.mode.startswith("I;16"):
        raise InputError(f"{path}: 32 bits a channel, of no known range; convert it to 8 or 16")
    return Image.fromarray(
        ((np.array(image).astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    )


@cache
def _open_heic_too() -> None:
    if heic_can_be_read():
        import pillow_heif

        pillow_heif.register_heif_opener()


def heic_can_be_read() -> bool:
    """Whether the extra that reads phones' HEIC is installed."""
    return find_spec("pillow_heif") is not None


def _bits(image: Image.Image) -> int:
    """Bits a channel in the file, which pillow does not tell: it opens 16-bit RGB as 8-bit."""
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(258, (8,)))
    if isinstance(image, PngImageFile):
        with open(image.filename, "rb") as file:
            return file.read(25)[24]  # signature, length, IHDR, width, height: then the depth
    return 8
