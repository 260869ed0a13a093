"""Pictures of a report: uint8 (H, W, 3) RGB arrays, and the addresses that put them in a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from goodsam.data.classes import IGNORE, colourise
from goodsam.data.sphere import WindowPlan
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows

MAX_PIXELS = 2**23  # of a cache's panorama that are drawn; of a larger one every so many
MAX_WIDTH = 2048  # wider pictures are made smaller: a page must stay light enough to be sent

RIGHT, WRONG, UNKNOWN = np.array([(38, 44, 52), (235, 64, 84), (0, 0, 0)], dtype=np.uint8)
BOUNDARY = np.array((255, 214, 10), np.uint8)


@dataclass(frozen=True)
class Layer:
    """A picture with a title and a line about it. image: uint8 (H, W, 3) RGB."""

    title: str
    image: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """One evaluated image to be looked at, with label maps, uint8 (H, W): None if unknown.

    before: by the student before the adaptation. teacher: by the teacher assistant.
    """

    name: str
    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray | None = None
    note: str = ""
    before: np.ndarray | None = None
    teacher: np.ndarray | None = None


def shown_layers(shown: Shown, palette: np.ndarray) -> list[Layer]:
    """Panorama and prediction, and of truth, errors, changes and teacher what is known."""
    layers = [
        Layer("Panorama", shown.image),
        Layer("Prediction", colourise(shown.prediction, palette)),
    ]
    if shown.truth is not None:
        layers.append(Layer("Truth", colourise(shown.truth, palette)))
        layers.append(Layer("Errors", error_picture(shown.prediction, shown.truth)))
    if shown.before is not None:
        changed = shown.prediction != shown.before
        layers.append(Layer("Before", colourise(shown.before, palette)))
        now = colourise(shown.prediction, palette)
        layers.append(Layer("Changed its mind", np.where(changed[..., None], now, RIGHT)))
    if shown.teacher is not None:
        layers.append(Layer("Teacher assistant", colourise(shown.teacher, palette)))
        layers.append(Layer("Not as the teacher", error_picture(shown.prediction, shown.teacher)))
    return layers


def picture_uri(image: np.ndarray) -> tuple[str, bool]:
    """A `data:` address of uint8 (H, W, 3), and whether it is flat: few colours, kept exactly.

    Flat pictures (label maps) become palette PNGs, all others JPEGs.
    """
    codes = image.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
    colours = np.unique(codes)
    flat = len(colours) <= 256
    h, w = image.shape[:2]
    size = (MAX_WIDTH, max(1, round(h * MAX_WIDTH / w)))
    buffer = io.BytesIO()
    if flat:
        picture = Image.fromarray(np.searchsorted(colours, codes).astype(np.uint8))
        rgb = np.stack([colours >> 16, (colours >> 8) & 255, colours & 255], axis=1)
        picture.putpalette(rgb.astype(np.uint8).tobytes())
        if w > MAX_WIDTH:
            picture = picture.resize(size, Image.Resampling.NEAREST)
        picture.save(buffer, "png", optimize=True)
    else:
        picture = Image.fromarray(image)
        if w > MAX_WIDTH:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        picture.save(buffer, "jpeg", quality=87)
    kind = "png" if flat else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", flat


def error_picture(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): dark where the ids agree, red where they do not, black at truth 255."""
    picture = np.where((prediction == truth)[..., None], RIGHT, WRONG)
    return np.where((truth == IGNORE)[..., None], UNKNOWN, picture)


def drawn_every(windows: WindowPlan) -> int:
    """Of how many rows and columns of a panorama one is drawn: 1 unless it is very large."""
    return math.ceil(math.sqrt(max(1, windows.height * windows.width / MAX_PIXELS)))


def masks_picture(
    image: np.ndarray, masks: Sequence[WindowMasks], windows: WindowPlan, opacity: float = 0.7
) -> np.ndarray:
    """uint8 (h, w, 3): SAM's masks of the windows in colours of their own, the smallest on top.

    image: uint8 (h, w, 3), every `drawn_every`-th row and column of the panorama. Pixels in no mask
    show it, darkened. Each pixel is taken from one window.
    """
    smallest = [_smallest_mask(window) for window in masks]
    if not isinstance(windows, Windows):  # of a sphere, which is bounded: all at once
        numbers = np.stack([s.astype("i4")[m.cells] for s, m in zip(smallest, masks, strict=True)])
        sources = np.broadcast_to(np.arange(len(masks), dtype="i2")[:, None, None], numbers.shape)
        mask, source = windows.join_labels(numbers), windows.join_labels(sources)
        return _coloured(image, mask, source, opacity)
    every = drawn_every(windows)
    source, inside = (columns[::every] for columns in windows.sources)
    of_window = [(int(number), source == number) for number in np.unique(source)]
    shown, joined = np.empty_like(image), np.empty(len(source), np.int64)
    for row, top in enumerate(range(0, windows.height, every)):  # one at a time: memory
        for number, own in of_window:
            joined[own] = smallest[number][masks[number].cells[top, inside[own]]]
        shown[row] = _coloured(image[row], joined, source, opacity)
    return shown


def _coloured(
    image: np.ndarray, mask: np.ndarray, source: np.ndarray, opacity: float
) -> np.ndarray:
    """uint8 (..., 3): a picture below the colours of masks, whole numbers (...) of the windows
    `source`; 0 is none.
    """
    seed = (mask.astype(np.int64) * 2654435761 + 40503 * source.astype(np.int64)) % 2**32
    colours = np.stack([(seed >> shift) % 200 + 40 for shift in (3, 11, 19)], axis=-1)
    blended = (1 - opacity) * image + opacity * colours
    blended = np.where((mask == 0)[..., None], 0.45 * image, blended)
    return np.rint(blended).astype(np.uint8)


def boundary_picture(
    image: np.ndarray, boundaries: Sequence[np.ndarray], windows: WindowPlan
) -> np.ndarray:
    """uint8 (h, w, 3): the boundary maps of all overlaps, in their places, on the image, darkened.

    image: as for `masks_picture`. boundaries: bool (h_o, w_o) each.
    """
    every = drawn_every(windows)
    joined = np.zeros((image.shape[0], windows.width), bool)
    for overlap, boundary in zip(windows.overlaps, boundaries, strict=True):
        rows, columns = windows.overlap_pixels(overlap)
        drawn = rows[:, 0] % every == 0
        joined[rows[drawn] // every, columns] |= boundary[drawn]
    dark = (0.35 * image).astype(np.uint8)
    return np.where(joined[:, ::every, None], BOUNDARY, dark)


def _smallest_mask(masks: WindowMasks) -> np.ndarray:
    """int64 (K,): 1 + the smallest of the masks that each cell lies in, 0 where there is none."""
    found = np.zeros(masks.incidence.shape[1], np.int64)
    last_on_top = np.lexsort((-np.arange(len(masks)), -masks.area))  # of equal ones the first
    for mask in last_on_top:
        found[masks.incidence[mask]] = mask + 1
    return found
