"""Format version 2: caches of whole spheres, by every plan; and version 1, as it always was."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from goodsam.data import plans
from goodsam.data.cache import Identity, PanoramaMasks, SamCache, ignored_runs, merge_caches
from goodsam.data.cache import format as cache_format
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.cache.metadata import json_crc32c
from goodsam.data.errors import InputError
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.pipeline.report.cache_view import view

PLANS = {
    "vertical overlap": (VerticalWindows(12, 24, (6, 7), (4, 5)), "overlap"),
    "vertical windows": (VerticalWindows.of(12, 24), "windows"),
    "tangent": (TangentWindows(12, 24), "windows"),
}
IMAGES = {"a.png": "a" * 64, "city/b.png": "b" * 64, "c.png": "c" * 64}


@pytest.fixture(params=PLANS)
def identity(request):
    """With the camera's stand left out."""
    plan, boundaries = PLANS[request.param]
    ignored = np.zeros((12, 24), bool)
    ignored[11, 3:20] = True
    return Identity(
        "5" * 64, {"points_per_side": 32}, boundaries, plan, True, ignored_runs(ignored)
    )


def masks_of(seed, identity):
    """A record of the identity's plan, another one for each seed."""
    rng, plan = np.random.default_rng(seed), identity.windows
    windows = []
    for _ in range(len(plan)):
        count = rng.integers(4)
        stack = rng.random((count, *plan.window_shape)) < 0.5
        windows.append(WindowMasks.of(stack, rng.random(count), rng.random(count)))
    if identity.boundaries == "windows":
        return PanoramaMasks(
            tuple(windows), tuple(overlap_boundaries(windows, plan, identity.ignored_mask))
        )
    return PanoramaMasks(tuple(windows), tuple(rng.random(s) < 0.5 for s in plan.overlap_shapes))


@pytest.fixture
def cache(tmp_path, identity):
    """Of three spheres, the last of which is not done."""
    made = SamCache.create(tmp_path / "c.zarr", identity, IMAGES, {"device": "cpu"})
    for seed, name in enumerate(made.names[:2]):
        made.write(name, masks_of(seed, identity))
    return made


def test_what_is_written_is_read(cache, identity, assert_same):
    opened = SamCache.open(cache.path)
    assert opened.identity == identity
    assert opened.identity.format_version == 2
    assert opened.missing() == ["city/b.png"]
    for seed, name in enumerate(opened.names[:2]):
        assert_same(opened.read(name), masks_of(seed, identity))
    info = opened.info()
    assert info["windows"] == 2 * len(identity.windows)
    assert info["identity"]["windows"]["plan"] in ("vertical", "tangent")
    assert info == json.loads(json.dumps(info))
    group = zarr.open_group(cache.path, mode="r")
    assert group["cells"].shape[1:] == (len(identity.windows), *identity.windows.window_shape)


@pytest.mark.attack("caches")
@pytest.mark.parametrize("array", ["cells", "tables", "index"])
def test_what_is_damaged_is_found_and_made_anew(cache, identity, files, array):
    before = files(cache.path)
    (damaged,) = (cache.path / array).glob("c.0.*")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = SamCache.open(cache.path, "r+")
    assert again.verify() == list(again.damaged().values())
    assert list(again.damaged()) == ["a.png"]
    again.drop("a.png")
    assert again.verify() == []
    resumed = SamCache.create_or_resume(cache.path, identity, IMAGES, {"device": "cpu"})
    resumed.write("a.png", masks_of(0, identity))
    assert files(cache.path) == before


@pytest.mark.parametrize("kind", [".zip", ".h5"])
def test_one_file_and_back(cache, identity, tmp_path, files, kind):
    pack(cache, tmp_path / f"c{kind}")
    unpack(tmp_path / f"c{kind}", tmp_path / "again.zarr")
    assert files(tmp_path / "again.zarr") == files(cache.path)


def test_caches_of_one_plan_are_merged(cache, identity, tmp_path, assert_same):
    other = SamCache.create(tmp_path / "o.zarr", identity, {"d.png": "d" * 64}, {})
    other.write("d.png", masks_of(9, identity))
    assert merge_caches(tmp_path / "all.zarr", [cache.path, other.path]) == {}
    merged = SamCache.open(tmp_path / "all.zarr")
    assert merged.identity.format_version == 2
    assert_same(merged.read("d.png"), masks_of(9, identity))
    band = replace(identity, windows=Windows(12, 24, 6, 3), boundaries="windows")
    band = SamCache.create(tmp_path / "band.zarr", band, {"e.png": "e" * 64}, {})
    with pytest.raises(InputError, match="windows is those of the plan band, not those of"):
        merge_caches(tmp_path / "both.zarr", [cache.path, band.path])
    assert not (tmp_path / "both.zarr").exists()


def test_a_cache_of_another_plan_is_not_resumed(cache, identity, files):
    before = files(cache.path)
    plan = identity.windows
    for other, message in (
        (replace(identity, windows=Windows(12, 24, 6, 3), boundaries="windows"), "the plan band"),
        (
            replace(identity, windows=TangentWindows(12, 24, 80), boundaries="windows"),
            "fov|tangent",
        ),
        (replace(identity, windows=VerticalWindows(12, 24, (6, 6), (2, 2))), "stride|vertical"),
    ):
        assert other.windows != plan
        with pytest.raises(InputError, match=message) as error:
            SamCache.create_or_resume(cache.path, other, IMAGES, {})
        assert "\n" not in str(error.value)
    assert files(cache.path) == before


def test_tangent_windows_have_no_overlap_that_sam_could_see():
    plan = TangentWindows(12, 24)
    with pytest.raises(InputError, match="--boundaries overlap"):
        Identity("5" * 64, {}, "overlap", plan, True)


# What a stranger may say of a sphere


def seal(path, change):
    """Changes the attributes as one who knows the format: with a checksum that is right."""
    group = json.loads((path / "zarr.json").read_text())
    attributes = group["attributes"]
    change(attributes["identity"])
    del attributes["crc32c"]
    (path / "zarr.json").write_text(
        json.dumps({**group, "attributes": {**attributes, "crc32c": json_crc32c(attributes)}})
    )


BAND = {"height": 12, "width": 24, "window": 6, "stride": 3, "wrap": True}
VERTICAL = {"plan": "vertical", "height": 12, "width": 24, "window": [6, 6], "stride": [3, 3]}


@pytest.mark.attack("caches")
@pytest.mark.parametrize(
    "change",
    [
        lambda i: i.update(format_version=1),
        lambda i: i.update(format_version=3),
        lambda i: i.update(format_version=2.0),
        lambda i: i.update(windows=BAND),
        lambda i: i.update(windows=VERTICAL, format_version=1),
        lambda i: i["windows"].update(plan="cube"),
        lambda i: i["windows"].update(plan="band"),
        lambda i: i["windows"].pop("plan"),
        lambda i: i["windows"].update(surplus=1),
        lambda i: i["windows"].update(height=11),
        lambda i: i["windows"].update(height=24, width=48),
        lambda i: i["windows"].update(height=2**20, width=2**21),
        lambda i: i["windows"].update(stride=1e-9),
        lambda i: i["windows"].update(stride=[0, 0]),
        lambda i: i["windows"].update(fov=179.9),
        lambda i: i["windows"].update(window=[2**30, 2**30]),
        lambda i: i.update(boundaries="both"),
        lambda i: i.update(ignored=[1, 2]),
    ],
)
def test_a_strangers_sphere_is_refused(cache, little_memory, change):
    seal(cache.path, change)
    with little_memory(), pytest.raises(InputError, match=str(cache.path)):
        SamCache.open(cache.path)


@pytest.mark.attack("caches")
@pytest.mark.parametrize("plan", ["vertical", "tangent"])
def test_the_most_that_a_sphere_may_be_is_read_within_the_bound(tmp_path, little_memory, plan):
    """The largest sphere: of windows that are many, and a boundary at every pixel."""
    windows = {
        "vertical": VerticalWindows(1024, 2048, (512, 512), (128, 64)),
        "tangent": TangentWindows(1024, 2048, 120, 40),
    }[plan]
    identity = Identity("5" * 64, {}, "windows", windows, True)
    path = SamCache.create(tmp_path / "c.zarr", identity, {"a.png": "a" * 64}, {}).path
    n, (h, w) = len(windows), windows.window_shape
    assert 2**25 < n * h * w <= 2**26
    masks, cells = 8, 2**16
    maps = (np.arange(n * h * w, dtype=np.uint32) % cells).astype("<u2").reshape(n, h, w)
    sizes = np.tile(np.array([masks, cells], "<u4"), n).view(np.uint8)
    tables = np.concatenate([sizes, np.full(28 * masks * n + n * cells, 0xA5, np.uint8)])
    fast = cache_format.Zstd(1)

    def write(key, values):
        packed = bytes(fast.encode(values))
        content = packed + google_crc32c.value(packed).to_bytes(4, "little")
        (path / key).parent.mkdir(exist_ok=True)
        (path / key).write_bytes(content)

    write("cells/c.0.0.0.0", maps)
    for number in range(-(-len(tables) // 2**18)):
        chunk = np.zeros(2**18, np.uint8)
        part = tables[number * 2**18 :][: 2**18]
        chunk[: len(part)] = part
        write(f"tables/c.0.{number}", chunk)
    row = (1, masks * n, len(tables), cache_format.crc32c(maps), cache_format.crc32c(tables))
    write("index/c.0.0", np.array(row, "<u4"))
    del maps, tables, windows, identity
    plans._tangent.cache_clear()
    with little_memory():
        assert len(SamCache.open(path).read("a.png").windows) == n
        view(SamCache.open(path), tmp_path / "view")


@pytest.mark.attack("caches")
def test_spheres_that_cannot_be_merged_take_no_more_memory(tmp_path, little_memory):
    sources = []
    for stride in (31.0, 32.0, 33.0, 34.0):
        plan = TangentWindows(1024, 2048, 120, stride)
        identity = Identity("5" * 64, {}, "windows", plan, True)
        sources.append(tmp_path / f"{stride}.zarr")
        SamCache.create(sources[-1], identity, {"a.png": "a" * 64}, {})
        del plan, identity
    plans._tangent.cache_clear()
    with little_memory(), pytest.raises(InputError, match=r"windows\.stride is 32\.0, not 31\.0"):
        merge_caches(tmp_path / "all.zarr", sources)


# The document, and version 1


def test_the_documents_own_reader_runs_on_a_sphere(cache, identity, monkeypatch):
    document = (Path(__file__).parents[3] / "docs" / "CACHE_FORMAT.md").read_text()
    monkeypatch.chdir(cache.path.parent)
    shutil.copytree(cache.path, "NAME.zarr")
    block, one_file = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    names: dict = {}
    exec(block, names)
    expected = masks_of(0, identity).windows
    np.testing.assert_array_equal(names["masks_of_window"], expected[-1].masks())
    pack(cache, Path("NAME.h5"))
    exec(one_file, names)
    np.testing.assert_array_equal(names["cells"], np.stack([w.cells for w in expected]))


def test_the_document_says_where_tangent_windows_look():
    """Its formulas, followed with numpy alone."""
    height, width, fov, stride = 24, 48, 80.0, 35.0
    plan = TangentWindows(height, width, fov, stride)

    def up(x):
        return int(np.ceil(x - 1e-9))

    t = np.tan(np.radians(fov / 2))
    s = 8 * max(1, round(width / (8 * np.pi) * t))
    r = 2 * up(90 / stride)
    v, u = np.mgrid[:s, :s]
    p, q = t * (2 * u + 1 - s) / s, t * (s - 1 - 2 * v) / s
    # a picture whose values are the directions themselves
    lat = np.radians(90 - 180 * (np.arange(height) + 0.5) / height)[:, None]
    lon = 2 * np.pi * (np.arange(width) + 0.5) / width
    sphere = np.stack(
        np.broadcast_arrays(np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon))
    )
    seen, number = plan.cut(sphere), 0
    for i in range(r + 1):
        a = np.radians(90 - 180 * i / r)
        m = max(1, up(360 * np.cos(a) / stride))
        for k in range(m):
            c = round(width * (0.5 + k / m)) % width
            x, y, z = p, q * np.cos(a) + np.sin(a), np.cos(a) - q * np.sin(a)
            turned = 2 * np.pi * c / width
            d = np.stack(
                [
                    x * np.cos(turned) + z * np.sin(turned),
                    y,
                    z * np.cos(turned) - x * np.sin(turned),
                ]
            )
            d /= np.linalg.norm(d, axis=0)
            assert np.abs(seen[number] - d).max() < 0.02
            number += 1
    assert number == len(plan)


def test_the_document_numbers_the_overlaps_of_rows():
    plan = VerticalWindows(12, 24, (6, 7), (4, 5))
    starts = [0, 4, 6]  # the last one ends at the last row
    across, columns = range(0, 24, 5), range(5)
    shapes = [(6, 7 - (across[(j + 1) % 5] - across[j]) % 24) for _ in starts for j in columns]
    shapes += [(6 - (b - a), 7) for a, b in itertools.pairwise(starts) for _ in columns]
    assert list(plan.overlap_shapes) == shapes


def test_a_cache_of_version_1_is_read_and_written_as_ever(tmp_path, files, assert_same):
    """`tests/golden/sam_cache_1.zip` was written when there was no other version."""
    golden = Path(__file__).parents[2] / "golden" / "sam_cache_1.zip"
    unpack(golden, tmp_path / "old.zarr")
    old = SamCache.open(tmp_path / "old.zarr")
    assert old.identity.format_version == 1
    assert old.identity.windows == Windows(6, 16, 6, 4)
    assert (old.identity.fit, old.identity.pose.pitch) == (True, 2.5)
    new = SamCache.create(tmp_path / "new.zarr", old.identity, old.images, old.provenance[0])
    for name in old.names:
        new.write(name, old.read(name))
        assert_same(new.read(name), old.read(name))
    before, after = files(old.path), files(new.path)
    assert before.keys() == after.keys()
    for path, content in before.items():
        if path.name == "zarr.json":
            assert after[path] == content
    pack(new, tmp_path / "new.zip")
    assert SamCache.open(golden).verify() == []
    rows = [old._opened.row(name) for name in old.names]
    assert [new._opened.row(name) for name in new.names] == rows  # the checksums of both arrays
