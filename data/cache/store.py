"""The SAM cache of a set of panoramas, in Zarr v3: write, read, verify, repair.

`docs/CACHE_FORMAT.md` specifies it to the byte. In short: `cells` holds a panorama's cell maps in
one chunk, `tables` all that is ragged as one flat record of bytes, and `index` its done flag, sizes
and checksums, written last. Each panorama has chunks of its own, so any number of processes may
write different panoramas at once.

Chunks are read and written here and not through zarr: an access through zarr costs a millisecond,
takes as much memory as a chunk claims to need, and follows links.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from goodsam.data.cache.bounds import (
    FAILURES,
    MAX_ARRAY_METADATA,
    MAX_METADATA,
    TABLES_CHUNK,
    check,
)
from goodsam.data.cache.format import (
    INDEX_LIMIT,
    IndexRow,
    PanoramaMasks,
    cells_key,
    chunk_limit,
    crc32c,
    decode_record,
    encode_tables,
    index_key,
    pack_chunk,
    stack_cells,
    tables_key,
    unpack_chunk,
)
from goodsam.data.cache.identity import Identity
from goodsam.data.cache.lock import writing
from goodsam.data.cache.metadata import Attributes, array_metadata
from goodsam.data.cache.opened import Opened
from goodsam.data.cache.places import Folder, Zip
from goodsam.data.errors import InputError
from goodsam.data.files import file_hash


class SamCache:
    """A cache on disk, or at a URL that fsspec knows (to be read). Picklable: it holds a path, and
    opens what is there on first use, in each process anew.

    Reading is safe in several processes, writing in several processes that write different
    panoramas. Whoever starts such work holds `writing(path)` meanwhile.

    >>> cache = SamCache.open("photos.zarr")
    >>> cache.names, cache.missing()
    (['0.png', '1.png'], [])
    >>> record = cache.read("0.png")
    >>> len(record.windows), record.boundaries[0].shape
    (8, (200, 128))
    """

    def __init__(self, path: Path | str, mode: Literal["r", "r+"]):
        self.path = path
        self.mode = mode
        self._by_process: tuple[int, Opened] | None = None

    @classmethod
    def open(cls, path: Path | str, mode: Literal["r", "r+"] = "r") -> SamCache:
        """An existing cache. Raises InputError when there is none, or it is not what it claims."""
        cache = cls(path, mode)
        cache._opened  # noqa: B018  (opened now, so that a wrong path fails here)
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
        return cls.empty(
            path, Attributes(identity, dict(sorted(images.items())), [dict(provenance)])
        )

    @classmethod
    def empty(cls, path: Path | str, attributes: Attributes) -> SamCache:
        """A new cache that says this of itself, without records. InputError as for `create`."""
        content, arrays = attributes.to_bytes(), array_metadata(attributes.identity.windows)
        with writing(path) as place:
            if (place.root / "zarr.json").exists():
                raise InputError(f"{path}: a cache is there already; give another path")
            for name, metadata in arrays.items():
                place.write(f"{name}/zarr.json", metadata)
            place.write("zarr.json", content)  # last: what has none is no cache yet
        return cls.open(path, "r+")

    @classmethod
    def create_or_resume(
        cls,
        path: Path | str,
        identity: Identity,
        images: Mapping[str, str],
        *provenance: Mapping[str, Any],
    ) -> SamCache:
        """The cache at `path`, made or gone on with; images that are new to it are appended.

        provenance: as for `create`; several kinds of run where records come from several caches.

        Raises InputError for a cache of another identity, naming what differs, for an image that
        the cache holds under the same name with other bytes, and while another process writes.
        """
        with writing(path) as place:
            if not (place.root / "zarr.json").exists():
                table = dict(sorted(images.items()))
                return cls.empty(path, Attributes(identity, table, _distinct(provenance)))
            cache = cls.open(path, "r+")
            if differences := cache.identity.differences(identity):
                raise InputError(
                    f"{path}: a cache made otherwise: {'; '.join(differences)}; "
                    "use the same settings or another cache"
                )
            cache.match(images)
            new = sorted(item for item in images.items() if item[0] not in cache.images)
            table = {**cache.images, **dict(new)}
            made_by = _distinct([*cache.provenance, *provenance])
            if new or made_by != cache.provenance:
                place.write("zarr.json", Attributes(identity, table, made_by).to_bytes())
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

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "mode": self.mode, "_by_process": None}

    @property
    def _opened(self) -> Opened:
        # A forked process shares no connection with its parent.
        if self._by_process is None or self._by_process[0] != os.getpid():
            self._by_process = (os.getpid(), Opened.at(self.path))
        return self._by_process[1]

    @property
    def attributes(self) -> Attributes:
        """All that the cache says of itself."""
        return self._opened.attributes

    @property
    def identity(self) -> Identity:
        return self._opened.attributes.identity

    @property
    def images(self) -> dict[str, str]:
        """Name -> SHA-256 of the file's bytes, of all images, in the cache's order."""
        return self._opened.attributes.images

    @property
    def names(self) -> list[str]:
        """Of all panoramas, done or not, in the cache's order."""
        return list(self.images)

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """What worked on this cache, one entry for each kind of run."""
        return self._opened.attributes.provenance

    def done(self, name: str) -> bool:
        """Whether the panorama has a whole record."""
        return self._opened.row(name).done == 1

    def missing(self) -> list[str]:
        """The panoramas without a whole record."""
        rows = self._opened.rows()
        for name, row in rows.items():
            if isinstance(row, Exception):
                raise self._opened.damaged(name, row) from row
        return [name for name, row in rows.items() if isinstance(row, IndexRow) and not row.done]

    def write(self, name: str, masks: PanoramaMasks) -> None:
        """Writes the whole record of one panorama, its done flag last.

        Raises ValueError for masks that are not of the cache's geometry, InputError for masks that
        are too many.
        """
        number, place = self._opened.number(name), self._folder
        cells = stack_cells(masks, self.identity.windows)
        try:
            tables = encode_tables(masks, self.identity)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        row = IndexRow.of(masks, cells, tables)
        if not self._has(name, row):
            place.delete(index_key(number))  # a record that is written anew is not done meanwhile
        place.write(cells_key(number), pack_chunk(cells))
        count = -(-len(tables) // TABLES_CHUNK)
        for chunk in range(count):
            part = np.zeros(TABLES_CHUNK, np.uint8)
            some = tables[chunk * TABLES_CHUNK :][:TABLES_CHUNK]
            part[: len(some)] = some
            place.write(tables_key(number, chunk), pack_chunk(part))
        self._delete_tables(number, first=count)  # of a longer record that was there
        place.write(index_key(number), row.to_bytes())
        self._opened.forget(name)

    def read(self, name: str) -> PanoramaMasks:
        """The record of one panorama, held against its checksums.

        Raises InputError when it is not done or damaged.
        """
        number, place, identity = self._opened.number(name), self._opened.place, self.identity
        row = self._opened.row(name)
        if not row.done:
            raise InputError(f"{self.path}: {name} has no masks yet; run cache-sam again")
        try:
            windows = identity.windows
            cells = np.empty((len(windows), *windows.window_shape), "<u2")
            unpack_chunk(place.read(cells_key(number), chunk_limit(cells.nbytes)), cells)
            check(crc32c(cells) == row.cells_crc32c, "cells")
            chunks = np.empty((-(-row.tables_bytes // TABLES_CHUNK), TABLES_CHUNK), np.uint8)
            for chunk, out in enumerate(chunks):
                unpack_chunk(place.read(tables_key(number, chunk), chunk_limit(out.nbytes)), out)
            tables = chunks.reshape(-1)[: row.tables_bytes]
            check(crc32c(tables) == row.tables_crc32c, "tables")
            return decode_record(cells, tables, identity)
        except FAILURES as error:
            raise self._opened.damaged(name, error) from error

    def info(self) -> dict[str, Any]:
        """What the cache is, how far it got, and what it takes on disk (None at a URL)."""
        rows = [
            row for row in self._opened.rows().values() if isinstance(row, IndexRow) and row.done
        ]
        place = self._opened.place
        return {
            "path": str(self.path),
            "panoramas": len(self.images),
            "done": len(rows),
            "windows": len(rows) * len(self.identity.windows),
            "masks": sum(row.masks for row in rows),
            "bytes": place.size() if isinstance(place, Folder | Zip) else None,
            "identity": self.identity.described(),
            "provenance": self.provenance,
        }

    def damaged(
        self, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> dict[str, str]:
        """Reads every record that is done; those that are not whole, name -> why."""
        found = {}
        for count, name in enumerate(self.names, 1):
            try:
                self._opened.forget(name)  # what is on disk counts, not what was read
                if self.done(name):
                    self.read(name)
            except InputError as error:
                found[name] = str(error)
            progress(count, len(self.images))
        return found

    def verify(
        self,
        images: Path | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """What is wrong, a line each: damaged records, and images that are not what they were."""
        problems = list(self.damaged(progress).values())
        for name in self.names if images is not None else ():
            try:
                self.check_image(name, Path(images or ""))
            except InputError as error:
                problems.append(str(error))
        return problems

    def check_image(self, name: str, images: Path) -> None:
        """InputError unless the image in this folder is the one that the record was made from."""
        self._opened.number(name)
        image = images / name
        if not image.is_file():
            raise InputError(f"{image}: no such file; the cache was made from one; wrong IMAGES?")
        if file_hash(image) != self.images[name]:
            raise InputError(f"{image}: not the image that {self.path} was made from")

    def drop(self, name: str) -> None:
        """Forgets a record, whole or damaged, so that cache-sam makes it anew."""
        number, place = self._opened.number(name), self._folder
        place.delete(index_key(number))
        place.delete(cells_key(number))
        self._delete_tables(number, first=0)
        self._opened.forget(name)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Key and bytes of each file that the cache is made of, those of done records alone."""
        windows = self.identity.windows
        cells = chunk_limit(2 * len(windows) * math.prod(windows.window_shape))
        keys = [("zarr.json", MAX_METADATA)]
        keys += [(f"{name}/zarr.json", MAX_ARRAY_METADATA) for name in array_metadata(windows)]
        for number, row in enumerate(self._opened.rows().values()):
            if isinstance(row, IndexRow) and row.done:
                chunks = range(-(-row.tables_bytes // TABLES_CHUNK))
                keys.append((cells_key(number), cells))
                keys += [(tables_key(number, i), chunk_limit(TABLES_CHUNK)) for i in chunks]
                keys.append((index_key(number), INDEX_LIMIT))
        for key, limit in keys:
            try:
                content = self._opened.place.read(key, limit)
            except FAILURES as error:
                raise InputError(f"{self.path}: {key}: {error}") from error
            if content is not None:
                yield key, content

    def _has(self, name: str, row: IndexRow) -> bool:
        try:
            return self._opened.row(name) == row
        except InputError:
            return False

    @property
    def _folder(self) -> Folder:
        place = self._opened.place
        if self.mode != "r+" or not isinstance(place, Folder):
            raise InputError(f"{self.path}: opened to be read only")
        return place

    def _delete_tables(self, number: int, first: int) -> None:
        for chunk in itertools.count(first):
            if not self._folder.delete(tables_key(number, chunk)):
                return


def _distinct(provenance: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries in order, each once."""
    by_text: dict[str, dict[str, Any]] = {}
    for entry in provenance:
        by_text.setdefault(json.dumps(entry, sort_keys=True), dict(entry))
    return [*by_text.values()]
