"""Fitted pictures kept beside a cache: an 18-megapixel JPEG is decoded and resized once.

`NAME.zarr.pictures/` holds them as PNG files under the photographs' names. Each says of which
photograph (SHA-256) and geometry it is; one that says another thing, or is torn, is not taken, and
whoever deletes the folder loses time alone.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goodsam.data.files import regular, write_whole
from goodsam.data.geometry import Geometry
from goodsam.data.hashes import NAME
from goodsam.data.panoramas.fit import placement_in, read_panorama
from goodsam.data.panoramas.read import Conversions, image_size
from goodsam.data.panoramas.sources import PICTURES

_KEY = "goodsam-fitted"


def pictures_folder(cache: Path | str) -> Path | None:
    """Where what belongs to a cache's photographs is kept; None for a cache that is elsewhere."""
    text = str(cache)
    if "://" in text:
        return None
    path = Path(text)
    return path.with_name(path.name + PICTURES)


def hashes_beside(cache: Path | str) -> Path | None:
    """Where the hashes of a cache's photographs are remembered, as for `pictures_folder`."""
    folder = pictures_folder(cache)
    return None if folder is None else folder / NAME


class FittedPictures:
    """The panoramas of a geometry, read from what is kept where that is there. Picklable.

    folder: where they are kept; None: nowhere. write: keep what had to be fitted.
    """

    def __init__(self, folder: Path | None, geometry: Geometry, write: bool = False) -> None:
        self.folder, self.geometry, self.write = folder, geometry, write

    def read(
        self, name: str, image: Path, sha256: str, conversions: Conversions | None = None
    ) -> np.ndarray:
        """As `read_panorama` of the file `image`, whose hash is known, and called `name`."""
        if (kept := self.kept(name, sha256)) is not None:
            return kept
        geometry = self.geometry
        panorama = read_panorama(image, geometry.windows, geometry.fit, conversions, geometry.pose)
        if self.write and geometry.fit and self._was_fitted(image):
            self._keep(name, panorama, sha256)
        return panorama

    def _was_fitted(self, image: Path) -> bool:
        """Whether a picture was resized or levelled: others are read fast enough."""
        size, windows = image_size(image), self.geometry.windows
        other = size != (windows.height, windows.width)
        return other or placement_in(self.geometry, image, size) is not None

    def kept(self, name: str, sha256: str) -> np.ndarray | None:
        """uint8 (H, W, 3): the panorama of a photograph of this hash; None if none is kept."""
        windows = self.geometry.windows
        if self.folder is None or not self.geometry.fit:
            return None
        try:
            with Image.open(regular(self._path(name))) as image:
                right = image.info.get(_KEY) == self._note(sha256) and image.mode == "RGB"
                if right and image.size == (windows.width, windows.height):
                    return np.array(image)
        except Exception:  # torn, or no picture of ours, whatever pillow makes of it
            pass
        return None

    def _keep(self, name: str, panorama: np.ndarray, sha256: str) -> None:
        if self.folder is None:
            return
        notes, buffer = PngInfo(), io.BytesIO()
        notes.add_text(_KEY, self._note(sha256))
        Image.fromarray(panorama).save(buffer, "png", pnginfo=notes, compress_level=1)
        try:
            write_whole(self._path(name), buffer.getvalue())
        except OSError:
            self.write = False  # to keep them saves time alone: a full disk is no reason to stop

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / (name + ".png")

    def _note(self, sha256: str) -> str:
        windows = self.geometry.windows
        return f"{sha256} {windows.width} x {windows.height} {self.geometry.pose}".rstrip()
