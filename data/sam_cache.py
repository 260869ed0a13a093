"""The SAM cache of a set of panoramas, in Zarr v3: write, read, verify, identify.

`docs/CACHE_FORMAT.md` specifies it to the byte. In short: `cells` holds a panorama's cell maps in
one chunk, `tables` all that is ragged as one flat record of bytes, and `index` its done flag, sizes
and checksums, written last. Each panorama has chunks of its own, so any number of processes may
write different panoramas at once.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.errors import BaseZarrError

from data.errors import InputError
from data.panoramas import file_hash
from data.window_masks import WindowMasks, overlap_boundaries
from data.windows import Windows

FORMAT, FORMAT_VERSION = "goodsam-sam-cache", 1
BoundaryMode = Literal["overlap", "windows"]

# Bounds on what a cache may claim, checked before memory is taken for it.
MAX_WINDOWS = 4096  # windows of a panorama
MAX_PIXELS = 2**28  # pixels of all windows of a panorama
MAX_TABLES = 2**27  # bytes of a panorama's tables
MAX_PANORAMAS = 10**7

_TABLES_CHUNK = 2**18  # bytes; the tables of a 400 x 2048 panorama take about 0.15 MiB
# Zstd alone: at level 7 within 4 % of the bytes of zstd after a byte shuffle, and bit shuffle is
# worse; the same time to decode.
_CODECS = (ZstdCodec(level=7), Crc32cCodec())
_FAILURES = (BaseZarrError, OSError, ValueError, TypeError, KeyError, RuntimeError)


@dataclass(frozen=True, eq=False)
class PanoramaMasks:
    """What SAM gave for one panorama.

    windows: the masks of each window. boundaries: B_SAM of each overlap, bool (H, overlap.width).
    """

    windows: tuple[WindowMasks, ...]
    boundaries: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Identity:
    """What decides a cache's content: caches of equal identity hold equal records.

    sam: SHA-256 of the SAM's weights. settings: of the mask generator, as JSON has them.
    boundaries: B_SAM from SAM on the `overlap` crops, or from the masks of the two `windows`.
    windows: the geometry. fit: panoramas of other sizes were fitted to it.

    Raises InputError for values that no cache may have.
    """

    sam: str
    settings: dict[str, Any]
    boundaries: BoundaryMode
    windows: Windows
    fit: bool
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.boundaries not in get_args(BoundaryMode):
            raise InputError(f"boundaries {self.boundaries!r}: use overlap or windows")
        size = self.windows
        count = -(-size.width // size.stride)  # not len(windows): that would take the memory
        if count > MAX_WINDOWS or count * size.height * size.window > MAX_PIXELS:
            raise InputError(
                f"{count} windows of {size.height} x {size.window} are more than a cache holds "
                f"({MAX_WINDOWS} windows, {MAX_PIXELS} pixels): use a larger --stride"
            )
        object.__setattr__(self, "settings", json.loads(json.dumps(self.settings)))

    def to_json(self) -> dict[str, Any]:
        """As it stands in the cache's attributes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Identity:
        """The reverse of `to_json`. Raises TypeError, KeyError or InputError for anything else."""
        windows = dict(values["windows"])
        typed = (
            (values, {"sam": str, "settings": dict, "boundaries": str, "fit": bool}),
            (values, {"format_version": int}),
            (windows, dict.fromkeys(("height", "width", "window", "stride"), int)),
            (windows, {"wrap": bool}),
        )
        for fields, types in typed:
            for name, kind in types.items():
                if type(fields[name]) is not kind:
                    raise TypeError(f"{name} is {fields[name]!r}, no {kind.__name__}")
        return cls(**{**values, "windows": Windows(**windows)})

    def differences(self, other: Identity) -> list[str]:
        """What another identity has otherwise, each as `field is MINE, not OTHER`."""
        mine, theirs = dict(_flat(self.to_json())), dict(_flat(other.to_json()))
        return [
            f"{name} is {mine.get(name)}, not {theirs.get(name)}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


class _Row(NamedTuple):
    """One row of `index`, uint32 each."""

    done: int  # 1 once the panorama's chunks are all written
    masks: int  # of all windows
    tables_bytes: int
    cells_crc32: int  # of the uint16 little-endian bytes, windows in order, rows in order
    tables_crc32: int


class SamCache:
    """A cache on disk. Picklable: it holds a path, and opens what is there on first use.

    Reading is safe in several processes, writing in several processes that write different
    panoramas. Appending images is not: one process calls `create_or_resume`, before the others
    open the cache.
    """

    def __init__(self, path: Path | str, mode: Literal["r", "r+"]):
        self.path = path
        self.mode = mode

    @classmethod
    def open(cls, path: Path | str, mode: Literal["r", "r+"] = "r") -> SamCache:
        """An existing cache. Raises InputError when there is none, or it is not what it claims."""
        cache = cls(path, mode)
        cache._content  # noqa: B018  (opened now, so that a wrong path fails here)
        return cache

    @classmethod
    def create(
        cls,
        path: Path | str,
        identity: Identity,
        images: Mapping[str, str],
        provenance: Mapping[str, Any],
    ) -> SamCache:
        """A new, empty cache for `images`: path below the images' folder -> SHA-256 of the file.

        provenance: what made it (versions, device, precision), recorded and not compared. Raises
        InputError when there is something at `path` already.
        """
        path = Path(path)
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise InputError(f"{path}: exists and is no SAM cache; give another path")
        # Made beside its place and renamed, so that a cache is whole from its first moment.
        partial = path.with_name(path.name + ".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        table = sorted(images.items())
        for name, spec in _arrays(identity, len(table)).items():
            group.create_array(name, fill_value=0, compressors=_CODECS, **spec)
        group.update_attributes(
            {
                "format": FORMAT,
                "identity": identity.to_json(),
                "provenance": [dict(provenance)],
                "images": table,
            }
        )
        partial.rename(path)
        return cls.open(path, "r+")

    @classmethod
    def create_or_resume(
        cls,
        path: Path | str,
        identity: Identity,
        images: Mapping[str, str],
        provenance: Mapping[str, Any],
    ) -> SamCache:
        """The cache at `path`, made or gone on with; images that are new to it are appended.

        Raises InputError for a cache of another identity, naming what differs, and for an image
        that the cache holds under the same name with other bytes.
        """
        if not (Path(path) / "zarr.json").exists():
            return cls.create(path, identity, images, provenance)
        cache = cls.open(path, "r+")
        if differences := cache.identity.differences(identity):
            raise InputError(
                f"{path}: a cache made otherwise: {'; '.join(differences)}; "
                "use the same settings or another cache"
            )
        cache.match(images)
        cache._append(images, provenance)
        return cls.open(path, "r+")

    def match(self, images: Mapping[str, str]) -> None:
        """InputError if an image (name -> SHA-256) is not the one that the cache has by its name.

        Images that the cache does not have are left aside.
        """
        changed = [name for name in images if self.images.get(name, images[name]) != images[name]]
        if changed:
            raise InputError(
                f"{changed[0]}: not the image that {self.path} was made from "
                f"({len(changed)} of {len(images)} images differ); "
                "restore the images, or make a new cache"
            )

    def _append(self, images: Mapping[str, str], provenance: Mapping[str, Any]) -> None:
        new = sorted(item for item in images.items() if item[0] not in self.images)
        table = [*self.images.items(), *new]
        made_by = self.provenance
        if json.loads(json.dumps(dict(provenance))) not in made_by:
            made_by = [*made_by, dict(provenance)]
        if new:
            # First the room, then the names: killed between the two, it is still a cache.
            for array in self._content.arrays.values():
                array.resize((len(table), *array.shape[1:]))
        if new or made_by is not self.provenance:
            self._content.group.update_attributes({"images": table, "provenance": made_by})

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "mode": self.mode}

    @cached_property
    def _content(self) -> _Content:
        return _open(self.path, self.mode)

    @property
    def identity(self) -> Identity:
        return self._content.identity

    @property
    def images(self) -> dict[str, str]:
        """Name -> SHA-256 of the file's bytes, of all images, in the cache's order."""
        return self._content.images

    @property
    def names(self) -> list[str]:
        """Of all panoramas, done or not, in the cache's order."""
        return list(self.images)

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """What worked on this cache, one entry for each kind of run."""
        return self._content.provenance

    def done(self, name: str) -> bool:
        """Whether the panorama has a whole record."""
        return self._row(self._number(name)).done == 1

    def missing(self) -> list[str]:
        """The panoramas without a whole record."""
        return [name for name, row in zip(self.names, self._rows(), strict=True) if not row.done]

    def write(self, name: str, masks: PanoramaMasks) -> None:
        """Writes the whole record of one panorama, its done flag last.

        Raises ValueError for masks that are not of the cache's geometry, InputError for masks that
        are too many.
        """
        number = self._number(name)
        cells = _stack_cells(masks, self.identity)
        tables = _encode(masks, self.identity)
        if len(tables) > MAX_TABLES:
            raise InputError(
                f"{name}: its masks take {len(tables)} bytes, the most is {MAX_TABLES}: "
                "use stricter thresholds"
            )
        row = _Row(1, sum(map(len, masks.windows)), len(tables), _crc32(cells), _crc32(tables))
        arrays = self._content.arrays
        arrays["index"][number] = 0  # a record that is written anew is not done meanwhile
        arrays["cells"][number] = cells
        whole_chunks = -(-len(tables) // _TABLES_CHUNK) * _TABLES_CHUNK
        padded = np.zeros(whole_chunks, np.uint8)  # a part of a chunk would be read and rewritten
        padded[: len(tables)] = tables
        arrays["tables"][number, :whole_chunks] = padded
        arrays["index"][number] = np.array(row, np.uint32)
        self._content.rows.pop(number, None)

    def read(self, name: str) -> PanoramaMasks:
        """The record of one panorama, held against its checksums.

        Raises InputError when it is not done or damaged.
        """
        number = self._number(name)
        try:
            row = self._row(number)
            if not row.done:
                raise InputError(f"{self.path}: {name} has no masks yet; run cache-sam again")
            _check(row.done == 1 and row.tables_bytes <= MAX_TABLES, "index")
            arrays = self._content.arrays
            cells = np.asarray(arrays["cells"][number])
            tables = np.asarray(arrays["tables"][number, : row.tables_bytes])
            _check(_crc32(cells) == row.cells_crc32, "cells")
            _check(_crc32(tables) == row.tables_crc32, "tables")
            return _decode(cells, tables, self.identity)
        except InputError:
            raise
        except _FAILURES as error:
            raise InputError(
                f"{self.path}: the record of {name} is damaged ({error}); "
                f"delete {self.path}/index/c/{number} and run cache-sam again"
            ) from error

    def info(self) -> dict[str, Any]:
        """What the cache is, how far it got, and what it takes on disk."""
        rows = [row for row in self._rows() if row.done]
        files = (path for path in Path(self.path).rglob("*") if path.is_file())
        return {
            "path": str(self.path),
            "panoramas": len(self.images),
            "done": len(rows),
            "windows": len(rows) * len(self.identity.windows),
            "masks": sum(row.masks for row in rows),
            "bytes": sum(path.stat().st_size for path in files),
            "identity": self.identity.to_json(),
            "provenance": self.provenance,
        }

    def verify(self, images: Path | None = None) -> list[str]:
        """Reads everything; what is wrong, a line each: records, and the images if given."""
        problems = []
        for name, sha256 in self.images.items():
            try:
                self.read(name)
            except InputError as error:
                problems.append(str(error))
            if images is None:
                continue
            image = images / name
            if not image.is_file():
                problems.append(f"{image}: no such file; the cache was made from one")
            elif file_hash(image) != sha256:
                problems.append(f"{image}: not the image that {self.path} was made from")
        return problems

    def _number(self, name: str) -> int:
        try:
            return self._content.numbers[name]
        except KeyError:
            raise InputError(
                f"{self.path}: has no image {name}; run cache-sam on these images"
            ) from None

    def _row(self, number: int) -> _Row:
        rows = self._content.rows
        if number not in rows:
            row = _Row(*map(int, np.asarray(self._content.arrays["index"][number])))
            if not row.done:
                return row  # another process may write it yet
            rows[number] = row
        return rows[number]

    def _rows(self) -> list[_Row]:
        try:
            index = np.asarray(self._content.arrays["index"][: len(self.images)])
        except _FAILURES as error:
            raise InputError(
                f"{self.path}: its index is damaged ({error}); `goodsam cache verify` says where"
            ) from error
        return [_Row(*row) for row in index.tolist()]


@dataclass(frozen=True)
class _Content:
    """An opened cache, checked. rows: what is known of `index`."""

    group: zarr.Group
    arrays: dict[str, zarr.Array]
    identity: Identity
    images: dict[str, str]
    numbers: dict[str, int]
    provenance: list[dict[str, Any]]
    rows: dict[int, _Row]


def _arrays(identity: Identity, panoramas: int) -> dict[str, dict[str, Any]]:
    """Shape, chunks and dtype of each array of a cache."""
    windows = identity.windows
    cells = (len(windows), windows.height, windows.window)
    row = len(_Row._fields)
    return {
        "cells": {"shape": (panoramas, *cells), "chunks": (1, *cells), "dtype": "uint16"},
        # As wide as tables may become: chunks that are not written take no room.
        "tables": {
            "shape": (panoramas, MAX_TABLES),
            "chunks": (1, _TABLES_CHUNK),
            "dtype": "uint8",
        },
        "index": {"shape": (panoramas, row), "chunks": (1, row), "dtype": "uint32"},
    }


def _open(path: Path | str, mode: Literal["r", "r+"]) -> _Content:
    """Opens a cache that may be a stranger's; nothing is read but its metadata."""
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3)
        attributes: dict[str, Any] = dict(group.attrs)
    except _FAILURES as error:
        raise InputError(f"{path}: no SAM cache here; make one with cache-sam") from error
    try:
        _check(attributes.get("format") == FORMAT, f"format is {attributes.get('format')!r}")
        version = attributes["identity"]["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(
                f"{path}: a cache of format version {version}, this goodsam reads "
                f"{FORMAT_VERSION}; use the goodsam that made it"
            )
        identity = Identity.from_json(attributes["identity"])
        images = _image_table(attributes["images"])
        provenance = attributes["provenance"]
        _check(all(isinstance(entry, dict) for entry in provenance), "provenance")
        arrays = {}
        for name, spec in _arrays(identity, len(images)).items():
            array = group[name]
            _check(isinstance(array, zarr.Array), name)
            assert isinstance(array, zarr.Array)
            same = (
                array.dtype == spec["dtype"]
                and array.shards is None
                and array.chunks == spec["chunks"]
                and array.shape[1:] == spec["shape"][1:]
                # Killed while images were appended, arrays are longer than the table.
                and len(images) <= array.shape[0] <= MAX_PANORAMAS
                and array.fill_value == 0
                and not array.filters
                and isinstance(array.serializer, BytesCodec)
                and [type(codec) for codec in array.compressors] == [type(c) for c in _CODECS]
            )
            _check(same, f"the array {name} is not as the format has it")
            arrays[name] = array
    except (*_FAILURES, AttributeError) as error:
        if isinstance(error, InputError) and str(path) in str(error):
            raise
        raise InputError(
            f"{path}: no SAM cache that can be read ({error}); make it anew"
        ) from error
    numbers = {name: number for number, name in enumerate(images)}
    return _Content(group, arrays, identity, images, numbers, provenance, {})


def _image_table(table: list[tuple[str, str]]) -> dict[str, str]:
    """The images by name; ValueError for names that leave the folder, or are there twice."""
    images: dict[str, str] = {}
    for name, sha256 in table:
        path = PurePosixPath(name)
        inside = not path.is_absolute() and ".." not in path.parts and "\\" not in name
        _check(inside and name == str(path) and name not in images, f"the image name {name!r}")
        _check(re.fullmatch("[0-9a-f]{64}", sha256) is not None, f"the hash of {name!r}")
        images[name] = sha256
    return images


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _crc32(array: np.ndarray) -> int:
    """CRC-32 (as in zlib) of the array's bytes, little-endian, in C order."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return zlib.crc32(np.ascontiguousarray(little).data)


def _stack_cells(masks: PanoramaMasks, identity: Identity) -> np.ndarray:
    """uint16 (n, H, window); ValueError for other windows than the cache's."""
    cells = np.stack([window.cells for window in masks.windows])
    geometry = identity.windows
    expected = (len(geometry), geometry.height, geometry.window)
    if cells.shape != expected:
        raise ValueError(f"cells of shape {cells.shape}, the cache holds {expected}")
    return cells


def _encode(masks: PanoramaMasks, identity: Identity) -> np.ndarray:
    """All of a panorama but its cell maps, as uint8 (bytes,): see CACHE_FORMAT.md, "tables"."""
    sizes = np.array([window.incidence.shape for window in masks.windows], "<u4")
    columns = [
        np.concatenate([getattr(window, name) for window in masks.windows]).astype(dtype)
        for name, dtype, _ in _COLUMNS
    ]
    bits = [np.packbits(window.incidence) for window in masks.windows]
    if identity.boundaries == "overlap":
        shapes = _overlap_shapes(identity.windows)
        given = [boundary.shape for boundary in masks.boundaries]
        if given != shapes:
            raise ValueError(f"boundary maps of shapes {given}, the cache holds {shapes}")
        bits += [np.packbits(boundary) for boundary in masks.boundaries]
    return np.concatenate([part.reshape(-1).view(np.uint8) for part in (sizes, *columns, *bits)])


def _decode(cells: np.ndarray, tables: np.ndarray, identity: Identity) -> PanoramaMasks:
    """The reverse of `_encode`; ValueError for tables that do not add up."""
    n = len(identity.windows)
    overlaps = _overlap_shapes(identity.windows) if identity.boundaries == "overlap" else []
    _check(len(tables) >= 8 * n, "tables too short")
    sizes = tables[: 8 * n].view("<u4").reshape(n, 2).tolist()  # M, K of each window
    total = sum(m for m, _ in sizes)
    lengths = [
        8 * n,
        *(np.dtype(dtype).itemsize * width * total for _, dtype, width in _COLUMNS),
        *(-(-m * k // 8) for m, k in sizes),
        *(-(-h * w // 8) for h, w in overlaps),
    ]
    _check(sum(lengths) == len(tables), "tables and sizes differ")
    _check([k for _, k in sizes] == (cells.max(axis=(1, 2)).astype(int) + 1).tolist(), "cells")
    parts = np.split(tables, np.cumsum(lengths)[:-1])[1:]
    by_window = {}
    firsts = np.cumsum([m for m, _ in sizes])[:-1]
    for (name, dtype, width), part in zip(_COLUMNS, parts, strict=False):
        column = part.view(dtype).reshape((total, width) if width > 1 else (total,))
        by_window[name] = np.split(column, firsts)
    bits = parts[len(_COLUMNS) :]
    windows = tuple(
        WindowMasks(
            cells=cells[i],
            incidence=_unpack(bits[i], (m, k)),
            **{name: split[i] for name, split in by_window.items()},
        )
        for i, (m, k) in enumerate(sizes)
    )
    if identity.boundaries == "windows":
        return PanoramaMasks(windows, tuple(overlap_boundaries(windows, identity.windows)))
    boundaries = (_unpack(*pair) for pair in zip(bits[n:], overlaps, strict=True))
    return PanoramaMasks(windows, tuple(boundaries))


# The columns of WindowMasks with a value or more for each mask: name, dtype on disk, values.
_COLUMNS = (
    ("area", "<i4", 1),
    ("box", "<i4", 4),
    ("predicted_iou", "<f4", 1),
    ("stability", "<f4", 1),
)


def _overlap_shapes(windows: Windows) -> list[tuple[int, int]]:
    return [(windows.height, overlap.width) for overlap in windows.overlaps]


def _unpack(bits: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """uint8 (ceil(h * w / 8),) -> bool (h, w), the first value in the highest bit."""
    return np.unpackbits(bits, count=shape[0] * shape[1]).view(bool).reshape(shape)
