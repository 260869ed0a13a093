import json
import multiprocessing
import pickle
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodsam.data.cache import (
    Identity,
    PanoramaMasks,
    SamCache,
    bounds,
    ignored_runs,
    merge_caches,
    writing,
)
from goodsam.data.cache import format as cache_format
from goodsam.data.cache.archive import pack
from goodsam.data.cache.metadata import json_crc32c
from goodsam.data.cache.places import Folder
from goodsam.data.errors import InputError
from goodsam.data.files import file_hash
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows

GEOMETRY = Windows(height=6, width=16, window=6, stride=4)
IDENTITY = Identity(
    sam="5" * 64,
    settings={"points_per_side": 32, "pred_iou_thresh": 0.88},
    boundaries="overlap",
    windows=GEOMETRY,
    fit=False,
)
IMAGES = {"city/b.png": "b" * 64, "a.jpg": "a" * 64, "city/c.png": "c" * 64}
PROVENANCE = {"device": "cpu"}
DOCUMENT = (Path(__file__).parents[3] / "docs" / "CACHE_FORMAT.md").read_text()
SHAPES = [(GEOMETRY.height, overlap.width) for overlap in GEOMETRY.overlaps]


IGNORED = (3, 40, GEOMETRY.height * GEOMETRY.width - 43)  # runs of pixels


def record(stacks, boundaries):
    windows = tuple(
        WindowMasks.of(masks, np.linspace(0, 1, len(masks)), np.linspace(1, 0, len(masks)))
        for masks in stacks
    )
    return PanoramaMasks(windows, tuple(boundaries))


def example(seed=0):
    rng = np.random.default_rng(seed)
    shape = (GEOMETRY.height, GEOMETRY.window)
    stacks = [rng.random((rng.integers(5), *shape)) < 0.6 for _ in GEOMETRY.starts]
    return record(stacks, [rng.random(shape) < 0.5 for shape in SHAPES])


def records():
    height, window = GEOMETRY.height, GEOMETRY.window
    stack = st.integers(0, 12).flatmap(lambda n: hnp.arrays(bool, (n, height, window)))
    boundaries = st.tuples(*(hnp.arrays(bool, shape) for shape in SHAPES))
    return st.builds(record, st.tuples(*[stack] * len(GEOMETRY)), boundaries)


def assert_same(a, b):
    assert len(a.windows) == len(b.windows)
    for x, y in zip(a.windows, b.windows, strict=True):
        for column in fields(WindowMasks):
            one, other = getattr(x, column.name), getattr(y, column.name)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert len(a.boundaries) == len(b.boundaries)
    for one, other in zip(a.boundaries, b.boundaries, strict=True):
        assert one.dtype == other.dtype == bool
        np.testing.assert_array_equal(one, other)


def files(path):
    """All files of a cache that hold data, with their bytes."""
    found = (p for p in path.rglob("*") if p.is_file() and p.name != ".lock")
    return {p.relative_to(path): p.read_bytes() for p in found}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sam.zarr"


@pytest.fixture
def cache(path):
    return SamCache.create(path, IDENTITY, IMAGES, PROVENANCE)


@pytest.fixture
def full(cache):
    for seed, name in enumerate(cache.names):
        cache.write(name, example(seed))
    return cache


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "sam.zarr"
    return SamCache.create(path, IDENTITY, IMAGES, PROVENANCE)


@settings(max_examples=40)
@given(records())
def test_records_come_back_bit_for_bit(scratch, masks):
    scratch.write("a.jpg", masks)
    assert_same(SamCache.open(scratch.path).read("a.jpg"), masks)


def test_a_new_cache_knows_what_it_is_for(cache, path):
    opened = SamCache.open(path)
    assert opened.identity == IDENTITY
    assert opened.images == IMAGES
    assert opened.names == opened.missing() == ["a.jpg", "city/b.png", "city/c.png"]
    assert opened.provenance == [PROVENANCE]
    assert not opened.done("a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg has no masks yet; run cache-sam again"):
        opened.read("a.jpg")
    with pytest.raises(InputError, match=r"has no image z\.png"):
        opened.read("z.png")


def test_what_is_written_is_done(cache, path):
    reader = SamCache.open(path)
    assert not reader.done("city/b.png")
    cache.write("city/b.png", example())
    assert reader.done("city/b.png")  # opened before, and sees it
    assert reader.missing() == ["a.jpg", "city/c.png"]
    info = reader.info()
    expected = {"panoramas": 3, "done": 1, "windows": len(GEOMETRY), "path": str(path)}
    assert expected.items() <= info.items()
    assert info["masks"] == sum(map(len, example().windows))
    assert info["bytes"] == sum(map(len, files(path).values()))
    assert info == json.loads(json.dumps(info))


def test_boundaries_of_windows_are_derived_on_reading(path):
    identity = replace(IDENTITY, boundaries="windows")
    cache = SamCache.create(path, identity, IMAGES, PROVENANCE)
    masks = example()
    cache.write("a.jpg", PanoramaMasks(masks.windows, ()))
    derived = overlap_boundaries(masks.windows, GEOMETRY)
    assert_same(cache.read("a.jpg"), PanoramaMasks(masks.windows, tuple(derived)))


@given(hnp.arrays(bool, (GEOMETRY.height, GEOMETRY.width)))
def test_ignored_pixels_come_back(ignored):
    identity = replace(IDENTITY, ignored=ignored_runs(ignored))
    back = Identity.from_json(json.loads(json.dumps(identity.to_json())))
    assert back == identity
    if ignored.any():
        np.testing.assert_array_equal(back.ignored_mask, ignored)
    else:
        assert back == IDENTITY
        assert back.ignored_mask is None
    share = f"{100 * ignored.mean():.1f} % of the pixels"
    assert back.described()["ignored"] == share


def test_ignored_pixels_make_no_boundary_in_what_is_derived(path):
    ignored = np.zeros((GEOMETRY.height, GEOMETRY.width), bool)
    ignored[2:] = True
    identity = replace(IDENTITY, boundaries="windows", ignored=ignored_runs(ignored))
    cache = SamCache.create(path, identity, IMAGES, PROVENANCE)
    whole = np.ones((1, GEOMETRY.height, GEOMETRY.window), bool)
    masks = record([whole & ~part for part in GEOMETRY.cut(ignored)], [])
    name = cache.names[0]
    cache.write(name, masks)
    assert not any(map_.any() for map_ in cache.read(name).boundaries)
    assert any(map_.any() for map_ in overlap_boundaries(masks.windows, GEOMETRY))


def test_tables_larger_than_a_chunk(tmp_path):
    geometry = Windows(64, 128, 128, 128)
    identity = replace(IDENTITY, windows=geometry)
    cache = SamCache.create(tmp_path / "large.zarr", identity, IMAGES, PROVENANCE)
    rng = np.random.default_rng(0)
    masks = record([rng.random((400, 64, 128)) < 0.5], [])  # 400 masks x 8,193 cells: 400 kB
    cache.write("a.jpg", masks)
    chunks = [tmp_path / f"large.zarr/tables/c.0.{i}" for i in range(2)]
    assert all(chunk.exists() for chunk in chunks)
    assert_same(cache.read("a.jpg"), masks)
    cache.write("a.jpg", record([np.zeros((0, 64, 128), bool)], []))  # a shorter one leaves nothing
    assert [chunk.exists() for chunk in chunks] == [True, False]


def test_masks_of_another_geometry_are_not_written(cache):
    masks = example()
    with pytest.raises(ValueError, match="cells of shape"):
        cache.write("a.jpg", PanoramaMasks(masks.windows[1:], masks.boundaries))
    with pytest.raises(ValueError, match="boundary maps of shapes"):
        cache.write("a.jpg", PanoramaMasks(masks.windows, masks.boundaries[1:]))
    assert not cache.done("a.jpg")


def test_a_run_that_was_cut_ends_in_the_same_bytes(full, tmp_path):
    """Cut between panoramas, and within one: after its cells, after its tables."""
    cut = tmp_path / "cut.zarr"
    cache = SamCache.create_or_resume(cut, IDENTITY, IMAGES, PROVENANCE)
    cache.write("a.jpg", example(0))
    for array in ("cells", "tables"):  # of the second panorama: written, but never flagged
        for source in (full.path / array).glob("c.1.*"):
            shutil.copy(source, cut / array)
        resumed = SamCache.create_or_resume(cut, IDENTITY, IMAGES, PROVENANCE)
        assert resumed.missing() == ["city/b.png", "city/c.png"]
        with pytest.raises(InputError, match="no masks yet"):
            resumed.read("city/b.png")
    resumed.write("city/b.png", example(1))
    resumed.write("city/c.png", example(2))
    assert resumed.missing() == []
    assert files(cut) == files(full.path)


def test_a_record_that_is_written_anew_is_not_done_meanwhile(full, monkeypatch):
    write = Folder.write

    def fails(place, key, content):  # the disk, after the cells
        if key.startswith("tables"):
            raise OSError(28, "No space left on device")
        write(place, key, content)

    monkeypatch.setattr(Folder, "write", fails)
    with pytest.raises(OSError, match="No space"):
        full.write("a.jpg", example(7))
    monkeypatch.undo()
    assert SamCache.open(full.path).missing() == ["a.jpg"]
    full.write("a.jpg", example(7))
    assert_same(full.read("a.jpg"), example(7))


def test_new_images_are_appended(full):
    more = {**IMAGES, "0.png": "0" * 64}
    cache = SamCache.create_or_resume(full.path, IDENTITY, more, {"device": "cuda"})
    assert cache.names == ["a.jpg", "city/b.png", "city/c.png", "0.png"]
    assert cache.missing() == ["0.png"]
    assert cache.provenance == [PROVENANCE, {"device": "cuda"}]
    cache.write("0.png", example(3))
    for seed, name in enumerate(cache.names):
        assert_same(cache.read(name), example(seed))


def test_the_same_record_again_is_never_undone(full, monkeypatch):
    """A task that runs twice, since its worker was taken for dead, loses nothing when it is cut."""

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        full.write("a.jpg", example(0))
    assert_same(SamCache.open(full.path).read("a.jpg"), example(0))


def test_killed_while_it_is_made_it_is_made_anew(path, monkeypatch):
    write = Folder.write

    def killed(place, key, content):
        if key == "zarr.json":
            raise KeyboardInterrupt
        write(place, key, content)

    monkeypatch.setattr(Folder, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        SamCache.create_or_resume(path, IDENTITY, IMAGES, PROVENANCE)
    monkeypatch.undo()
    with pytest.raises(InputError, match="no SAM cache here"):
        SamCache.open(path)
    cache = SamCache.create_or_resume(path, IDENTITY, IMAGES, PROVENANCE)
    assert cache.names == sorted(IMAGES)
    assert [p.name for p in path.parent.iterdir()] == ["sam.zarr"]


def test_the_same_again_changes_nothing(full):
    before = files(full.path)
    SamCache.create_or_resume(full.path, IDENTITY, IMAGES, PROVENANCE)
    assert files(full.path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sam": "6" * 64}, f"sam is {'5' * 64}, not {'6' * 64}"),
        ({"settings": {"points_per_side": 16}}, "settings.pred_iou_thresh is 0.88, not None"),
        ({"settings": {"points_per_side": 16}}, "settings.points_per_side is 32, not 16"),
        ({"boundaries": "windows"}, "boundaries is overlap, not windows"),
        ({"windows": replace(GEOMETRY, stride=2)}, "windows.stride is 4, not 2"),
        ({"windows": replace(GEOMETRY, wrap=False)}, "windows.wrap is True, not False"),
        ({"fit": True}, "fit is False, not True"),
        ({"ignored": IGNORED}, "ignored is [], not [3, 40, "),
        ({"format_version": 2}, "format_version is 1, not 2"),
    ],
)
def test_another_identity_is_refused_by_name(full, change, message):
    before = files(full.path)
    with pytest.raises(InputError) as error:
        SamCache.create_or_resume(full.path, replace(IDENTITY, **change), IMAGES, PROVENANCE)
    assert message in str(error.value)
    assert str(full.path) in str(error.value)
    assert files(full.path) == before


def test_a_changed_image_is_refused_by_name(full):
    with pytest.raises(InputError, match=r"city/b\.png: not the image .* restore"):
        SamCache.create_or_resume(
            full.path, IDENTITY, {**IMAGES, "city/b.png": "0" * 64}, PROVENANCE
        )
    full.match({"elsewhere.png": "0" * 64, "a.jpg": "a" * 64})


def test_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is no SAM cache"):
        SamCache.create_or_resume(tmp_path, IDENTITY, IMAGES, PROVENANCE)
    with pytest.raises(InputError, match="exists and is no SAM cache"):
        SamCache.create_or_resume(tmp_path / "notes.txt", IDENTITY, IMAGES, PROVENANCE)
    assert (tmp_path / "notes.txt").read_text() == "mine"


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
def test_a_damaged_record_is_dropped_and_made_anew(full, array):
    before = files(full.path)
    (damaged,) = (full.path / array).glob("c.1.*")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    cache = SamCache.open(full.path, "r+")
    assert list(cache.damaged()) == ["city/b.png"]
    cache.drop("city/b.png")
    assert SamCache.open(full.path).missing() == ["city/b.png"]
    assert cache.damaged() == {}
    again = SamCache.create_or_resume(full.path, IDENTITY, IMAGES, PROVENANCE)
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


def test_verify_holds_the_images_against_their_hashes(tmp_path):
    images = {}
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(name.encode())
        images[name] = file_hash(tmp_path / name)
    cache = SamCache.create(tmp_path / "sam.zarr", IDENTITY, images, PROVENANCE)
    for name in images:
        cache.write(name, example())
    assert cache.verify(tmp_path) == []
    (tmp_path / "a.png").write_bytes(b"edited")
    (tmp_path / "b.png").unlink()
    edited, lost = cache.verify(tmp_path)
    assert edited.startswith(f"{tmp_path / 'a.png'}: not the image")
    assert lost.startswith(f"{tmp_path / 'b.png'}: no such file")


def test_it_can_be_pickled_opened_or_not(full):
    for cache in (full, SamCache(full.path, "r")):
        for _ in range(2):
            copy = pickle.loads(pickle.dumps(cache))
            assert len(pickle.dumps(cache)) < 1000
            assert_same(copy.read("a.jpg"), example(0))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and newer
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_it_is_read_in_other_processes(full, method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert_same(pool.apply(full.read, ("city/c.png",)), example(2))


def test_no_cache(tmp_path):
    with pytest.raises(InputError, match="no SAM cache here; make one with cache-sam"):
        SamCache.open(tmp_path / "nothing.zarr")
    with pytest.raises(InputError, match="no SAM cache here"):
        SamCache.open(tmp_path)


def edit(path, change):
    """As a stranger would who knows the format: with a checksum that is right."""
    values = json.loads(path.read_text())
    change(values)
    attributes = values["attributes"]
    if attributes.pop("crc32c", None) is not None:
        attributes["crc32c"] = json_crc32c(attributes)
    path.write_text(json.dumps(values))


HUGE = {"height": 2**20, "width": 2**20, "window": 2**20, "stride": 2**20}


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(format="another"),
        lambda a: a.update(surplus=1),
        lambda a: a.pop("identity"),
        lambda a: a["identity"].update(format_version=2),
        lambda a: a["identity"].update(boundaries="both"),
        lambda a: a["identity"].update(surplus=1),
        lambda a: a["identity"].update(settings=[1]),
        lambda a: a["identity"].update(ignored=[2**62]),
        lambda a: a["identity"].update(ignored=[-8, 8 + GEOMETRY.height * GEOMETRY.width]),
        lambda a: a["identity"].update(ignored=[float(GEOMETRY.height * GEOMETRY.width)]),
        lambda a: a["identity"].pop("ignored"),
        lambda a: a["identity"]["windows"].update(HUGE),
        lambda a: a["identity"]["windows"].update(width=2**40, stride=1),
        lambda a: a["identity"]["windows"].update(window="6"),
        lambda a: a["identity"]["windows"].update(stride=0),
        lambda a: a["identity"]["windows"].update(stride=2),
        lambda a: a.update(images=[["../../etc/passwd", "a" * 64]]),
        lambda a: a.update(images=[["/etc/passwd", "a" * 64]]),
        lambda a: a.update(images=[["a.png", "a" * 64]] * 2),
        lambda a: a.update(images=[[".", "a" * 64]]),
        lambda a: a.update(images=[["", "a" * 64]]),
        lambda a: a.update(images=[["a\0b.png", "a" * 64]]),
        lambda a: a.update(images=[[str(i), "a" * 64] for i in range(100_001)]),
        lambda a: a.update(images=[["a.png", "short"]]),
        lambda a: a.update(images=7),
        lambda a: a.update(provenance="none"),
    ],
)
def test_a_strangers_attributes_are_checked(full, change):
    edit(full.path / "zarr.json", lambda group: change(group["attributes"]))
    with pytest.raises(InputError, match=str(full.path)):
        SamCache.open(full.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["shape"].__setitem__(1, 2**40),
        lambda a: a["shape"].__setitem__(0, 2**40),
        lambda a: a["chunk_grid"]["configuration"].update(chunk_shape=[2**10] * 4),
        lambda a: a.update(data_type="float64"),
        lambda a: a.update(fill_value=1),
        lambda a: a.update(codecs=a["codecs"][:1]),
        lambda a: a.update(codecs=[{"name": "pickle"}]),
        lambda a: a.update(node_type="group"),
    ],
)
def test_a_strangers_arrays_are_checked(full, change):
    edit(full.path / "cells" / "zarr.json", change)
    with pytest.raises(InputError, match=str(full.path)):
        SamCache.open(full.path)


def test_tables_that_do_not_add_up_are_refused_even_with_good_checksums(full):
    """What a stranger's program may write: sizes that claim more than there is."""
    group = zarr.open_group(full.path, mode="r+")
    arrays = {name: group[name] for name in ("tables", "index")}
    row = np.asarray(arrays["index"][0])
    tables = np.asarray(arrays["tables"][0, : row[2]])
    for claim in (2**32 - 1, 0, 7):
        for place in (0, 1):
            bad = tables.copy()
            bad[: 8 * len(GEOMETRY)].view("<u4")[place] = claim
            arrays["tables"][0, : len(bad)] = bad
            arrays["index"][0] = [*row[:4], google_crc32c.value(bad)]
            with pytest.raises(InputError, match=r"the record of a\.jpg is damaged"):
                SamCache.open(full.path).read("a.jpg")


def test_the_document_is_enough_to_read_a_cache(full):
    """docs/CACHE_FORMAT.md followed with zarr and numpy alone, nothing of ours."""
    group = zarr.open_group(full.path, mode="r")
    identity = group.attrs["identity"]
    geometry = identity["windows"]
    height, width = geometry["height"], geometry["width"]
    window, stride = geometry["window"], geometry["stride"]
    starts = list(range(0, width, stride))  # wrap is true
    overlaps = [
        window - (starts[(i + 1) % len(starts)] - starts[i]) % width for i in range(len(starts))
    ]
    for i, (name, _) in enumerate(group.attrs["images"]):
        done, n_masks, n_bytes, cells_crc32c, tables_crc32c = group["index"][i]
        cells = group["cells"][i]
        tables = group["tables"][i, :n_bytes]
        assert done == 1
        assert google_crc32c.value(cells.astype("<u2").tobytes()) == cells_crc32c
        assert google_crc32c.value(tables.tobytes()) == tables_crc32c

        at = 0

        def take(dtype, count, tables=tables):
            nonlocal at
            values = np.frombuffer(tables.tobytes(), dtype, count, at)
            at += values.nbytes
            return values

        def bits(*shape):
            return np.unpackbits(take("u1", (np.prod(shape) + 7) // 8))[: np.prod(shape)].reshape(
                shape
            )

        sizes = take("<u4", 2 * len(starts)).reshape(-1, 2)
        total = sizes[:, 0].sum()
        assert total == n_masks
        area = take("<i4", total)
        box = take("<i4", 4 * total).reshape(-1, 4)
        predicted_iou, stability = take("<f4", total), take("<f4", total)
        first = 0
        expected = full.read(name)
        for j, (m, k) in enumerate(sizes):
            row_bytes = (int(m) + 7) // 8
            rows = take("u1", int(k) * row_bytes).reshape(int(k), row_bytes)
            incidence = np.unpackbits(rows, axis=1, count=int(m)).astype(bool).T
            theirs = expected.windows[j]
            np.testing.assert_array_equal(incidence[:, cells[j]], theirs.masks())
            mine = slice(first, first + m)
            np.testing.assert_array_equal(area[mine], theirs.area)
            np.testing.assert_array_equal(box[mine], theirs.box)
            np.testing.assert_array_equal(predicted_iou[mine], theirs.predicted_iou)
            np.testing.assert_array_equal(stability[mine], theirs.stability)
            first += m
        for j, overlap in enumerate(overlaps):
            np.testing.assert_array_equal(bits(height, overlap), expected.boundaries[j])
        assert at == n_bytes
        assert window == cells.shape[-1]


def test_the_document_states_the_bounds():
    for bound in (name for name in dir(bounds) if name.startswith("MAX_")):
        assert f"{getattr(bounds, bound):,}" in DOCUMENT, bound
    for value in (bounds.TABLES_CHUNK, cache_format.ZSTD_LEVEL):
        assert f"{value:,}" in DOCUMENT


def test_the_documents_own_reader_runs(full, monkeypatch):
    monkeypatch.chdir(full.path.parent)
    full.path.rename("NAME.zarr")
    block, one_file = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict = {}
    exec(block, names)
    np.testing.assert_array_equal(names["masks_of_window"], example(0).windows[-1].masks())
    pack(SamCache.open("NAME.zarr"), Path("NAME.h5"))
    tables = names["tables"]
    exec(one_file, names)
    assert dict(names["images"]) == IMAGES
    np.testing.assert_array_equal(names["cells"], np.stack([w.cells for w in example(0).windows]))
    np.testing.assert_array_equal(names["tables"], tables)


def hold_the_right_to_write(path, holding, done):
    with writing(path):
        holding.set()
        done.wait(60)


def test_a_second_writer_is_refused_until_the_first_is_done_or_dead(full):
    context = multiprocessing.get_context("spawn")
    for end in ("done", "killed"):
        holding, done = context.Event(), context.Event()
        other = context.Process(target=hold_the_right_to_write, args=(full.path, holding, done))
        other.start()
        assert holding.wait(60)
        more = {**IMAGES, f"{end}.png": "0" * 64}
        with pytest.raises(InputError, match="another process is writing into it"):
            SamCache.create_or_resume(full.path, IDENTITY, more, PROVENANCE)
        assert_same(SamCache.open(full.path).read("a.jpg"), example(0))  # reading goes on
        if end == "done":
            done.set()
        else:
            other.kill()
        other.join()
        assert f"{end}.png" in SamCache.create_or_resume(full.path, IDENTITY, more, {}).names


def test_the_right_to_write_nests(full):
    with writing(full.path):
        SamCache.create_or_resume(full.path, IDENTITY, IMAGES, {"device": "cuda"})
        assert SamCache.open(full.path).provenance == [PROVENANCE, {"device": "cuda"}]


# Merging


def half(path, names, identity=IDENTITY, seed=0):
    cache = SamCache.create(path, identity, {name: IMAGES[name] for name in names}, {"at": seed})
    for name in names:
        cache.write(name, example(seed + sorted(IMAGES).index(name)))
    return cache


def test_caches_are_merged(full, tmp_path):
    half(tmp_path / "one.zarr", ["a.jpg", "city/b.png"])
    half(tmp_path / "two.zarr", ["city/b.png", "city/c.png"], seed=1).drop("city/c.png")
    half(tmp_path / "three.zarr", ["city/c.png"])
    sources = [tmp_path / f"{name}.zarr" for name in ("one", "two", "three")]
    for _ in range(2):  # the second time nothing is left to do
        assert merge_caches(tmp_path / "all.zarr", sources) == {}
        merged = SamCache.open(tmp_path / "all.zarr")
        assert merged.images == IMAGES
        assert merged.provenance == [{"at": 0}, {"at": 1}]
        for seed, name in enumerate(sorted(IMAGES)):  # of two records the first
            assert_same(merged.read(name), example(seed))
    records = {p: content for p, content in files(merged.path).items() if p.name != "zarr.json"}
    assert records.items() <= files(full.path).items()


def test_of_two_records_the_whole_one_is_merged_and_a_damaged_one_is_named(tmp_path):
    half(tmp_path / "one.zarr", ["a.jpg", "city/b.png"])
    half(tmp_path / "two.zarr", ["city/b.png"], seed=1)
    for number in (0, 1):
        chunk = tmp_path / f"one.zarr/cells/c.{number}.0.0.0"
        chunk.write_bytes(b"no chunk")
    failed = merge_caches(tmp_path / "all.zarr", [tmp_path / "one.zarr", tmp_path / "two.zarr"])
    assert list(failed) == ["a.jpg"]
    merged = SamCache.open(tmp_path / "all.zarr")
    assert merged.missing() == ["a.jpg"]
    assert_same(merged.read("city/b.png"), example(2))


def test_caches_that_do_not_belong_together_are_not_merged(tmp_path):
    one = half(tmp_path / "one.zarr", ["a.jpg"])
    two = half(tmp_path / "two.zarr", ["a.jpg"], replace(IDENTITY, fit=True))
    three = SamCache.create(tmp_path / "3.zarr", IDENTITY, {"a.jpg": "0" * 64}, {})
    with pytest.raises(InputError, match="fit is True, not False"):
        merge_caches(tmp_path / "all.zarr", [one.path, two.path])
    with pytest.raises(InputError, match=r"a\.jpg: not the image"):
        merge_caches(tmp_path / "all.zarr", [one.path, three.path])
    assert not (tmp_path / "all.zarr").exists()
