"""Bilinear values of maps between their pixels, and the likeliest class there.

What is interpolated between four pixels is a mean of them: where one class is the likeliest in all
four, it is the likeliest in between. So only pixels of a photograph whose four corners disagree
need the probabilities of all classes, some twentieth of a large photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

_CHUNK = 2**14  # pixels interpolated at once


@dataclass(frozen=True)
class Part:
    """Some rows of photographs, and between which pixels of a map (h, w) theirs lie.

    The map is a circle: right of its last column is the first. rows: int (R,). inside: bool (R, W)
    or (1, 1), what of them the map shows. upper, lower, down: indices of rows, int64, and the share
    of the lower one; left, right, across: of columns. (R, W) each, or (R, 1) and (1, W) where rows
    stay rows.
    """

    rows: np.ndarray
    inside: np.ndarray
    upper: torch.Tensor
    lower: torch.Tensor
    down: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    across: torch.Tensor

    @classmethod
    def at(
        cls,
        rows: np.ndarray,
        inside: np.ndarray,
        y: np.ndarray,
        x: np.ndarray,
        size: tuple[int, int],
        device: torch.device,
    ) -> Part:
        """y, x: places in a map of `size`, pixel centres at whole numbers, shaped as above."""
        h, w = size
        y = np.clip(y, 0, h - 1)
        upper, left = np.floor(y).astype(int), np.floor(x).astype(int)
        indices = upper, np.minimum(upper + 1, h - 1), left % w, (left + 1) % w
        above, below, one, next_ = (torch.from_numpy(index).to(device) for index in indices)
        down, across = (
            torch.from_numpy(share.astype(np.float32)).to(device) for share in (y - upper, x - left)
        )
        return cls(rows, inside, above, below, down, one, next_, across)

    @property
    def straight(self) -> bool:
        """Whether rows stay rows."""
        return self.upper.shape[1] == 1

    def pixels(self, r: torch.Tensor, c: torch.Tensor) -> list[torch.Tensor]:
        """upper, lower, down, left, right, across of some pixels, (P,) each."""
        shape = len(self.upper), self.left.shape[1]
        of_all = self.upper, self.lower, self.down, self.left, self.right, self.across
        return [each.expand(shape)[r, c] for each in of_all]

    def nearest(self, maps_NHW: torch.Tensor) -> torch.Tensor:
        """(N, R, W): of each pixel its upper left corner."""
        return self._taken(maps_NHW, self.upper, self.left)

    def interpolated(self, maps_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, R, W): bilinear."""
        if self.straight:
            above, below = (maps_NCHW[:, :, index[:, 0]] for index in (self.upper, self.lower))
            lines = above.lerp(below, self.down.to(maps_NCHW))
            left, right = (lines[..., index[0]] for index in (self.left, self.right))
            return left.lerp(right, self.across.to(maps_NCHW))
        left, right = (
            self._taken(maps_NCHW, self.upper, column).lerp(
                self._taken(maps_NCHW, self.lower, column), self.down.to(maps_NCHW)
            )
            for column in (self.left, self.right)
        )
        return left.lerp(right, self.across.to(maps_NCHW))

    def _taken(self, maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """(..., R, W) of maps (..., h, w)."""
        if self.straight:
            return maps.index_select(-2, rows[:, 0]).index_select(-1, columns[0])
        places = rows * maps.shape[-1] + columns
        return maps.flatten(-2).index_select(-1, places.flatten()).unflatten(-1, places.shape)


class Between:
    """Of panoramas' class probabilities (N, C, h, w): the likeliest class anywhere in between.

    labels: uint8 (N, h, w), the likeliest class of each pixel; found here if not given.
    """

    def __init__(self, maps_NCHW: torch.Tensor, labels: torch.Tensor | None = None) -> None:
        self.maps, self._given = maps_NCHW, labels

    @cached_property
    def _last(self) -> torch.Tensor:
        """A pixel's values side by side in memory: both the argmax and the corners are faster."""
        return self.maps.contiguous(memory_format=torch.channels_last)

    @cached_property
    def _labels(self) -> torch.Tensor:
        return self._last.argmax(dim=1).to(torch.uint8) if self._given is None else self._given

    @cached_property
    def _differ(self) -> torch.Tensor:
        """bool (N, h, w): the corners of the cell that begins with each pixel."""
        labels = self._labels
        below = torch.cat([labels[:, 1:], labels[:, -1:]], dim=1)
        lines = labels != below
        return lines | lines.roll(-1, dims=2) | (labels != labels.roll(-1, dims=2))

    @cached_property
    def _largest(self) -> torch.Tensor:
        return self._last.amax(dim=1, keepdim=True)

    def likeliest(
        self, part: Part, largest: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """uint8 (N, R, W), the likeliest class, and if wanted its probability, float.

        As of `part.interpolated(maps)`, but for the rounding of sums, which tells only what is
        equal to the last digits. A GPU interpolates everything.
        """
        if self.maps.device.type != "cpu":
            every = part.interpolated(self.maps)
            return every.argmax(dim=1).to(torch.uint8), every.amax(dim=1) if largest else None
        labels = part.nearest(self._labels)
        share = part.interpolated(self._largest)[:, 0] if largest else None
        values = self._last.permute(0, 2, 3, 1).reshape(-1, self.maps.shape[1])
        n, r, c = torch.nonzero(part.nearest(self._differ), as_tuple=True)
        for k, i, j in zip(n.split(_CHUNK), r.split(_CHUNK), c.split(_CHUNK), strict=True):
            found = self._mixed(values, part, k, i, j)
            labels[k, i, j] = found.argmax(dim=-1).to(torch.uint8)
            if share is not None:
                share[k, i, j] = found.amax(dim=-1)
        return labels, share

    def _mixed(
        self, values: torch.Tensor, part: Part, n: torch.Tensor, r: torch.Tensor, c: torch.Tensor
    ) -> torch.Tensor:
        """(P, C): interpolated values, (N h w, C), of the pixels r, c of a part in the maps n."""
        h, w = self.maps.shape[-2:]
        upper, lower, down, left, right, across = part.pixels(r, c)
        first, second = (
            values.index_select(0, (n * h + upper) * w + column).lerp(
                values.index_select(0, (n * h + lower) * w + column), down[:, None].to(values)
            )
            for column in (left, right)
        )
        return first.lerp(second, across[:, None].to(values))
