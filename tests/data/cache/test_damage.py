"""What is not as it was written is found, and made anew."""

import shutil

import numpy as np
import pytest

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import file_hash

pytestmark = pytest.mark.attack("caches")


def test_any_flipped_bit_of_a_record_is_found(full):
    chunks = sorted(full.path.glob("*/c.1.*"))
    assert {p.relative_to(full.path).parts[0] for p in chunks} == {"cells", "tables", "index"}
    rng = np.random.default_rng(0)
    for chunk in chunks:
        good = chunk.read_bytes()
        for _ in range(10):
            bad = bytearray(good)
            bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
            chunk.write_bytes(bad)
            cache = SamCache.open(full.path)
            with pytest.raises(InputError, match=r"the record of city/b\.png is damaged"):
                cache.read("city/b.png")
            (problem,) = cache.verify()
            assert "city/b.png" in problem
        chunk.write_bytes(good)
    assert SamCache.open(full.path).verify() == []


@pytest.mark.parametrize("array", ["cells", "tables"])
def test_a_lost_chunk_and_one_of_another_panorama_are_found(full, array):
    first, second, third = sorted((full.path / array).glob("c.*"))
    second.unlink()
    shutil.copy(first, third)
    problems = SamCache.open(full.path).verify()
    assert [name in problem for name, problem in zip(full.names[1:], problems, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("array", ["cells", "tables", "index"])
def test_a_damaged_record_is_dropped_and_made_anew(full, array, made, example, files):
    before = files(full.path)
    (damaged,) = (full.path / array).glob("c.1.*")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    cache = SamCache.open(full.path, "r+")
    assert list(cache.damaged()) == ["city/b.png"]
    cache.drop("city/b.png")
    assert SamCache.open(full.path).missing() == ["city/b.png"]
    assert cache.damaged() == {}
    again = SamCache.create_or_resume(full.path, *made)
    again.write("city/b.png", example(1))
    assert files(full.path) == before


def test_a_thousand_flipped_bits_are_all_found(full):
    """Anywhere in any file of a cache, its metadata included."""
    paths = sorted(p for p in full.path.rglob("*") if p.is_file() and p.name != ".lock")
    good = {p: p.read_bytes() for p in paths}
    rng = np.random.default_rng(0)
    sizes = np.array([len(content) for content in good.values()])
    for number in range(1000):
        # by turns a file that is as likely as any other, and a bit that is as likely as any other
        weights = sizes / sizes.sum() if number % 2 else None
        path = paths[rng.choice(len(paths), p=weights)]
        bad = bytearray(good[path])
        bit = rng.integers(8 * len(bad))
        bad[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bad)
        try:
            found = SamCache.open(full.path).verify()
        except InputError as error:
            found = [str(error)]
        assert found, (path, bit)
        path.write_bytes(good[path])
    assert SamCache.open(full.path).verify() == []


def test_verify_holds_the_images_against_their_hashes(tmp_path, identity, provenance, example):
    images = {}
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(name.encode())
        images[name] = file_hash(tmp_path / name)
    cache = SamCache.create(tmp_path / "sam.zarr", identity, images, provenance)
    for name in images:
        cache.write(name, example())
    assert cache.verify(tmp_path) == []
    (tmp_path / "a.png").write_bytes(b"edited")
    (tmp_path / "b.png").unlink()
    edited, lost = cache.verify(tmp_path)
    assert edited.startswith(f"{tmp_path / 'a.png'}: not the image")
    assert lost.startswith(f"{tmp_path / 'b.png'}: no such file")
