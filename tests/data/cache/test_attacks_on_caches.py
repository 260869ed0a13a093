"""What a stranger may put into a cache is refused; nothing runs or leaves its place.

Each attack makes its target from a sound cache. Opening, reading and writing it must end in an
InputError, within a bound of memory beyond what the process has (as docs/CACHE_FORMAT.md states),
and leave everything beside the target as it was.
"""

from __future__ import annotations

import json
import os
import shutil

import google_crc32c
import numpy as np
import pytest
from numcodecs.zstd import Zstd

from goodsam.data.cache import Identity, SamCache, bounds
from goodsam.data.cache import format as cache_format
from goodsam.data.cache.archive import pack
from goodsam.data.cache.metadata import array_metadata, json_crc32c
from goodsam.data.errors import InputError
from goodsam.data.windows import Windows

pytestmark = pytest.mark.attack("caches")

GEOMETRY = Windows(height=6, width=16, window=6, stride=4)  # as in conftest


def sealed(packed: bytes) -> bytes:
    """A chunk's file whose checksum is right."""
    return packed + google_crc32c.value(packed).to_bytes(4, "little")


def endless_frame(blocks: int) -> bytes:
    """A zstd frame that states no size and holds 128 KiB of zeros a block of 4 bytes."""
    frame = b"\x28\xb5\x2f\xfd\x00\x58"
    for number in range(blocks):
        frame += (2**17 << 3 | 1 << 1 | (number == blocks - 1)).to_bytes(3, "little") + b"\0"
    return frame


def chunk_of_many_gibibytes(path):
    (path / "cells/c.0.0.0.0").write_bytes(sealed(endless_frame(2**16)))


def tables_of_many_gibibytes(path):
    (path / "tables/c.0.0").write_bytes(sealed(endless_frame(2**16)))


def index_of_many_gibibytes(path):
    (path / "index/c.0.0").write_bytes(sealed(endless_frame(2**4)))


def chunk_that_claims_a_tebibyte(path):
    claim = b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + b"\x01\0\0"
    (path / "cells/c.0.0.0.0").write_bytes(sealed(claim))


def chunk_of_two_frames(path):
    good = (path / "cells/c.0.0.0.0").read_bytes()[:-4]
    zeros = bytes(Zstd(1).encode(np.zeros(2**28, np.uint8)))
    (path / "cells/c.0.0.0.0").write_bytes(sealed(good + zeros * 8))


def file_of_many_gibibytes(path):
    with (path / "cells/c.0.0.0.0").open("wb") as file:
        file.truncate(2**36)


def metadata_of_many_gibibytes(path):
    with (path / "zarr.json").open("ab") as file:
        file.truncate(2**36)


def array_metadata_of_many_gibibytes(path):
    with (path / "cells/zarr.json").open("ab") as file:
        file.truncate(2**36)


def metadata_without_bottom(path):
    (path / "zarr.json").write_text("[" * 10**7)


def metadata_of_lists(path):
    (path / "zarr.json").write_text('{"attributes": [' + "[]," * 1_500_000 + "[]]}")


def metadata_with_a_number_of_a_million_digits(path):
    (path / "zarr.json").write_text('{"attributes": ' + "9" * 10**6 + "}")


def seal(path, change):
    """Changes the attributes as one who knows the format: with a checksum that is right."""
    group = json.loads((path / "zarr.json").read_text())
    attributes = group["attributes"]
    change(attributes)
    del attributes["crc32c"]
    attributes["crc32c"] = json_crc32c(attributes)
    (path / "zarr.json").write_text(json.dumps(group))
    return attributes


def geometry_of_many_gibibytes(path):
    huge = {"height": 2**20, "width": 2**20, "window": 2**20, "stride": 2**20}
    seal(path, lambda a: a["identity"]["windows"].update(huge))


def windows_without_end(path):
    seal(path, lambda a: a["identity"]["windows"].update(width=2**50, window=1, stride=1))


def image_name_that_leaves_the_folder(path):
    seal(path, lambda a: a["images"][0].__setitem__(0, "../secret.txt"))


def image_name_from_the_root(path):
    seal(path, lambda a: a["images"][0].__setitem__(0, str(path.parent / "secret.txt")))


def change_array(path, **changes):
    metadata = json.loads((path / "cells/zarr.json").read_text())
    (path / "cells/zarr.json").write_text(json.dumps({**metadata, **changes}))


def pickled_objects(path):
    payload = (path.parent / "canary.pickle").read_bytes()
    change_array(path, codecs=[{"name": "numcodecs.pickle", "configuration": {"protocol": 5}}])
    (path / "cells/c.0.0.0.0").write_bytes(payload)


def object_array(path):
    change_array(path, data_type="object")


def chunks_of_another_size(path):
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**15] * 4}}
    change_array(path, chunk_grid=grid)


def linked(path, key):
    (path / key).unlink()
    (path / key).symlink_to(path.parent / "secret.txt")


def linked_chunk(path):
    linked(path, "cells/c.0.0.0.0")


def linked_index(path):
    linked(path, "index/c.0.0")


def linked_metadata(path):
    shutil.copy(path / "zarr.json", path.parent / "elsewhere.json")
    (path / "zarr.json").unlink()
    (path / "zarr.json").symlink_to(path.parent / "elsewhere.json")


def linked_folder(path):
    (path / "cells").rename(path.parent / "elsewhere")
    (path / "cells").symlink_to(path.parent / "elsewhere")


def pipe_that_never_ends(path):
    (path / "cells/c.0.0.0.0").unlink()
    os.mkfifo(path / "cells/c.0.0.0.0")


def write_tables(path, tables, cells=None):
    """A record with checksums that are right, whatever it says."""
    cells = np.zeros((len(GEOMETRY), GEOMETRY.height, GEOMETRY.window), np.uint16)
    tables = np.frombuffer(tables, np.uint8)
    chunk = np.zeros(bounds.TABLES_CHUNK, np.uint8)
    chunk[: len(tables)] = tables
    row = (1, 0, len(tables), cache_format.crc32c(cells), cache_format.crc32c(tables))
    (path / "cells/c.0.0.0.0").write_bytes(cache_format.pack_chunk(cells))
    (path / "tables/c.0.0").write_bytes(cache_format.pack_chunk(chunk))
    (path / "index/c.0.0").write_bytes(cache_format.pack_chunk(np.array(row, np.uint32)))


def masks_without_number(path):
    write_tables(path, np.full((len(GEOMETRY), 2), 2**32 - 1, "<u4").tobytes())


def cells_without_masks(path):
    sizes = np.array([[0, 2**32 - 1]] * len(GEOMETRY), "<u4").tobytes()
    write_tables(path, sizes + bytes(sum(-(-6 * o.width // 8) for o in GEOMETRY.overlaps)))


def index_that_claims_more_tables_than_may_be(path):
    row = (1, 0, 2**32 - 1, 0, 0)
    (path / "index/c.0.0").write_bytes(cache_format.pack_chunk(np.array(row, np.uint32)))


ON_CACHES = [
    chunk_of_many_gibibytes,
    tables_of_many_gibibytes,
    index_of_many_gibibytes,
    chunk_that_claims_a_tebibyte,
    chunk_of_two_frames,
    file_of_many_gibibytes,
    metadata_of_many_gibibytes,
    array_metadata_of_many_gibibytes,
    metadata_without_bottom,
    metadata_of_lists,
    metadata_with_a_number_of_a_million_digits,
    geometry_of_many_gibibytes,
    windows_without_end,
    image_name_that_leaves_the_folder,
    image_name_from_the_root,
    pickled_objects,
    object_array,
    chunks_of_another_size,
    linked_chunk,
    linked_index,
    linked_metadata,
    linked_folder,
    pipe_that_never_ends,
    masks_without_number,
    cells_without_masks,
    index_that_claims_more_tables_than_may_be,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ON_CACHES)
def test_a_strangers_cache_is_refused(target, beside, little_memory, attack):
    attack(target)
    before = beside(target)
    with little_memory():
        with pytest.raises(InputError, match=str(target)):
            SamCache.open(target).read("a.png")
        with pytest.raises(InputError):
            pack(SamCache.open(target), target.parent / "packed.zip")
    assert beside(target) == before


@pytest.mark.parametrize("attack", [linked_chunk, linked_index, linked_metadata, linked_folder])
def test_what_a_link_names_is_not_written(target, beside, example, attack):
    attack(target)
    before = beside(target)
    with pytest.raises((InputError, ValueError), match="link"):
        SamCache.open(target, "r+").write("a.png", example(1))
    assert beside(target) == before


def test_a_linked_lock_is_not_touched(target, beside):
    (target / ".lock").unlink(missing_ok=True)
    (target / ".lock").symlink_to(target.parent / "made")
    cache = SamCache.open(target)
    before = beside(target)
    with pytest.raises(InputError, match="link"):
        SamCache.create_or_resume(target, cache.identity, {**cache.images, "c.png": "c" * 64}, {})
    assert beside(target) == before


def test_the_most_that_a_record_may_be_is_read_within_the_bound(tmp_path, little_memory):
    """The greatest geometry, a boundary at every pixel, the largest table of masks and cells."""
    windows = Windows(8192, 8192, 8192, 8192)
    identity = Identity("5" * 64, {}, "windows", windows, False)
    cache = SamCache.create(tmp_path / "c.zarr", identity, {"a.png": "a" * 64}, {})
    masks, cells = 2**12, 2**16
    maps = np.arange(2**26, dtype=np.uint32).astype(np.uint16).reshape(1, 8192, 8192)
    tables = np.zeros(8 + 28 * masks + masks * cells // 8, np.uint8)
    tables[:8] = np.array([masks, cells], "<u4").view(np.uint8)
    tables[8 + 28 * masks :] = 0xA5
    chunks = np.zeros((-(-len(tables) // bounds.TABLES_CHUNK), bounds.TABLES_CHUNK), "u1")
    chunks.reshape(-1)[: len(tables)] = tables
    row = (1, masks, len(tables), cache_format.crc32c(maps), cache_format.crc32c(tables))
    fast = Zstd(1)
    (cache.path / "cells/c.0.0.0.0").write_bytes(sealed(bytes(fast.encode(maps))))
    for number, chunk in enumerate(chunks):
        (cache.path / f"tables/c.0.{number}").write_bytes(sealed(bytes(fast.encode(chunk))))
    (cache.path / "index/c.0.0").write_bytes(cache_format.pack_chunk(np.array(row, np.uint32)))
    assert masks * cells == bounds.MAX_INCIDENCE
    assert maps.size == bounds.MAX_PIXELS
    array_metadata(windows)
    del maps, tables, chunks
    with little_memory():
        record = SamCache.open(cache.path).read("a.png")
    assert record.windows[0].incidence.shape == (masks, cells)
