"""The panoramas that the demo SAM is trained on: on disk, rendered before the training."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.street.look import LookName
from goodsam.data.street.picture import Picture, panorama
from goodsam.data.street.seeds import split_seed

HEIGHT, WIDTH = 200, 256  # of the pictures, the demo's windows
AROUND = 1024  # columns of a panorama
FIRST_SCENE = 2_000_000  # of the split "sam": earlier weights have seen those from 0 on


class Pool:
    """Panoramas on disk, rendered once, in order.

    A window of any one may begin at any of its columns, so that a few hundred panoramas go a long
    way.
    """

    TOGETHER = 16

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size = folder, size
        for name, (dtype, shape) in self._files().items():
            if not (folder / name).exists():
                np.lib.format.open_memmap(folder / name, "w+", dtype, shape).flush()
        self.images, self.instances = (
            np.load(folder / name, mmap_mode="r+") for name in self._files()
        )
        if len(self.images) < size:
            raise InputError(
                f"{folder}: holds {len(self.images)} panoramas, not {size}; give another --out, or "
                "remove it"
            )

    def _files(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        shape = (self.size, HEIGHT, AROUND)
        return {"images.npy": (np.uint8, (*shape, 3)), "instances.npy": (np.uint16, shape)}

    @property
    def ready(self) -> int:
        """Number of panoramas rendered so far."""
        count = self.folder / "ready"
        return int(count.read_text()) if count.exists() else 0

    def fill(self, workers: int) -> None:
        """Render what is missing, in so many processes of their own; 0: in this one."""
        with ExitStack() as stack:
            missing = range(self.ready, self.size)
            rendered: Iterable[Picture] = map(scenery, missing)
            if workers and missing:
                context = multiprocessing.get_context("spawn")
                rendered = stack.enter_context(context.Pool(workers)).imap(scenery, missing)
            for index, picture in zip(missing, rendered, strict=True):
                self.images[index], self.instances[index] = picture.image, picture.instances
                if (index + 1) % self.TOGETHER == 0 or index + 1 == self.size:
                    self.images.flush(), self.instances.flush()
                    write_whole(self.folder / "ready", str(index + 1))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A window: image uint8 (200, 256, 3) and instances uint16 (200, 256)."""
        index = int(rng.integers(self.size))
        columns = (int(rng.integers(AROUND)) + np.arange(WIDTH)) % AROUND
        return self.images[index][:, columns], self.instances[index][:, columns]


def scenery(index: int) -> Picture:
    """A panorama of the split "sam", in a random look or the source's: never in the target's."""
    look: LookName = "source" if index % 2 else "random"
    return panorama(split_seed("sam", FIRST_SCENE + index), HEIGHT, AROUND, look=look)
