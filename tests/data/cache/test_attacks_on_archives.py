"""What a stranger may put into an archive is refused; nothing runs or leaves its place.

Each attack makes its target from a sound cache. Unpacking it must end in an InputError,
within a bound of memory beyond what the process has (as docs/CACHE_FORMAT.md states), and leave
everything beside the target as it was.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest

from goodsam.data.cache import SamCache
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.errors import InputError

pytestmark = pytest.mark.attack("caches")


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
    payload = (cache.parent / "canary.pickle").read_bytes()
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
def test_a_strangers_archive_is_refused(target, beside, little_memory, attack):
    archive = target.parent / f"c.{attack.__name__.partition('_')[0]}"
    attack(archive, target)
    before = beside(target)
    with little_memory(), pytest.raises(InputError, match=str(archive)):
        unpack(archive, target.parent / "out.zarr")
    assert beside(target) == before


@pytest.mark.parametrize("kind", [".zip", ".h5"])
def test_the_sound_ones_are_not(target, little_memory, kind):
    """Without this, a reader that refuses everything would pass."""
    pack(SamCache.open(target), target.parent / f"c{kind}")
    with little_memory():
        unpack(target.parent / f"c{kind}", target.parent / "out.zarr")
        assert SamCache.open(target.parent / "out.zarr").damaged() == {}
