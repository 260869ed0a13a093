"""What a step computes where two windows meet: refined boundaries (Fig. 3), and Eq. 2 and 7.

Two windows meet on the raster of their overlap, pixels of the panorama itself. A window that was
resampled is brought there by its probabilities; labels, differences and edges are then of these
(docs/method.md, "On a sphere"). TA: the teacher assistant.

Shapes: N windows, C classes, H x W pixels of the panorama, h_o x w_o of an overlap's raster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from goodsam.data.raster import Raster
from goodsam.data.sphere import WindowPlan
from goodsam.stages.adapt.boundary import (
    boundary_of_edges,
    edges,
    hard_boundary,
    refine_boundary,
    shown_edges,
)
from goodsam.stages.adapt.losses import boundary_loss, counted_pixels
from goodsam.stages.adapt.prediction import Prediction, argmax_labels, margin_of

Reduction = Literal["printed", "balanced"]


@dataclass(frozen=True)
class Reprojected:
    """The TA's prediction on the panorama's own pixels, as `windows.reproject` gives it.

    probabilities: (N, C, h, w) where windows are cut out, else N of (C, h_k, w_k), with gradient.
    shown: of each overlap bool (h_o, w_o), what both windows show; None: all.
    """

    prediction: Prediction
    windows: WindowPlan
    probabilities: Sequence[torch.Tensor]
    shown: Sequence[torch.Tensor | None]

    @classmethod
    def of(cls, prediction: Prediction, windows: WindowPlan) -> Reprojected:
        shown = counted_pixels(windows, prediction.probabilities.device)
        return cls(prediction, windows, windows.reproject(prediction.probabilities), shown)

    def labels(self) -> Sequence[torch.Tensor]:
        """uint8, of each window (h_k, w_k)."""
        if not self.windows.resampled:
            return self.prediction.labels.unbind(0)
        return [argmax_labels(p[None])[0] for p in self.probabilities]

    def margins(self) -> Sequence[torch.Tensor]:
        """`D` of Fig. 3, of each window (h_k, w_k)."""
        if not self.windows.resampled:
            return self.prediction.margin().unbind(0)
        return [margin_of(p[None])[0] for p in self.probabilities]

    def edges(self) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """`boundary.edges` of each window, across and down."""
        if not self.windows.resampled:
            across, down = edges(self.prediction.probabilities)
            return across.unbind(0), down.unbind(0)
        found = [edges(p[None]) for p in self.probabilities]
        return [across[0] for across, _ in found], [down[0] for _, down in found]


@torch.no_grad()
def refined_boundaries(
    teacher: Reprojected,
    sam_boundaries: Sequence[torch.Tensor],
    alpha: float,
    max_distance: int | None,
) -> list[torch.Tensor]:
    """`B_ref` of each overlap, bool (h_o, w_o), from the TA's prediction of all windows.

    The nearest SAM boundary is sought along `windows.search`; max_distance: as far as that, px.
    """
    windows, labels, margins = teacher.windows, teacher.labels(), teacher.margins()
    found = []
    for overlap, sam, shown in zip(windows.overlaps, sam_boundaries, teacher.shown, strict=True):
        meeting = windows.meeting(overlap)
        left, right = (hard_boundary(place.of(labels[k]), shown) for k, place in meeting)
        d_left, d_right = (place.of(margins[k]) for k, place in meeting)
        maps = left, right, sam if shown is None else sam & shown, d_left, d_right
        if windows.search(overlap) == "column":
            refined = _refine(maps, alpha, max_distance)
        else:
            refined = _refine([map_.mT for map_ in maps], alpha, max_distance).mT
        found.append(refined)
    return found


def _refine(maps: Sequence[torch.Tensor], alpha: float, max_distance: int | None) -> torch.Tensor:
    left, right, sam, d_left, d_right = maps
    return refine_boundary(left, right, sam, d_left, d_right, alpha, max_distance)


def teacher_boundary_loss(
    teacher: Reprojected,
    refined: Sequence[torch.Tensor],
    reduction: Reduction,
    kept_HW: torch.Tensor | None = None,
) -> torch.Tensor:
    """Eq. 2, the mean over all overlaps. kept: as in `consistency_loss`."""
    windows = teacher.windows
    across, down = teacher.edges()
    soft = []
    for overlap, shown in zip(windows.overlaps, teacher.shown, strict=True):
        sides = windows.meeting(overlap)
        soft.append([_soft_boundary(across[k], down[k], place, shown) for k, place in sides])
    return _mean_loss(refined, soft, windows, reduction, kept_HW)


def student_boundary_loss(
    student: Prediction,
    windows: WindowPlan,
    refined: Sequence[torch.Tensor],
    reduction: Reduction,
    kept_HW: torch.Tensor | None = None,
) -> torch.Tensor:
    """Eq. 7, the mean over all overlaps. student: of the panorama. kept: as above."""
    across, down = (part[0] for part in edges(student.probabilities, cyclic=True))
    down = torch.nn.functional.pad(down, (0, 0, 0, 1))  # as high as the panorama, to be cut
    shown = counted_pixels(windows, across.device)
    cuts = zip(windows.cut_overlaps(across), windows.cut_overlaps(down), shown, strict=True)
    soft = [[_soft_boundary(a, d, Raster(0, 0, *a.shape), both)] for a, d, both in cuts]
    return _mean_loss(refined, soft, windows, reduction, kept_HW)


def _soft_boundary(
    across: torch.Tensor, down: torch.Tensor, place: Raster, shown: torch.Tensor | None
) -> torch.Tensor:
    """(h_o, w_o): the soft boundary of a part of a picture, from the edges inside it alone."""
    across = replace(place, width=place.width - 1).of(across)
    down = replace(place, height=place.height - 1).of(down)
    if shown is not None:
        beside, below = shown_edges(shown)
        across, down = across * beside, down * below
    return boundary_of_edges(across, down)


def _mean_loss(
    refined: Sequence[torch.Tensor],
    soft: Sequence[list[torch.Tensor]],
    windows: WindowPlan,
    reduction: Reduction,
    kept_HW: torch.Tensor | None,
) -> torch.Tensor:
    counted = counted_pixels(windows, refined[0].device, kept_HW)
    losses = [
        boundary_loss(
            reference[None],
            [side[None] for side in sides],
            reduction,
            None if pixels is None else pixels[None],
        )
        for reference, sides, pixels in zip(refined, soft, counted, strict=True)
    ]
    return torch.stack(losses).mean()
