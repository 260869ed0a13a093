"""What a step computes where two windows meet: refined boundaries (Fig. 3), and Eq. 2 and 7.

Two windows meet on the raster of their overlap, pixels of the panorama itself. A window that was
resampled is brought there by its probabilities; labels, differences and edges are then of these
(docs/method.md, "On a sphere"). TA: the teacher assistant.

Shapes: N windows, C classes, H x W pixels of the panorama, O overlaps, h_o x w_o of one's raster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

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


def alike(windows: WindowPlan) -> list[list[int]]:
    """Indices of the overlaps, those of one shape and one direction of search in one list.

    They are computed as one: each operation costs a GPU its launch, however small it is.
    """
    groups: dict[tuple[tuple[int, int], str], list[int]] = {}
    for index, overlap in enumerate(windows.overlaps):
        (_, place), _ = windows.meeting(overlap)
        groups.setdefault((place.shape, windows.search(overlap)), []).append(index)
    return list(groups.values())


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
    found: dict[int, torch.Tensor] = {}
    for group in alike(windows):
        shown = _stacked([teacher.shown[i] for i in group])
        left, right = (hard_boundary(m, shown) for m in _meeting(labels, windows, group))
        d_left, d_right = _meeting(margins, windows, group)
        sam = torch.stack([sam_boundaries[i] for i in group])
        maps = left, right, sam if shown is None else sam & shown, d_left, d_right
        if windows.search(windows.overlaps[group[0]]) == "column":
            refined = _refine(maps, alpha, max_distance)
        else:
            refined = _refine([map_.mT for map_ in maps], alpha, max_distance).mT
        found |= zip(group, refined.unbind(0), strict=True)
    return [found[i] for i in range(len(found))]


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

    def soft(group: Sequence[int], shown: torch.Tensor | None) -> list[torch.Tensor]:
        sides = zip(
            _meeting(across, windows, group, (0, 1)),
            _meeting(down, windows, group, (1, 0)),
            strict=True,
        )
        return [_soft_boundary(*side, shown) for side in sides]

    return _mean_loss(soft, teacher.shown, refined, windows, reduction, kept_HW)


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
    cut_across, cut_down = windows.cut_overlaps(across), windows.cut_overlaps(down)

    def soft(group: Sequence[int], shown: torch.Tensor | None) -> list[torch.Tensor]:
        beside = torch.stack([cut_across[i][..., :-1] for i in group])
        below = torch.stack([cut_down[i][..., :-1, :] for i in group])
        return [_soft_boundary(beside, below, shown)]

    shown = counted_pixels(windows, across.device)
    return _mean_loss(soft, shown, refined, windows, reduction, kept_HW)


def _meeting(
    maps: Sequence[torch.Tensor],
    windows: WindowPlan,
    group: Sequence[int],
    less: tuple[int, int] = (0, 0),
) -> list[torch.Tensor]:
    """Each side's part of `maps`, one of each window: (O, h_o, w_o), `less` rows and columns."""
    sides: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for index in group:
        meeting = windows.meeting(windows.overlaps[index])
        for parts, (window, place) in zip(sides, meeting, strict=True):
            height, width = place.height - less[0], place.width - less[1]
            parts.append(replace(place, height=height, width=width).of(maps[window]))
    return [torch.stack(parts) for parts in sides]


def _soft_boundary(
    across: torch.Tensor, down: torch.Tensor, shown: torch.Tensor | None
) -> torch.Tensor:
    """(O, h_o, w_o): the soft boundary of parts of a picture, from the edges inside them alone."""
    if shown is not None:
        beside, below = shown_edges(shown)
        across, down = across * beside, down * below
    return boundary_of_edges(across, down)


def _mean_loss(
    soft: Callable[[Sequence[int], torch.Tensor | None], list[torch.Tensor]],
    shown: Sequence[torch.Tensor | None],
    refined: Sequence[torch.Tensor],
    windows: WindowPlan,
    reduction: Reduction,
    kept_HW: torch.Tensor | None,
) -> torch.Tensor:
    """soft: of a group of overlaps and of what their windows show, each side's soft boundary."""
    device = refined[0].device
    counted = shown if kept_HW is None else counted_pixels(windows, device, kept_HW)
    total = torch.zeros((), device=device)
    for group in alike(windows):
        loss = boundary_loss(
            torch.stack([refined[i] for i in group]),
            soft(group, _stacked([shown[i] for i in group])),
            reduction,
            _stacked([counted[i] for i in group]),
        )
        total = total + loss * len(group)
    return total / len(refined)


def _stacked(maps: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """Maps of all overlaps of a group, or of none."""
    there = [map_ for map_ in maps if map_ is not None]
    return torch.stack(there) if there else None
