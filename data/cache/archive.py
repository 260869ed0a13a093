"""A SAM cache as one file, for sharing: HDF5, readable by h5py alone, or a zip of its files.

`docs/CACHE_FORMAT.md`, "One file", says what stands in them. An archive may be a stranger's: HDF5's
own filters, links and external files are never used on it (a filter takes what memory a chunk asks
for, a link reads what it names); chunks are taken as they lie and inflated here.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from goodsam.data.cache.bounds import FAILURES, MAX_METADATA, TABLES_CHUNK, check
from goodsam.data.cache.format import (
    IndexRow,
    chunk_limit,
    crc32c,
    decode_record,
    encode_tables,
    stack_cells,
)
from goodsam.data.cache.metadata import Attributes
from goodsam.data.cache.places import Folder, Zip, zip_statement
from goodsam.data.cache.store import SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import NO_ROOM, check_folder, written_aside

SUFFIXES = (".h5", ".hdf5", ".zip")
_INDEX_CRC32C = "index_crc32c"
Progress = Callable[[int, int], None]


def pack(cache: SamCache, out: Path, progress: Progress = lambda done, total: None) -> None:
    """The cache's finished records as one file, of the kind that its suffix says.

    Raises InputError for another suffix, a file that is there, and a cache that is damaged.
    """
    _check_suffix(out)
    if out.exists():
        raise InputError(f"{out}: exists; give another name")
    check_folder(out.parent)
    missing = set(cache.missing())
    names = [name for name in cache.names if name not in missing]
    if not names:
        raise InputError(f"{cache.path}: holds no finished panorama; run goodsam cache-sam first")
    with written_aside(out) as aside:
        write = _write_zip if out.suffix == ".zip" else _write_hdf5
        write(cache, names, aside, progress)


def unpack(archive: Path, out: Path, progress: Progress = lambda done, total: None) -> None:
    """The cache that `pack` made one file of; nothing is left of it if any record is damaged.

    Raises InputError for what is no such file, or a damaged one, and when there is something at
    `out`.
    """
    _check_suffix(archive)
    if not archive.is_file():
        raise InputError(f"{archive}: no such file")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: exists; give another path")
    check_folder(out.parent)
    with written_aside(out) as aside:
        try:
            read = _read_zip if archive.suffix == ".zip" else _read_hdf5
            read(archive, aside, progress)
        except (*FAILURES, zlib.error) as error:
            if isinstance(error, InputError) and str(archive) in str(error):
                raise
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise  # no fault of the archive
            raise InputError(
                f"{archive}: no cache that can be unpacked ({error}); ask for it again"
            ) from error


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: a cache is packed as NAME.h5, NAME.hdf5 or NAME.zip")


# Zip: the cache's own files, as they are


def _write_zip(cache: SamCache, names: list[str], out: Path, progress: Progress) -> None:
    for count, name in enumerate(names, 1):
        cache.read(name)  # what is damaged is not handed on
        progress(count, len(names))
    with zipfile.ZipFile(out, "w") as file:
        for key, content in cache.files():
            entry = zipfile.ZipInfo(key)  # of no date, so that the same cache makes the same file
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
        file.comment = zip_statement(file.namelist())


def _read_zip(archive: Path, out: Path, progress: Progress) -> None:
    packed, folder = SamCache.open(archive), Folder(out)
    count = 0
    for count, (key, content) in enumerate(packed.files(), 1):  # noqa: B007
        folder.write(key, content)
    surplus = len(Zip(archive).names) - count
    check(not surplus, f"{surplus} files in it are none of a cache's")
    damaged = SamCache.open(out).damaged(progress)
    check(not damaged, f"the record of {', '.join(damaged)} is damaged")


# HDF5: the same arrays, deflated


def _write_hdf5(cache: SamCache, names: list[str], out: Path, progress: Progress) -> None:
    windows = cache.identity.windows
    cells = (len(windows), *windows.window_shape)
    deflated = {"compression": "gzip", "compression_opts": 6}
    index = np.zeros((len(cache.names), len(IndexRow._fields)), np.uint32)
    at = 0
    with _Unfailing(out, "w+") as disk, h5py.File(disk, "w", libver="v110") as file:
        content = cache.attributes.to_bytes()
        file.create_dataset("metadata", data=np.frombuffer(content, np.uint8))
        in_cells = file.create_dataset(
            "cells", (len(index), *cells), "<u2", chunks=(1, *cells), **deflated
        )
        in_tables = file.create_dataset(
            "tables", (0,), "u1", maxshape=(None,), chunks=(TABLES_CHUNK,), **deflated
        )
        numbers = {name: number for number, name in enumerate(cache.names)}
        for count, name in enumerate(names, 1):
            masks = cache.read(name)
            stacked, tables = stack_cells(masks, windows), encode_tables(masks, cache.identity)
            index[numbers[name]] = IndexRow.of(masks, stacked, tables)
            in_cells[numbers[name]] = stacked
            in_tables.resize((at + len(tables),))
            in_tables[at:] = tables
            at += len(tables)
            disk.check()
            progress(count, len(names))
        file.create_dataset("index", data=index.astype("<u4"))
        file.attrs[_INDEX_CRC32C] = np.uint32(crc32c(index))
    disk.check()


class _Unfailing(io.FileIO):
    """A file that takes whatever is written, though the disk be full; `check` then says so.

    HDF5 cannot be told: after a write that failed it writes again as it closes, and the process
    dies of that.
    """

    error: OSError | None = None

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        total = len(left)
        try:
            while self.error is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return total

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def check(self) -> None:
        """OSError if anything was not written."""
        if self.error is not None:
            raise self.error


def _read_hdf5(archive: Path, out: Path, progress: Progress) -> None:
    with h5py.File(archive, "r") as file:
        content = _dataset(file, "metadata", "u1", None)
        check(content.size <= MAX_METADATA, "its metadata are too large")
        attributes = Attributes.from_bytes(content[...].tobytes())
        identity, windows = attributes.identity, attributes.identity.windows
        names, shape = list(attributes.images), (len(windows), *windows.window_shape)
        in_index = _dataset(file, "index", "<u4", None)
        check(in_index.shape == (len(names), len(IndexRow._fields)), "the shape of index")
        values = in_index[...]
        check(_stated_index(file) in (None, crc32c(values)), "it lacks records, or the index")
        rows = [IndexRow.checked(row) for row in values.tolist()]
        check(all(row.done or not any(row) for row in rows), "half a row of the index")
        in_cells = _dataset(file, "cells", "<u2", (1, *shape))
        check(in_cells.shape == (len(names), *shape), "the shape of cells")
        in_tables = _dataset(file, "tables", "u1", (TABLES_CHUNK,))
        check(in_tables.shape == (sum(row.tables_bytes for row in rows),), "the shape of tables")
        check(len(file) == 4, "it holds more than a cache")
        cache = SamCache.empty(out, attributes)
        at = 0
        for number, (name, row) in enumerate(zip(names, rows, strict=True)):
            if row.done:
                cells = _chunk(in_cells, (number, 0, 0, 0)).view("<u2").reshape(shape)
                tables = _span(in_tables, at, at + row.tables_bytes)
                whole = (crc32c(cells), crc32c(tables)) == (row.cells_crc32c, row.tables_crc32c)
                check(whole, f"the record of {name} is damaged")
                cache.write(name, decode_record(cells, tables, identity))
            at += row.tables_bytes
            progress(number + 1, len(names))
        (out / ".lock").unlink(missing_ok=True)


def _stated_index(file: h5py.File) -> int | None:
    """The checksum of the index, as the file states it; older ones state none."""
    if _INDEX_CRC32C not in file.attrs:
        return None
    stated = file.attrs.get_id(_INDEX_CRC32C)
    check(stated.dtype == np.dtype("<u4") and stated.shape == (), "the checksum of the index")
    return int(file.attrs[_INDEX_CRC32C])


def _dataset(
    file: h5py.File, name: str, dtype: str, chunks: tuple[int, ...] | None
) -> h5py.Dataset:
    """A dataset that lies in the file itself; nothing of it is read. ValueError for another one.

    chunks: None for one that is contiguous; else it is deflated and nothing more.
    """
    link = file.get(name, getlink=True)
    check(isinstance(link, h5py.HardLink), f"{name} is missing, or a link")
    dataset = file[name]
    check(isinstance(dataset, h5py.Dataset), f"{name} is no dataset")
    made = dataset.id.get_create_plist()
    inside = not dataset.is_virtual and made.get_external_count() == 0
    check(inside and dataset.dtype == np.dtype(dtype), f"the kind of {name}")
    check(dataset.chunks == chunks, f"the chunks of {name}")
    filters = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
    check(filters == ([] if chunks is None else [h5py.h5z.FILTER_DEFLATE]), f"filters of {name}")
    return dataset


def _chunk(dataset: h5py.Dataset, offset: tuple[int, ...]) -> np.ndarray:
    """uint8 (bytes,) of one deflated chunk; inflates to its own size and no further."""
    nbytes = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
    stored = dataset.id.get_chunk_info_by_coord(offset)
    check(stored.byte_offset is not None, f"a chunk of {dataset.name} is missing")
    check(stored.size <= chunk_limit(nbytes) and not stored.filter_mask, "the size of a chunk")
    _, packed = dataset.id.read_direct_chunk(offset)
    inflate = zlib.decompressobj()
    content = inflate.decompress(packed, nbytes + 1)
    check(len(content) == nbytes and inflate.eof, "a chunk that is damaged")
    return np.frombuffer(content, np.uint8)


def _span(dataset: h5py.Dataset, first: int, last: int) -> np.ndarray:
    """uint8 (last - first,), these elements of `tables`."""
    start = first // TABLES_CHUNK * TABLES_CHUNK
    chunks = [_chunk(dataset, (at,)) for at in range(start, last, TABLES_CHUNK)]
    return np.concatenate(chunks)[first - start : last - start].copy()
