"""Pseudo labels: the ensemble of stage 2, of the teacher assistant (TA) and SAM's masks, as maps.

    labeller = EnsembleLabeller(teacher, cache, FusionConfig())
    predict(labeller, samples, Path("out"), wanted=["confidence", "trust"])

What the student learns from, in the photographs' own pixels, for whoever wants a labelled data set
or trains another program's model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from goodsam.data.cache import SamCache
from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import Placement, fitted_view, placement_in
from goodsam.data.panoramas.fitted import FittedPictures, pictures_folder
from goodsam.data.window_masks import WindowMasks
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse_prediction
from goodsam.stages.adapt.prediction import Prediction
from goodsam.stages.segformer.between import Between
from goodsam.stages.segformer.native import MapKind, Maps, as_bytes, native_parts, unseen_pixels
from goodsam.stages.segformer.segment import normalise, segment
from goodsam.stages.segformer.segmenter import Segmenter

_TOGETHER = 8  # windows: as many as the paper's panorama has


@dataclass(frozen=True)
class Ensemble:
    """Of one panorama, (H, W) each. labels: uint8, 255 where it has none. trust: float32, 1 where
    SAM's masks and the TA agree. confidence: float32, the TA's probability of the label. teacher:
    uint8, the TA's own labels.
    """

    labels: torch.Tensor
    trust: torch.Tensor
    confidence: torch.Tensor
    teacher: torch.Tensor


@torch.inference_mode()
def ensemble(
    teacher: Segmenter, view: np.ndarray, cache: SamCache, name: str, fusion: FusionConfig
) -> Ensemble:
    """Of the panorama `name`, whose picture is `view`, uint8 (H, W, 3); each pixel from one window.

    Some windows at a time: those of a whole sphere are several spheres.
    """
    plan, masks = cache.identity.windows, cache.read(name).windows
    pixels = normalise(np.require(view[None], requirements="W"), teacher.device)[0]
    windows, found = plan.cut(pixels), []
    for first in range(0, len(plan), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        found.append(_fused(teacher, windows[some], masks[some], fusion))
    return Ensemble(*(plan.join_labels(torch.cat(each)) for each in zip(*found, strict=True)))


def _fused(
    teacher: Segmenter, windows: torch.Tensor, masks: Sequence[WindowMasks], fusion: FusionConfig
) -> tuple[torch.Tensor, ...]:
    """The maps of an `Ensemble`, (n, h, w), of windows, (n, 3, h, w), and their masks."""
    prediction = Prediction.of(segment(teacher.model, windows), len(teacher.names))
    batch = MaskBatch.of(masks).to(teacher.device)
    labels, trust, _ = fuse_prediction(prediction, batch, fusion)
    if prediction.ignored is not None:
        labels = labels.masked_fill(prediction.ignored, IGNORE)
    known = labels != IGNORE
    taken = torch.where(known, labels, 0)[:, None]
    confidence = prediction.probabilities.gather(1, taken)[:, 0] * known
    return labels.to(torch.uint8), trust * known, confidence, prediction.labels


@dataclass(frozen=True)
class EnsembleLabeller:
    """Labels the panoramas of a cache by the ensemble. InputError for one that the cache lacks.

    teacher: the TA. fusion: the rule, and what belongs to it.
    """

    teacher: Segmenter
    cache: SamCache
    fusion: FusionConfig

    @property
    def names(self) -> tuple[str, ...]:
        """The classes of the TA."""
        return self.teacher.names

    @property
    def palette(self) -> np.ndarray:
        """uint8 (C, 3)."""
        return self.teacher.palette

    @property
    def geometry(self) -> Geometry:
        """How the panoramas are seen: as for the cache."""
        return self.cache.identity.geometry

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the labels but the photograph."""
        how = f"{self.teacher.fingerprint} {self.cache.identity.to_json()} {self.fusion}"
        return hashlib.sha256(how.encode()).hexdigest()

    def placement(self, path: Path, size: tuple[int, int]) -> Placement | None:
        """How the photograph in a file, (H, W) px, lies on its sphere; None: whole and upright."""
        return placement_in(self.geometry, path, size)

    def view(self, image: np.ndarray, placement: Placement | None = None) -> np.ndarray:
        """uint8 (h, w, 3): the panorama that the masks were made of."""
        view = fitted_view(self.geometry, image, placement)
        height, width = self._size
        if view.shape[:2] != (height, width):
            raise InputError(
                f"{view.shape[1]} x {view.shape[0]}, and the cache's masks are of "
                f"{width} x {height}; give the images that the cache was made from"
            )
        return view

    def kept_view(self, name: str, sha256: str) -> np.ndarray | None:
        """What stage 1 fitted, uint8 (h, w, 3), where it is kept beside the cache."""
        pictures = FittedPictures(pictures_folder(self.cache.path), self.geometry)
        return pictures.kept(name, sha256)

    def maps(
        self,
        names: Sequence[str],
        views_NHWC: np.ndarray,
        size: tuple[int, int],
        wanted: Collection[MapKind] = (),
        placement: Placement | None = None,
    ) -> Maps:
        """The maps of the panoramas called so, in the photographs' own pixels; see `Maps`."""
        found = [self._one(*pair, size, placement) for pair in zip(names, views_NHWC, strict=True)]
        labels, confidence, trust = (np.stack(maps) for maps in zip(*found, strict=True))
        return Maps(
            labels,
            confidence if "confidence" in wanted else None,
            trust if "trust" in wanted else None,
        )

    @property
    def _size(self) -> tuple[int, int]:
        return self.geometry.windows.height, self.geometry.windows.width

    def _one(
        self, name: str, view: np.ndarray, size: tuple[int, int], placement: Placement | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """uint8 (H, W) of labels, confidence and trust."""
        found = ensemble(self.teacher, view, self.cache, name, self.fusion)
        if size == self._size and placement is None:
            labels = found.labels.cpu().numpy()
            maps = labels.copy(), as_bytes(found.confidence), as_bytes(found.trust)
        else:
            maps = _native(found, len(self.names), size, placement)
        unseen = unseen_pixels(self.geometry, size, placement)
        if unseen is not None:
            for map_, nothing in zip(maps, (IGNORE, 0, 0), strict=True):
                np.copyto(map_, nothing, where=unseen)
        return maps


def _native(
    found: Ensemble, classes: int, size: tuple[int, int], placement: Placement | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The maps at the photograph's pixels.

    Each label's share of the pixels around is interpolated, and the largest counts: labels that
    were enlarged as they are would have steps for edges.
    """
    none = found.labels == IGNORE
    index = torch.where(none, classes, found.labels.long())[None]
    between = Between(F.one_hot(index, classes + 1).movedim(-1, 1).float(), index.to(torch.uint8))
    others = torch.stack([found.confidence, found.trust])[None].float()
    labels = np.full(size, IGNORE, np.uint8)
    confidence, trust = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for part in native_parts(between.maps, size, placement):
        likeliest = between.likeliest(part)[0][0].cpu().numpy()
        known = part.inside & (likeliest < classes)
        sure, trusted = part.interpolated(others)[0]
        labels[part.rows] = np.where(known, likeliest, IGNORE)
        confidence[part.rows] = np.where(known, as_bytes(sure.clamp(0, 1)), 0)
        trust[part.rows] = np.where(known & (trusted >= 0.5).cpu().numpy(), 255, 0)
    return labels, confidence, trust
