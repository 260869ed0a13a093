"""True instances made worse by stated amounts, as a SAM fails: what is a better SAM worth?

Four failures, each with an amount for each size of what a window shows of a thing: it is one mask
with a neighbour, it has no mask, its outline is moved, its two parts are masks beside it. What
befalls a thing is drawn once a panorama, so that windows which show the same of it agree: the demo
SAM, too, fails at things rather than in windows (docs/method.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows
from goodsam.stages.score.masks import AREAS

Amounts = tuple[float, ...]
"""Five, by size: below 250, 1,000, 2,500, 10,000 px and beyond, in a window of 200 x 256."""

NONE: Amounts = (0.0, 0.0, 0.0, 0.0, 0.0)
_PIXELS = 200 * 256  # of the window that sizes are stated for
_WAVE = 0.25  # from one swell of an outline to the next, in square roots of the thing's area
_LEAST_WAVE = 2.0  # px
_HALVINGS = 12  # of the interval that holds the swells' height


@dataclass(frozen=True)
class Degradation:
    """How much worse than the truth. Amounts are between 0 and 1; InputError for others.

    missing: the chance that a thing has no mask. moved: 1 less its mask's IoU with it, for outlines
    are moved. parts: the chance that its two parts are masks beside it. merged: the chance that it
    is one mask with a neighbour that it touches. seed: of all draws.
    """

    missing: Amounts = NONE
    moved: Amounts = NONE
    parts: Amounts = NONE
    merged: Amounts = NONE
    seed: int = 0

    def __post_init__(self) -> None:
        for name, amounts in self.amounts().items():
            if len(amounts) != len(NONE) or not all(0 <= amount <= 1 for amount in amounts):
                raise InputError(f"{name} {amounts}: give {len(NONE)} amounts between 0 and 1")

    def amounts(self) -> dict[str, Amounts]:
        """Each failure's, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "seed"}

    def alone(self, name: str) -> Degradation:
        """One failure as it is, without the others."""
        return Degradation(**{name: self.amounts()[name]}, seed=self.seed)

    def scaled(self, share: float) -> Degradation:
        """All amounts times `share`."""
        less = {
            name: tuple(share * amount for amount in amounts)
            for name, amounts in self.amounts().items()
        }
        return Degradation(**less, seed=self.seed)


DEMO_SAM = Degradation(
    missing=(0.97, 0.55, 0.13, 0.02, 0.0),
    moved=(0.31, 0.27, 0.23, 0.14, 0.05),
    parts=(0.0, 0.06, 0.09, 0.26, 0.28),
    merged=(0.11, 0.12, 0.09, 0.06, 0.02),
)
"""As the demo SAM fails, measured on tuning scenes (docs/method.md)."""


def of_quality(quality: float) -> Degradation:
    """From 0, as the demo SAM, to 1, the truth. InputError for anything else."""
    if not 0 <= quality <= 1:
        raise InputError(f"quality {quality:g}: take 0 (the demo SAM) to 1 (the truth)")
    return DEMO_SAM.scaled(1 - quality)


def degraded(
    instances: np.ndarray, windows: Windows, degradation: Degradation, rng: np.random.Generator
) -> list[WindowMasks]:
    """The masks of each window that a SAM with these failures might find, scores 1.

    instances: ids, integers (H, W) of the whole panorama; 0: none. Without failures they are
    `true_masks`, in their order.
    """
    ids, things = np.unique(np.append(0, instances), return_inverse=True)  # 0 stays 0
    things = things[1:].reshape(instances.shape)
    draws = _Draws.of(things, len(ids), rng)
    found = []
    for part, start in zip(windows.cut(things), windows.starts, strict=True):
        masks = _window(part, start, windows, degradation, draws)
        ones = np.ones(len(masks), np.float32)
        found.append(WindowMasks.of(np.array(masks, bool).reshape(-1, *part.shape), ones, ones))
    return found


@dataclass(frozen=True)
class _Draws:
    """What befalls each of the K things of a panorama, whichever windows show it.

    merged, missing, parts: uniform (K,), a failure happens where it is below its chance.
    neighbour: int (K,), a thing that it touches, or 0. seeds: (K, 2), of the field that moves its
    outline and of the one that parts it.
    """

    merged: np.ndarray
    missing: np.ndarray
    parts: np.ndarray
    neighbour: np.ndarray
    seeds: np.ndarray

    @classmethod
    def of(cls, things: np.ndarray, count: int, rng: np.random.Generator) -> _Draws:
        merged, missing, parts = rng.random((3, count))
        return cls(
            merged,
            missing,
            parts,
            neighbours(things, count, rng),
            rng.integers(2**32, size=(count, 2)),
        )


def neighbours(things: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int (count,): for each thing one that it touches, the likelier the longer they touch; or 0.

    things: numbers below `count`, (H, W) of a panorama, whose last column touches its first; 0:
    none.
    """
    pairs = np.concatenate(
        [
            np.stack([a.ravel(), b.ravel()])
            for a, b in ((things[1:], things[:-1]), (np.roll(things, 1, axis=1), things))
        ],
        axis=1,
    )
    pairs = pairs[:, (pairs[0] != pairs[1]) & pairs.all(axis=0)]
    pairs = rng.permutation(np.concatenate([pairs, pairs[::-1]], axis=1), axis=1)
    found = np.zeros(count, dtype=np.int64)
    found[pairs[0]] = pairs[1]  # of several the last one stays: any of them, after the shuffle
    return found


def _window(
    things: np.ndarray, start: int, windows: Windows, degradation: Degradation, draws: _Draws
) -> list[np.ndarray]:
    """bool (H, W) masks of one window that begins at the panorama's column `start`."""
    limits = np.array(AREAS) * things.size / _PIXELS
    masks = []

    def chance(amounts: Amounts, areas: np.ndarray) -> np.ndarray:
        return np.asarray(amounts)[np.searchsorted(limits, areas, side="right")]

    shown, areas = _shown(things)
    one_of = np.arange(len(draws.merged))
    for thing in shown[draws.merged[shown] < chance(degradation.merged, areas)]:
        if draws.neighbour[thing] in shown:
            one_of[one_of == one_of[thing]] = one_of[draws.neighbour[thing]]
    things = one_of[things]

    shown, areas = _shown(things)
    found = draws.missing[shown] >= chance(degradation.missing, areas)
    moved = chance(degradation.moved, areas)
    parted = draws.parts[shown] < chance(degradation.parts, areas)
    for thing, area, by, both in zip(
        shown[found], areas[found], moved[found], parted[found], strict=True
    ):
        scale = np.sqrt(area)
        box, mask = _around(things == thing, margin=int(scale / 2) + 2)
        if by:
            field = _field(draws.seeds[thing, 0], _WAVE * scale, box, start, windows)
            mask = moved_outline(mask, field, 1 - by)
        own = [mask]
        if both:
            field = _field(draws.seeds[thing, 1], scale, box, start, windows)
            high = field > field[mask].mean()
            own += [mask & high, mask & ~high]
        for each in own:
            if each.any():
                whole = np.zeros(things.shape, bool)
                whole[box] = each
                masks.append(whole)
    return masks


def _shown(things: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the things in a window, in rising order, and their areas in px."""
    areas = np.bincount(things.ravel())
    shown = np.flatnonzero(areas[1:]) + 1
    return shown, areas[shown]


Box = tuple[slice, slice]


def _around(mask: np.ndarray, margin: int) -> tuple[Box, np.ndarray]:
    """The box of a mask with a margin where there is room for it, and the mask in it."""
    rows, columns = (
        slice(max(0, at[0] - margin), at[-1] + 1 + margin)
        for at in (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    )
    return (rows, columns), mask[rows, columns]


def _field(seed: int, wave: float, box: Box, start: int, windows: Windows) -> np.ndarray:
    """A smooth random field in a box of the window at `start`: the panorama's own, closed at 360°.

    Of mean 0; its swells are about `wave` px apart.
    """
    size = (windows.height, windows.width)
    coarse = [max(2, round(length / max(wave, _LEAST_WAVE))) for length in size]
    grid = np.random.default_rng(seed).standard_normal(coarse)
    rows = np.arange(size[0])[box[0]]
    columns = start + np.arange(windows.window)[box[1]]
    places = (rows * coarse[0] / size[0], columns % size[1] * coarse[1] / size[1])
    return map_coordinates(grid, np.meshgrid(*places, indexing="ij"), order=1, mode="grid-wrap")


def moved_outline(mask: np.ndarray, field: np.ndarray, iou: float) -> np.ndarray:
    """The mask whose outline the field swells and dents, as far as the IoU with it stays `iou`.

    mask: bool (H, W), not empty. field: (H, W), positive where the outline moves outwards. The
    image's border is no outline. The IoU is met as well as whole pixels allow, from above.
    """
    if mask.all():
        return mask
    distance = distance_transform_edt(mask) - distance_transform_edt(~mask)
    least, most, best = 0.0, float(np.sqrt(mask.sum())), mask
    for _ in range(_HALVINGS):
        height = (least + most) / 2
        moved = distance + height * field > 0
        if (mask & moved).sum() >= iou * (mask | moved).sum():
            least, best = height, moved
        else:
            most = height
    return best
