"""How a mask generator is made, in whatever process needs one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch

from goodsam.stages.device import pick_device
from goodsam.stages.sam.generate import GeneratorConfig, MaskGenerator, SamGenerator, precision
from goodsam.stages.sam.load import LoadedSam, load_sam
from goodsam.stages.sam.registry import Hub, known_sam, published_hash


class GeneratorFactory(Hashable, Protocol):
    """Makes the mask generator, in whatever process needs one. Picklable too."""

    @property
    def sam(self) -> str:
        """SHA-256 of the weights."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the masks, as JSON has it."""
        ...

    @property
    def provenance(self) -> dict[str, Any]:
        """All else worth recording."""
        ...

    def build(self, place: int = 0) -> MaskGenerator:
        """place: the number of the process on its machine; each has a GPU of its own."""
        ...


@dataclass(frozen=True)
class SamFactory:
    """A SAM by name or checkpoint, and the settings of its mask generation."""

    name: str
    checkpoint: Path | None
    generator: GeneratorConfig

    @property
    def sam(self) -> str:
        return _load_once(self.name, self.checkpoint).sha256

    @property
    def settings(self) -> dict[str, Any]:
        settings = asdict(self.generator)
        del settings["points_per_batch"]  # a matter of memory: to change it does not end a cache
        return settings

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "sam": self.name,
            "licence": self.licence,
            "points_per_batch": self.generator.points_per_batch,
            "device": pick_device().type,
            "precision": str(self._dtype).removeprefix("torch."),
        }

    @property
    def licence(self) -> str | None:
        """Of the weights; None if nobody says. A file of one's own has not that of its name."""
        known = known_sam(self.name)
        if self.checkpoint is None:
            return known.licence
        if isinstance(known.weights, Hub):
            from goodsam.stages.cards import read_card  # as in the registry

            licence = read_card(self.checkpoint).licence
            return None if licence is None else licence.name
        return known.licence if self.sam == published_hash(known) else None

    @property
    def _dtype(self) -> torch.dtype:
        return precision(pick_device()) if self.generator.mode == "fast" else torch.float32

    def build(self, place: int = 0) -> SamGenerator:
        device = pick_device()
        if device.type == "cuda":
            device = torch.device("cuda", place % torch.cuda.device_count())
        model = _load_once(self.name, self.checkpoint).model
        return SamGenerator(model.to(device), self.generator)


@lru_cache(maxsize=1)
def _load_once(name: str, checkpoint: Path | None) -> LoadedSam:
    return load_sam(name, checkpoint)


def release_sam() -> None:
    """Let go of the SAM that this process has loaded; whoever needs it next loads it again."""
    _load_once.cache_clear()
