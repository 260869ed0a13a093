"""Nothing that is stored is lost, or silently wrong."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodsam.data.cache import Identity, SamCache, bounds, merge_caches, writing
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.cache.metadata import Attributes
from goodsam.data.cache.places import Folder, place_of
from goodsam.data.errors import InputError
from goodsam.data.windows import Windows

pytestmark = pytest.mark.attack("caches")

NAMES = ["new\\one.png", "a/../b.png", "/etc/passwd", "a//b.png", "./a.png", "a\0b.png", "", "."]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_cannot_be_stored_is_refused_before_anything_is_written(
    full, identity, images, provenance, files, name, tmp_path
):
    before = files(full.path)
    with pytest.raises(InputError, match="rename it"):
        SamCache.create_or_resume(full.path, identity, {**images, name: "d" * 64}, provenance)
    assert files(full.path) == before
    assert SamCache.open(full.path).missing() == []
    with pytest.raises(InputError, match="rename it"):
        SamCache.create(tmp_path / "new.zarr", identity, {name: "d" * 64}, provenance)
    assert not (tmp_path / "new.zarr").exists()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    names=st.lists(st.text(max_size=12), max_size=4),
    sha256=st.text("0123456789abcdefg", min_size=63, max_size=65),
    provenance=st.dictionaries(st.text(max_size=4), st.floats() | st.text(max_size=4)),
)
def test_what_can_be_written_can_be_read(names, sha256, provenance):
    identity = Identity("5" * 64, {}, "windows", Windows(6, 16, 6, 4), False)
    attributes = Attributes(identity, dict.fromkeys(names, sha256), [provenance])
    try:
        content = attributes.to_bytes()
    except InputError:
        return
    read = Attributes.from_bytes(content)
    assert (read.identity, read.images) == (identity, attributes.images)
    assert read.to_bytes() == content


def test_too_many_images_are_refused_and_leave_nothing(tmp_path, identity):
    many = {f"{number}.png": "a" * 64 for number in range(bounds.MAX_PANORAMAS + 1)}
    with (
        pytest.raises(InputError, match="100001 images are more than a cache holds"),
        writing(tmp_path / "c.zarr"),  # as cache-sam does
    ):
        SamCache.create_or_resume(tmp_path / "c.zarr", identity, many, {})
    assert not (tmp_path / "c.zarr").exists()
    items = list(many.items())
    for part, some in enumerate((items[:60_000], items[60_000:])):
        SamCache.create(tmp_path / f"{part}.zarr", identity, dict(some), {})
    with pytest.raises(InputError, match="100001 images are more than a cache holds"):
        merge_caches(tmp_path / "all.zarr", [tmp_path / "0.zarr", tmp_path / "1.zarr"])
    assert not (tmp_path / "all.zarr").exists()


def test_a_merge_writes_what_the_caches_say_of_themselves_once(tmp_path, identity, monkeypatch):
    made_by = [{"run": number} for number in range(2000)]
    for part in range(2):
        images = {f"{part}.png": "a" * 64}
        SamCache.empty(
            tmp_path / f"{part}.zarr", Attributes(identity, images, made_by[part * 1000 :])
        )
    written = []
    write = Folder.write
    monkeypatch.setattr(
        Folder, "write", lambda *a: (written.append(a[1]), write(*a))[1]
    )  # the key, then as before
    merge_caches(tmp_path / "all.zarr", [tmp_path / "0.zarr", tmp_path / "1.zarr"])
    assert written.count("zarr.json") == 1
    assert SamCache.open(tmp_path / "all.zarr").provenance == made_by
    more = [{"run": number} for number in range(3000, 6000)]
    SamCache.empty(tmp_path / "2.zarr", Attributes(identity, {"2.png": "a" * 64}, more))
    with pytest.raises(InputError, match="kinds of run are more than a cache holds"):
        merge_caches(tmp_path / "all.zarr", [tmp_path / "2.zarr"])


# Archives


def without_a_record(archive, out):
    """The zip with the files of record 1 gone from its list, by one byte: a comment's length."""
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
    lengths = [46 + len(entry.filename) for entry in entries]
    first = next(i for i, entry in enumerate(entries) if entry.filename == "cells/c.1.0.0.0")
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\1\2") + sum(lengths[: first - 1])
    content[at + 32] = sum(lengths[first : first + 3])
    out.write_bytes(content)


def test_a_zip_that_lacks_a_record_is_damaged(full, tmp_path):
    pack(full, tmp_path / "c.zip")
    without_a_record(tmp_path / "c.zip", tmp_path / "short.zip")
    with zipfile.ZipFile(tmp_path / "short.zip") as file:
        assert "index/c.1.0" not in file.namelist()  # for whom it is a sound zip
    with pytest.raises(InputError, match="not the one that it states"):
        SamCache.open(tmp_path / "short.zip")
    with pytest.raises(InputError, match="not the one that it states"):
        unpack(tmp_path / "short.zip", tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_every_changed_byte_of_a_zips_list_is_found_or_harmless(full, tmp_path, files, tries):
    pack(full, tmp_path / "c.zip")
    good = (tmp_path / "c.zip").read_bytes()
    start, whole = good.index(b"PK\1\2"), files(full.path)
    places = range(start, len(good), 3)
    tries(len(places))
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 0xFF
        (tmp_path / "bad.zip").write_bytes(bad)
        try:
            unpack(tmp_path / "bad.zip", tmp_path / "out.zarr")
        except InputError:
            continue
        assert files(tmp_path / "out.zarr") == whole, place
        shutil.rmtree(tmp_path / "out.zarr")


def test_a_zip_whose_statement_was_cut_off_is_damaged(full, tmp_path):
    pack(full, tmp_path / "c.zip")
    content = (tmp_path / "c.zip").read_bytes()
    for cut in (1, len(content) - content.rindex(b"PK\5\6") - 22):
        (tmp_path / "cut.zip").write_bytes(content[:-cut])
        with pytest.raises(InputError, match="states"):
            SamCache.open(tmp_path / "cut.zip")


def test_archives_that_state_nothing_are_read(full, tmp_path, files):
    """As they were packed before archives stated their records."""
    for kind in ("zip", "h5"):
        pack(full, tmp_path / f"c.{kind}")
    with zipfile.ZipFile(tmp_path / "c.zip", "a") as file:
        file.comment = b""
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        del file.attrs["index_crc32c"]
    for kind in ("zip", "h5"):
        unpack(tmp_path / f"c.{kind}", tmp_path / f"{kind}.zarr")
        assert files(tmp_path / f"{kind}.zarr") == files(full.path)


@pytest.mark.parametrize("stated", [True, False])
def test_an_hdf5_that_lacks_a_record_is_damaged(full, tmp_path, stated):
    pack(full, tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        file["index"][1, 0] = 0
        if not stated:
            del file.attrs["index_crc32c"]
    with pytest.raises(InputError, match="index"):
        unpack(tmp_path / "c.h5", tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("statement", [np.float64(1), "text", np.zeros(3, "<u4")])
def test_a_statement_of_another_kind_is_damage(full, tmp_path, statement):
    pack(full, tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        del file.attrs["index_crc32c"]
        file.attrs["index_crc32c"] = statement
    with pytest.raises(InputError, match="index"):
        unpack(tmp_path / "c.h5", tmp_path / "out.zarr")


@pytest.fixture
def file_limit():
    """with file_limit(n): no file may grow over n bytes, as on a disk that is full."""

    @contextlib.contextmanager
    def limited(most):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.mark.parametrize("kind", [".h5", ".zip"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_full_disk_while_packing_is_an_error_and_leaves_nothing(
    full, tmp_path, kind, share, file_limit
):
    """HDF5 by itself would take the process with it."""
    pack(full, tmp_path / f"whole{kind}")
    most = int((tmp_path / f"whole{kind}").stat().st_size * share)
    with file_limit(most), pytest.raises(OSError, match=f"too large.*c{kind}"):
        pack(full, tmp_path / f"c{kind}")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["sam.zarr", f"whole{kind}"])


@pytest.mark.parametrize("kind", [".h5", ".zip"])
def test_a_full_disk_while_unpacking_is_not_the_archives_fault(full, tmp_path, kind, file_limit):
    pack(full, tmp_path / f"c{kind}")
    with file_limit(100), pytest.raises(OSError, match="too large") as error:
        unpack(tmp_path / f"c{kind}", tmp_path / "out.zarr")
    assert not isinstance(error.value, InputError)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["sam.zarr", f"c{kind}"])


# Places


def test_behind_a_file_url_nothing_is_followed_or_waited_for(target):
    url = f"file://{target}"
    assert SamCache.open(url).damaged() == {}
    for key in ("cells/c.0.0.0.0", "index/c.0.0", "zarr.json"):
        shutil.copy(target / key, target.parent / "kept")
        for attack in (os.mkfifo, lambda path: path.symlink_to(target.parent / "kept")):
            (target / key).unlink()
            attack(target / key)
            with pytest.raises(InputError, match=r"plain file|link"):
                SamCache.open(url).read("a.png")
        (target / key).unlink()
        shutil.copy(target.parent / "kept", target / key)
    os.mkfifo(target.parent / "pipe.zip")
    with pytest.raises(InputError, match="no regular file"):
        SamCache.open(f"zip://::{target.parent}/pipe.zip")


def test_a_folder_whose_name_looks_like_a_url(full, tmp_path, made, monkeypatch):
    monkeypatch.chdir(tmp_path)
    full.path.rename("a::b.zarr")
    assert SamCache.open("a::b.zarr").missing() == []
    assert isinstance(place_of("c::d.zarr"), Folder)
    SamCache.create("c::d.zarr", *made)
    assert json.loads((tmp_path / "c::d.zarr/zarr.json").read_text())
