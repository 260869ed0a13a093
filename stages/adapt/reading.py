"""What a step reads: panoramas with what SAM gave for them, in an order that the seed fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from goodsam.data.cache import SamCache
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas.fitted import FittedPictures, pictures_folder
from goodsam.data.sphere import WindowPlan
from goodsam.stages.adapt.beyond.paste import Donor
from goodsam.stages.adapt.beyond.view import View, ViewConfig, view_at
from goodsam.stages.adapt.fusion import MaskBatch
from goodsam.stages.loading import as_raised


class Item(NamedTuple):
    """A panorama at one position of a run. image: uint8 (H, W, 3). masks, boundaries: of the
    windows that are learned from, and `B_SAM` of their overlaps, bool (h_o, w_o). donor: what small
    things are pasted from; None: nothing is pasted."""

    name: str
    image: torch.Tensor
    masks: MaskBatch
    boundaries: list[torch.Tensor]
    view: View = View()
    donor: Donor | None = None


class CachedPanoramas:
    """Panoramas with what SAM gave for them. Picklable: files are opened in the worker.

    kept: bool (H, W), false where the cache leaves pixels out; None where it leaves none out.
    """

    def __init__(self, images: Path, cache: SamCache, names: list[str]) -> None:
        self.images, self.cache, self.names = images, cache, names
        self.windows: WindowPlan = cache.identity.windows
        self.pictures = FittedPictures(pictures_folder(cache.path), cache.identity.geometry)
        ignored = cache.identity.ignored_mask
        self.kept = None if ignored is None else torch.from_numpy(~ignored)

    @property
    def geometry(self) -> Geometry:
        """How the panoramas are seen."""
        return self.cache.identity.geometry

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return self.read(index, lambda image: View())

    def read(self, index: int, view_of: Callable[[torch.Tensor], View]) -> Item:
        """A panorama, and of its masks what its view learns from."""
        name = self.names[index]
        image = self._image(name)
        view = view_of(image)
        record = self.cache.read(name)
        masks = [record.windows[i] for i in view.indices(self.windows)]
        boundaries = [record.boundaries[i] for i in view.overlap_indices(self.windows)]
        maps = [torch.from_numpy(np.asarray(map_)) for map_ in boundaries]
        return Item(name, image, MaskBatch.of(masks), maps, view, self._donor(index, view))

    def _image(self, name: str) -> torch.Tensor:
        """uint8 (H, W, 3): from beside the cache where it was fitted before."""
        sha256 = self.cache.images[name]
        return torch.from_numpy(self.pictures.read(name, self.images / name, sha256))

    def _donor(self, index: int, view: View) -> Donor | None:
        """Another panorama than `index`, where there is one."""
        if view.donor is None or len(self) < 2:
            return None
        draw, roll = view.donor
        name = self.names[(index + 1 + draw % (len(self) - 1)) % len(self)]
        image = self._image(name)
        return Donor(image, MaskBatch.of(self.cache.read(name).windows), roll)


def schedule(count: int, seed: int, first: int, last: int, stride: int = 1) -> Iterator[int]:
    """Indices of the panoramas for positions first to last of a run: a permutation each epoch.

    stride: from one position to the next; the processes of a run divide the positions by it.
    """
    known = -1
    for position in range(first, last, stride):
        epoch, place = divmod(position, count)
        if epoch != known:
            order, known = np.random.default_rng((seed, epoch)).permutation(count), epoch
        yield int(order[place])


def read_in_order(
    panoramas: CachedPanoramas,
    order: Iterator[tuple[int, int]],
    workers: int,
    device: torch.device,
    views: ViewConfig | None = None,
    seed: int = 0,
) -> Iterator[Item]:
    """Items in the given order, read ahead by `workers` processes (0: read on demand).

    order: positions in the run, of which each view is drawn, and indices of panoramas.
    """
    loader: DataLoader[Item] = DataLoader(
        _Seen(panoramas, views or ViewConfig(), seed),
        sampler=_Sequence(order),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    return as_raised(iter(loader))


class _Seen(Dataset):
    """Items by (position in the run, index of the panorama)."""

    def __init__(self, panoramas: CachedPanoramas, views: ViewConfig, seed: int) -> None:
        self.panoramas, self.views, self.seed = panoramas, views, seed

    def __getitem__(self, key: tuple[int, int]) -> Item:
        position, index = key
        windows = self.panoramas.windows
        return self.panoramas.read(index, view_at(self.views, windows, self.seed, position))


class _Sequence(torch.utils.data.Sampler[tuple[int, int]]):
    def __init__(self, keys: Iterator[tuple[int, int]]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return self.keys
