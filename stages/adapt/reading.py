"""What a step reads: panoramas with what SAM gave for them, in an order that the seed fixes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from goodsam.data.cache import SamCache
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import read_panorama
from goodsam.data.windows import Windows
from goodsam.stages.adapt.fusion import MaskBatch

Item = tuple[str, torch.Tensor, MaskBatch, list[torch.Tensor]]
"""Name, image uint8 (H, W, 3), the masks of its windows, `B_SAM` of its overlaps."""


class CachedPanoramas(Dataset):
    """Panoramas with what SAM gave for them. Picklable: files are opened in the worker.

    kept: bool (H, W), false where the cache leaves pixels out; None where it leaves none out.
    """

    def __init__(self, images: Path, cache: SamCache, names: list[str]) -> None:
        self.images, self.cache, self.names = images, cache, names
        self.windows: Windows = cache.identity.windows
        self.fit: bool = cache.identity.fit
        ignored = cache.identity.ignored_mask
        self.kept = None if ignored is None else torch.from_numpy(~ignored)

    @property
    def geometry(self) -> Geometry:
        """How the panoramas are seen."""
        return self.cache.identity.geometry

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        name = self.names[index]
        pose = self.geometry.pose
        path = self.images / name
        image = torch.from_numpy(read_panorama(path, self.windows, self.fit, pose=pose))
        record = self.cache.read(name)
        boundaries = [torch.from_numpy(np.asarray(map_)) for map_ in record.boundaries]
        return name, image, MaskBatch.of(record.windows), boundaries


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
    panoramas: CachedPanoramas, order: Iterator[int], workers: int, device: torch.device
) -> Iterator[Item]:
    """Items in the given order, read ahead by `workers` processes (0: read on demand)."""
    loader: DataLoader[Item] = DataLoader(
        panoramas,
        sampler=_Sequence(order),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    return iter(loader)


class _Sequence(torch.utils.data.Sampler[int]):
    def __init__(self, indices: Iterator[int]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        return self.indices
