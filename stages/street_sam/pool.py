"""The panoramas that the demo SAM is trained on: on disk, rendered beside the training."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import time
from pathlib import Path

import numpy as np

from goodsam.data.files import write_whole
from goodsam.data.street.look import LookName
from goodsam.data.street.picture import Picture, panorama
from goodsam.data.street.seeds import split_seed

HEIGHT, WIDTH = 200, 256  # of the pictures, the demo's windows
AROUND = 1024  # columns of a panorama
FIRST_SCENE = 2_000_000  # of the split "sam": earlier weights have seen those from 0 on


class Pool:
    """Panoramas on disk, rendered in order by a process of its own while the pool is open.

    A step draws from the panoramas that a fixed schedule gives it and waits for them if need be:
    what it gets does not depend on how fast they came. A window of any one may begin at any of
    its columns, so that a few hundred panoramas go a long way.
    """

    FIRST, PER_STEP, TOGETHER = 16, 2, 8

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size = folder, size
        for name, (dtype, shape) in self._files().items():
            if not (folder / name).exists():
                np.lib.format.open_memmap(folder / name, "w+", dtype, shape).flush()
        self.images, self.instances = (
            np.load(folder / name, mmap_mode="r+") for name in self._files()
        )
        self.renderer: multiprocessing.process.BaseProcess | None = None

    def _files(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        shape = (self.size, HEIGHT, AROUND)
        return {"images.npy": (np.uint8, (*shape, 3)), "instances.npy": (np.uint16, shape)}

    def __enter__(self) -> Pool:
        if self.ready < self.size:
            context = multiprocessing.get_context("spawn")
            self.renderer = context.Process(
                target=render, args=(self.folder, self.size), daemon=True
            )
            self.renderer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.renderer is not None:
            self.renderer.terminate()
            self.renderer.join()

    @property
    def ready(self) -> int:
        """Number of panoramas rendered so far."""
        count = self.folder / "ready"
        return int(count.read_text()) if count.exists() else 0

    def draw(self, rng: np.random.Generator, step: int) -> tuple[np.ndarray, np.ndarray]:
        """A window: image uint8 (200, 256, 3) and instances uint16 (200, 256)."""
        index = int(rng.integers(min(self.size, self.FIRST + self.PER_STEP * step)))
        columns = (int(rng.integers(AROUND)) + np.arange(WIDTH)) % AROUND
        while self.ready <= index:
            if self.renderer is not None and not self.renderer.is_alive():
                raise RuntimeError(f"{self.folder}: the renderer ended before panorama {index}")
            time.sleep(0.2)
        return self.images[index][:, columns], self.instances[index][:, columns]


def scenery(index: int) -> Picture:
    """A panorama of the split "sam", in a random look or the source's: never in the target's."""
    look: LookName = "source" if index % 2 else "random"
    return panorama(split_seed("sam", FIRST_SCENE + index), HEIGHT, AROUND, look=look)


def render(folder: Path, size: int) -> None:
    """Fill a pool."""
    pool = Pool(folder, size)
    for index in range(pool.ready, size):
        picture = scenery(index)
        pool.images[index], pool.instances[index] = picture.image, picture.instances
        if (index + 1) % pool.TOGETHER == 0 or index + 1 == size:
            pool.images.flush(), pool.instances.flush()
            write_whole(folder / "ready", str(index + 1))
