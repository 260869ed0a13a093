"""Run lengths of masks, as the formats of other programs have them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# Label Studio: a run's length is a number of one of four widths, in bits; here these
_WIDTHS = np.array((4, 8, 12, 16))


@dataclass(frozen=True)
class Runs:
    """Where a label map's runs of equal ids begin, how long they are, and their ids: int64 (R,)."""

    starts: np.ndarray
    lengths: np.ndarray
    ids: np.ndarray
    size: int

    @classmethod
    def of(cls, flat: np.ndarray) -> Runs:
        """uint8 (N,), N > 0 -> its runs."""
        starts = np.flatnonzero(np.diff(flat, prepend=int(flat[0]) + 1))
        lengths = np.diff(starts, append=len(flat))
        return cls(starts, lengths, flat[starts].astype(np.int64), len(flat))

    def counts(self, id: int) -> np.ndarray:
        """int64: pixels that are not `id`, that are, that are not ...; the first may be 0."""
        mine = self.ids == id
        starts, lengths = self.starts[mine], self.lengths[mine]
        ends = starts + lengths
        gaps = starts - np.concatenate([[0], ends[:-1]])
        alternating = np.stack([gaps, lengths], axis=1).ravel()
        rest = self.size - int(ends[-1]) if len(ends) else self.size
        return np.append(alternating, rest) if rest else alternating


def present(labels: np.ndarray, ids: Iterable[int]) -> list[int]:
    """Those of `ids` that occur in a label map."""
    found = np.bincount(labels.ravel(), minlength=256)
    return [id for id in ids if found[id]]


def box(labels: np.ndarray, id: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of all pixels with an id that occurs."""
    mine = labels == id
    rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def packed(counts: np.ndarray) -> np.ndarray:
    """Label Studio's brush: `counts` of a mask, row by row -> uint8 (bytes,).

    The mask is an RGBA picture of 0 and 255. Its numbers follow in bits, the highest first: how
    many values there are (32), bits of a value - 1 (5), the four widths - 1 (4 each); then for each
    run a 1, which width (2), the length - 1 and the value (8).
    """
    lengths, values = 4 * counts, np.arange(len(counts)) % 2 * 255
    most = 2 ** int(_WIDTHS[-1])
    pieces = -(-lengths // most)
    values = np.repeat(values, pieces)
    whole = np.full(len(values), most)
    last = np.cumsum(pieces)[pieces > 0] - 1
    whole[last] = (lengths - (pieces - 1) * most)[pieces > 0]
    which = np.searchsorted(2**_WIDTHS, whole)
    width = _WIDTHS[which]
    # each run's fields as one number of 3 + width + 8 bits
    number = (((0b100 | which) << width | (whole - 1)) << 8) | values
    head = [(int(lengths.sum()), 32), (7, 5), *((int(w) - 1, 4) for w in _WIDTHS)]
    bits = [_bits(np.array([value]), np.array([size])) for value, size in head]
    return np.packbits(np.concatenate([*bits, _bits(number, width + 11)]))


def _bits(numbers: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The bits of numbers of so many bits each, the highest first, one number after the other."""
    most = int(sizes.max(initial=0))
    places = np.arange(most)[None]
    bits = (numbers[:, None] >> np.maximum(sizes[:, None] - 1 - places, 0)) & 1
    return bits[places < sizes[:, None]].astype(np.uint8)
