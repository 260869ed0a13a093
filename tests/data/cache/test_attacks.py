"""What a stranger may put into a cache or an archive is refused; nothing runs or leaves its place.

Each attack makes its target from a sound cache. Opening, reading, writing and unpacking it must end
in an InputError, within `BOUND` bytes beyond what the process has (as docs/CACHE_FORMAT.md states),
and leave everything beside the target as it was.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import h5py
import numpy as np
import pytest
from numcodecs.zstd import Zstd

from goodsam.data.cache import Identity, PanoramaMasks, SamCache, bounds
from goodsam.data.cache import format as cache_format
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.cache.metadata import array_metadata, json_crc32c
from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows

BOUND = 2**30
GEOMETRY = Windows(height=6, width=16, window=6, stride=4)
IMAGES = {"a.png": "a" * 64, "b.png": "b" * 64}


class Canary:
    """Unpickled, it makes a file where it may not."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def a_record(seed=0):
    rng = np.random.default_rng(seed)
    stacks = rng.random((len(GEOMETRY), 3, GEOMETRY.height, GEOMETRY.window)) < 0.5
    windows = tuple(WindowMasks.of(stack, np.ones(3), np.ones(3)) for stack in stacks)
    shapes = [(GEOMETRY.height, overlap.width) for overlap in GEOMETRY.overlaps]
    return PanoramaMasks(windows, tuple(np.zeros(shape, bool) for shape in shapes))


@pytest.fixture
def target(tmp_path):
    """A sound cache with two records, beside a file that is none of its business."""
    (tmp_path / "secret.txt").write_text("not yours\n" * 100)
    identity = Identity("5" * 64, {}, "overlap", GEOMETRY, False)
    cache = SamCache.create(tmp_path / "c.zarr", identity, IMAGES, {})
    for name in IMAGES:
        cache.write(name, a_record())
    return cache.path


@contextmanager
def little_memory():
    """The address space that the process has, and `BOUND` more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BOUND, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def beside(target):
    """Everything below the folder of the target but the target."""
    found = {}
    for path in target.parent.rglob("*"):
        if target not in (path, *path.parents):
            found[path] = path.lstat().st_mtime_ns if path.is_file() else None
    return found


# Attacks on a cache: functions of its folder


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
    payload = pickle.dumps(np.array([Canary(path.parent / "ran")], object))
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
def test_a_strangers_cache_is_refused(target, attack):
    attack(target)
    before = beside(target)
    with little_memory():
        with pytest.raises(InputError, match=str(target)):
            SamCache.open(target).read("a.png")
        with pytest.raises(InputError):
            pack(SamCache.open(target), target.parent / "packed.zip")
    assert beside(target) == before


@pytest.mark.parametrize("attack", [linked_chunk, linked_index, linked_metadata, linked_folder])
def test_what_a_link_names_is_not_written(target, attack):
    attack(target)
    before = beside(target)
    with pytest.raises((InputError, ValueError), match="link"):
        SamCache.open(target, "r+").write("a.png", a_record(1))
    assert beside(target) == before


def test_a_linked_lock_is_not_touched(target):
    (target / ".lock").unlink(missing_ok=True)
    (target / ".lock").symlink_to(target.parent / "made")
    identity = SamCache.open(target).identity
    before = beside(target)
    with pytest.raises(InputError, match="link"):
        SamCache.create_or_resume(target, identity, {**IMAGES, "c.png": "c" * 64}, {})
    assert beside(target) == before


# Attacks on archives: functions of the archive and of a sound cache


def rezip(archive, cache, change):
    """A zip of the cache's files, as `change` of {name: bytes} leaves them."""
    files = {p.relative_to(cache).as_posix(): p.read_bytes() for p in cache.rglob("[!.]*.*")}
    change(files)
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name), content)


def zip_that_leaves_the_folder(archive, cache):
    rezip(archive, cache, lambda files: files.update({"../evil": b"1"}))


def zip_from_the_root(archive, cache):
    evil = str(cache.parent / "evil")
    rezip(archive, cache, lambda files: files.update({evil: b"1"}))


def zip_with_a_link(archive, cache):
    rezip(archive, cache, lambda files: files.pop("cells/c.0.0.0.0"))
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("cells/c.0.0.0.0")
        link.external_attr = 0o120777 << 16
        file.writestr(link, str(cache.parent / "secret.txt"))


def zip_with_a_linked_folder(archive, cache):
    rezip(archive, cache, lambda files: None)
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("cells")
        link.external_attr = 0o120777 << 16
        file.writestr(link, str(cache.parent))


def zip_with_two_of_a_name(archive, cache):
    rezip(archive, cache, lambda files: None)
    with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(zipfile.ZipInfo("zarr.json"), (cache / "zarr.json").read_bytes())


def zip_that_inflates(archive, cache):
    rezip(archive, cache, lambda files: files.pop("cells/c.0.0.0.0"))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("cells/c.0.0.0.0", bytes(2**27))


def zip_that_claims_a_tebibyte(archive, cache):
    rezip(archive, cache, lambda files: None)
    content = bytearray(archive.read_bytes())
    at = content.rindex(b"PK\1\2")
    struct.pack_into("<II", content, at + 20, 2**32 - 2, 2**32 - 2)
    archive.write_bytes(content)


def zip_with_a_list_of_many_gibibytes(archive, cache):
    with archive.open("wb") as file:
        file.truncate(2**31)
        file.seek(2**31)
        file.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 65534, 65534, 2**31, 0, 0))


def h5(change):
    """An attack that changes the datasets of a packed cache."""

    def attack(archive, cache):
        pack(SamCache.open(cache), archive)
        with h5py.File(archive, "r+") as file:
            change(file, cache)

    attack.__name__ = change.__name__
    return attack


def elsewhere(file, cache):
    """Another HDF5 file that holds the same."""
    path = cache.parent / "elsewhere.h5"
    shutil.copy(file.filename, path)
    return path


@h5
def h5_with_an_external_link(file, cache):
    other = elsewhere(file, cache)
    del file["cells"]
    file["cells"] = h5py.ExternalLink(str(other), "/cells")


@h5
def h5_with_a_soft_link(file, cache):
    file.move("cells", "metadata2")
    file["cells"] = h5py.SoftLink("/metadata2")


@h5
def h5_with_a_file_outside(file, cache):
    """Raw bytes of any file that the reader may read."""
    secret = cache.parent / "secret.txt"
    del file["metadata"]
    file.create_dataset("metadata", (1000,), "u1", external=[(str(secret), 0, 1000)])


@h5
def h5_that_is_virtual(file, cache):
    other = elsewhere(file, cache)
    shape = file["index"].shape
    del file["index"]
    layout = h5py.VirtualLayout(shape, "<u4")
    layout[:] = h5py.VirtualSource(str(other), "index", shape)
    file.create_virtual_dataset("index", layout)


@h5
def h5_with_objects(file, cache):
    payload = pickle.dumps(Canary(cache.parent / "ran"))
    del file["metadata"]
    file.create_dataset("metadata", (1,), h5py.vlen_dtype(np.uint8))
    file["metadata"][0] = np.frombuffer(payload, np.uint8)


@h5
def h5_of_many_gibibytes(file, cache):
    deflate = zlib.compressobj(9)
    first, again = (
        deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    bomb = first + again * 2**13 + deflate.flush()
    # In a chunk of a size that such a file may have.
    del file["tables"]
    tables = file["index"][:, 2].sum()
    file.create_dataset("tables", (tables,), "u1", chunks=(2**18,), maxshape=(None,), compression=9)
    file["tables"].id.write_direct_chunk((0,), bomb[: 2**18])


@h5
def h5_that_claims_a_tebibyte(file, cache):
    del file["metadata"]
    file.create_dataset("metadata", (2**40,), "u1")


@h5
def h5_with_an_index_of_a_tebibyte(file, cache):
    del file["index"]
    file.create_dataset("index", (2**36, 5), "<u4")


@h5
def h5_with_another_filter(file, cache):
    shape, chunks = file["cells"].shape, file["cells"].chunks
    del file["cells"]
    file.create_dataset("cells", shape, "<u2", chunks=chunks, compression="lzf")


@h5
def h5_with_a_group_for_a_dataset(file, cache):
    del file["tables"]
    file.create_group("tables")


@h5
def h5_with_more_than_a_cache(file, cache):
    file["more"] = 1


@h5
def h5_without_its_chunks(file, cache):
    shape, chunks = file["cells"].shape, file["cells"].chunks
    del file["cells"]
    file.create_dataset("cells", shape, "<u2", chunks=chunks, compression="gzip")


ON_ARCHIVES = [
    zip_that_leaves_the_folder,
    zip_from_the_root,
    zip_with_a_link,
    zip_with_a_linked_folder,
    zip_with_two_of_a_name,
    zip_that_inflates,
    zip_that_claims_a_tebibyte,
    zip_with_a_list_of_many_gibibytes,
    h5_with_an_external_link,
    h5_with_a_soft_link,
    h5_with_a_file_outside,
    h5_that_is_virtual,
    h5_with_objects,
    h5_of_many_gibibytes,
    h5_that_claims_a_tebibyte,
    h5_with_an_index_of_a_tebibyte,
    h5_with_another_filter,
    h5_with_a_group_for_a_dataset,
    h5_with_more_than_a_cache,
    h5_without_its_chunks,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ON_ARCHIVES, ids=lambda attack: attack.__name__)
def test_a_strangers_archive_is_refused(target, attack):
    archive = target.parent / f"c.{attack.__name__.partition('_')[0]}"
    attack(archive, target)
    before = beside(target)
    with little_memory(), pytest.raises(InputError, match=str(archive)):
        unpack(archive, target.parent / "out.zarr")
    assert beside(target) == before


@pytest.mark.parametrize("kind", [".zip", ".h5"])
def test_the_sound_ones_are_not(target, kind):
    """Without this, a reader that refuses everything would pass."""
    pack(SamCache.open(target), target.parent / f"c{kind}")
    with little_memory():
        unpack(target.parent / f"c{kind}", target.parent / "out.zarr")
        assert SamCache.open(target.parent / "out.zarr").damaged() == {}


def test_the_most_that_a_record_may_be_is_read_within_the_bound(tmp_path):
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
