"""A record of a SAM cache as bytes and arrays: its chunks, its row of the index, its tables.

docs/CACHE_FORMAT.md specifies them. Nothing here knows where a cache lies.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd

from goodsam.data.cache.bounds import MAX_INCIDENCE, MAX_TABLES, check
from goodsam.data.cache.identity import Identity
from goodsam.data.errors import InputError
from goodsam.data.sphere import WindowPlan
from goodsam.data.window_masks import WindowMasks, overlap_boundaries

# Zstd alone, at its strongest usual level: a fifth less than at 7 and as fast to read. To write it
# takes a few tenths of a second a panorama, next to seconds of SAM.
ZSTD_LEVEL = 19
_ZSTD = Zstd(level=ZSTD_LEVEL)


@dataclass(frozen=True, eq=False)
class PanoramaMasks:
    """What SAM gave for one panorama.

    windows: the masks of each window. boundaries: B_SAM on the raster of each overlap, bool
    (h_o, w_o).
    """

    windows: tuple[WindowMasks, ...]
    boundaries: tuple[np.ndarray, ...]


# Chunks


def cells_key(number: int) -> str:
    """Of a panorama's cell maps."""
    return f"cells/c.{number}.0.0.0"


def tables_key(number: int, chunk: int) -> str:
    """Of a chunk of a panorama's tables."""
    return f"tables/c.{number}.{chunk}"


def index_key(number: int) -> str:
    """Of a panorama's row of `index`."""
    return f"index/c.{number}.0"


def chunk_limit(nbytes: int) -> int:
    """The most bytes that a chunk of `nbytes` takes on disk (zstd's own bound, and checksum)."""
    return nbytes + nbytes // 128 + 1024


def pack_chunk(values: np.ndarray) -> bytes:
    """The file of a chunk: little-endian bytes, zstd, CRC-32C."""
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    packed = bytes(_ZSTD.encode(little))
    return packed + google_crc32c.value(packed).to_bytes(4, "little")


def unpack_chunk(content: bytes | None, out: np.ndarray) -> None:
    """The reverse of `pack_chunk`, into `out` (little-endian); None is all zeros.

    Takes no memory beyond `out`, whatever the frame claims. Raises ValueError or RuntimeError for
    content that is damaged or larger; a smaller one leaves the rest of `out` as it was, for the
    record's own checksum to find.
    """
    if content is None:
        out[...] = 0
        return
    whole = np.frombuffer(content, np.uint8)  # it may be large, and is not copied
    packed, stated = whole[:-4], whole[-4:].tobytes()
    check(google_crc32c.value(packed) == int.from_bytes(stated, "little"), "a chunk's checksum")
    _ZSTD.decode(packed, out=out)


class IndexRow(NamedTuple):
    """One row of `index`, uint32 each."""

    done: int  # 1 once the panorama's chunks are all written
    masks: int  # of all windows
    tables_bytes: int
    cells_crc32c: int  # of the uint16 little-endian bytes, windows in order, rows in order
    tables_crc32c: int

    @classmethod
    def of(cls, masks: PanoramaMasks, cells: np.ndarray, tables: np.ndarray) -> IndexRow:
        """Of a record whose arrays are these."""
        total = sum(map(len, masks.windows))
        return cls(1, total, len(tables), crc32c(cells), crc32c(tables))

    def to_bytes(self) -> bytes:
        """As its chunk has it."""
        return pack_chunk(np.array(self, np.uint32))

    @classmethod
    def from_bytes(cls, content: bytes | None) -> IndexRow:
        """The reverse of `to_bytes`; ValueError for values that no row has."""
        values = np.zeros(len(cls._fields), "<u4")
        unpack_chunk(content, values)
        return cls.checked(values.tolist())

    @classmethod
    def checked(cls, values: Iterable[int]) -> IndexRow:
        """From five numbers; ValueError for those that no row has."""
        row = cls(*values)
        check(row.done in (0, 1) and row.tables_bytes <= MAX_TABLES, "its row of the index")
        return row


INDEX_LIMIT = chunk_limit(4 * len(IndexRow._fields))


def crc32c(array: np.ndarray) -> int:
    """CRC-32C of the array's bytes, little-endian, in C order."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return google_crc32c.value(np.ascontiguousarray(little).reshape(-1).view(np.uint8))


# Records


def stack_cells(masks: PanoramaMasks, windows: WindowPlan) -> np.ndarray:
    """uint16 (n, h, w); ValueError for other windows than the cache's."""
    expected = (len(windows), *windows.window_shape)
    maps = [window.cells for window in masks.windows]
    whole = maps[0].base
    if whole is not None and whole.shape == expected and whole.dtype == np.uint16:
        same = zip(maps, whole, strict=True)
        if all(map_.ctypes.data == own.ctypes.data for map_, own in same):
            return whole  # as a record was read, and it may be large
    cells = np.stack(maps)
    if cells.shape != expected:
        raise ValueError(f"cells of shape {cells.shape}, the cache holds {expected}")
    return cells


# The columns of WindowMasks with a value or more for each mask: name, dtype on disk, values.
_COLUMNS = (
    ("area", "<i4", 1),
    ("box", "<i4", 4),
    ("predicted_iou", "<f4", 1),
    ("stability", "<f4", 1),
)


def encode_tables(masks: PanoramaMasks, identity: Identity) -> np.ndarray:
    """All of a panorama but its cell maps, as uint8 (bytes,): see CACHE_FORMAT.md, "tables".

    Raises ValueError for boundary maps that are not the geometry's, InputError for masks that are
    too many.
    """
    shapes = [window.incidence.shape for window in masks.windows]
    sizes = np.array(shapes, "<u4")
    if _incidence(shapes) > MAX_INCIDENCE:
        raise InputError(f"its masks and cells are too many ({_most(shapes)}): stricter thresholds")
    columns = [
        np.concatenate([getattr(window, name) for window in masks.windows]).astype(dtype)
        for name, dtype, _ in _COLUMNS
    ]
    # Cell by cell: neighbouring cells lie in nearly the same masks, and zstd sees it.
    bits = [np.packbits(window.incidence.T, axis=1) for window in masks.windows]
    if identity.boundaries == "overlap":
        expected = list(identity.windows.overlap_shapes)
        given = [boundary.shape for boundary in masks.boundaries]
        if given != expected:
            raise ValueError(f"boundary maps of shapes {given}, the cache holds {expected}")
        bits += [np.packbits(boundary) for boundary in masks.boundaries]
    tables = np.concatenate([part.reshape(-1).view(np.uint8) for part in (sizes, *columns, *bits)])
    if len(tables) > MAX_TABLES:
        raise InputError(
            f"its masks take {len(tables)} bytes, the most is {MAX_TABLES}: use stricter thresholds"
        )
    return tables


def decode_record(cells: np.ndarray, tables: np.ndarray, identity: Identity) -> PanoramaMasks:
    """From cell maps, uint16 (n, h, w), and tables; ValueError if they do not add up."""
    n = len(identity.windows)
    overlaps = identity.windows.overlap_shapes if identity.boundaries == "overlap" else ()
    check(len(tables) >= 8 * n, "tables too short")
    sizes = tables[: 8 * n].view("<u4").reshape(n, 2).tolist()  # M, K of each window
    total = sum(m for m, _ in sizes)
    lengths = [
        8 * n,
        *(np.dtype(dtype).itemsize * width * total for _, dtype, width in _COLUMNS),
        *(k * -(-m // 8) for m, k in sizes),
        *(-(-h * w // 8) for h, w in overlaps),
    ]
    check(sum(lengths) == len(tables), "tables and sizes differ")
    check([k for _, k in sizes] == (cells.max(axis=(1, 2)).astype(int) + 1).tolist(), "cells")
    check(_incidence(sizes) <= MAX_INCIDENCE, _most(sizes))
    parts = _cut(tables, lengths)[1:]
    by_window = {}
    for (name, dtype, width), part in zip(_COLUMNS, parts, strict=False):
        column = part.view(dtype).reshape((total, width) if width > 1 else (total,))
        by_window[name] = _cut(column, [m for m, _ in sizes])
    bits = parts[len(_COLUMNS) :]
    windows = tuple(
        WindowMasks(
            cells=cells[i],
            incidence=np.unpackbits(bits[i].reshape(k, -1), axis=1, count=m).view(bool).T,
            **{name: split[i] for name, split in by_window.items()},
        )
        for i, (m, k) in enumerate(sizes)
    )
    if identity.boundaries == "windows":
        derived = overlap_boundaries(windows, identity.windows, identity.ignored_mask)
        return PanoramaMasks(windows, tuple(derived))
    maps = (
        np.unpackbits(part, count=h * w).view(bool).reshape(h, w)
        for part, (h, w) in zip(bits[n:], overlaps, strict=True)
    )
    return PanoramaMasks(windows, tuple(maps))


def _cut(array: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    """As `np.split`, by lengths, in a tenth of the time: a record has a hundred parts."""
    ends = list(itertools.accumulate(lengths, initial=0))
    return [array[first:end] for first, end in itertools.pairwise(ends)]


def _incidence(sizes: Iterable[Iterable[int]]) -> int:
    """What a batch of all windows takes, padded to the most masks and cells of one."""
    masks, cells = zip(*sizes, strict=True)
    return len(masks) * max(masks) * max(cells)


def _most(sizes: Iterable[Iterable[int]]) -> str:
    masks, cells = zip(*sizes, strict=True)
    return f"up to {max(masks)} masks and {max(cells)} cells in a window"
