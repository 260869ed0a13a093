"""Panoramas and ignore masks of exactly the windows' size, fitted to it where that is asked for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Geometry, Pose
from goodsam.data.panoramas.gpano import placement_of
from goodsam.data.panoramas.placement import Placement, upright_band
from goodsam.data.panoramas.projection import other_projection
from goodsam.data.panoramas.read import Conversions, read_image
from goodsam.data.sphere import WindowPlan
from goodsam.data.windows import has_aspect, is_sphere


def read_panorama(
    path: Path,
    windows: WindowPlan,
    fit: bool = False,
    conversions: Conversions | None = None,
    pose: Pose = LEVELLED,
) -> np.ndarray:
    """uint8 (H, W, 3) of exactly the windows' size; others are fitted if `fit`, else InputError.

    For windows of a whole sphere that is: levelled and resized, and nothing is cut.

    pose: of the camera, undone if `fit`, as is what the photograph says of itself. InputError for
    fisheye discs and cube maps, whatever their size.
    """
    image = read_image(path, conversions)
    height, width = windows.height, windows.width
    where = placement_of(path, (image.shape[0], image.shape[1]), pose) if fit else None
    if where is None and (other := other_projection(image)) is not None:
        raise InputError(f"{path}: {other}")
    if image.shape[:2] == (height, width) and where is None:
        return image
    if not fit:
        raise InputError(
            f"{path}: {image.shape[1]} x {image.shape[0]} where {width} x {height} is expected; "
            "pass --fit to have panoramas cut to the band and resized"
        )
    try:
        return to_band(image, height, width, where)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def placement_in(geometry: Geometry | None, path: Path, size: tuple[int, int]) -> Placement | None:
    """`placement_of` a photograph where a geometry fits photographs; else None."""
    return None if geometry is None or not geometry.fit else placement_of(path, size, geometry.pose)


def fitted_view(
    geometry: Geometry | None, image: np.ndarray, placement: Placement | None = None
) -> np.ndarray:
    """uint8 (h, w, 3): what a network of this geometry sees of an image, uint8 (H, W, 3)."""
    if geometry is None or not geometry.fit:
        return image
    return to_band(image, geometry.windows.height, geometry.windows.width, placement)


def to_band(
    image: np.ndarray, height: int, width: int, placement: Placement | None = None
) -> np.ndarray:
    """uint8 (h, w, 3) -> uint8 (height, width, 3), antialiased, the seam kept closed.

    An image of the same aspect (within 3 %) is resized. From a 2:1 panorama, which covers
    360° x 180°, the central band of `360° * height / width` (70.3° for 400 x 2048) is cut first.
    placement: of a photograph that is a part of a sphere or was tilted (`upright_band`).
    Raises InputError for any other aspect, and for what is no panorama.
    """
    h, w = image.shape[:2]
    if placement is not None:
        return upright_band(image, (height, width), placement)
    if (h, w) == (height, width):
        return image
    if (other := other_projection(image)) is not None:
        raise InputError(other)
    band = band_share((h, w), (height, width))
    # The filter may look `pad` columns past the border: on a circle those are the other end's.
    pad = min(w, math.ceil(3 * max(w / width, 1)) + 1)
    circle = np.concatenate([image[:, w - pad :], image, image[:, :pad]], axis=1)
    top = h * (1 - band) / 2
    resized = Image.fromarray(circle).resize(
        (width, height), Image.Resampling.LANCZOS, box=(pad, top, pad + w, h - top)
    )
    return np.array(resized)


def band_share(size: tuple[int, int], fitted: tuple[int, int]) -> float:
    """The share of a photograph's height that it keeps when it is fitted. Sizes: (height, width).

    1 for a photograph of the fitted aspect. Of a 2:1 panorama the central band of
    `360° * height / width` is kept. InputError for any other aspect.
    """
    (h, w), (height, width) = size, fitted
    if has_aspect(h, w, width / height):
        return 1.0
    if is_sphere(h, w) and 2 * height <= width:
        return 2 * height / width
    raise InputError(
        f"{w} x {h} is neither a 2:1 panorama nor of the aspect {width} x {height}: "
        "it cannot be fitted without distortion"
    )


def read_ignore_mask(path: Path) -> np.ndarray:
    """bool (H, W): true where a mask image is not black: pixels to leave out, such as the rig.

    Raises InputError for an unreadable image.
    """
    return read_image(path).max(axis=2) > 0


def fitted_ignore_mask(path: Path, windows: WindowPlan, fit: bool = False) -> np.ndarray:
    """`read_ignore_mask` of exactly the windows' size; one of the images' own is fitted if `fit`.

    A pixel is left out if any part of it is. Raises InputError for another size.
    """
    ignored = read_ignore_mask(path)
    height, width = windows.height, windows.width
    if ignored.shape == (height, width):
        return ignored
    if not fit:
        raise InputError(
            f"{path}: the ignore mask is {ignored.shape[1]} x {ignored.shape[0]} where the "
            f"panoramas are {width} x {height}; draw it at their size"
        )
    grey = np.repeat(ignored[..., None].astype(np.uint8) * 255, 3, axis=2)
    try:
        return to_band(grey, height, width)[..., 0] > 25
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
