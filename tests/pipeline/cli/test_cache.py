"""`goodsam cache` and `train` as a user meets them, on a cache that needs no SAM."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.files import file_hash
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows
from goodsam.pipeline.report.pictures import boundary_picture
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer

WINDOWS = Windows.of(32, 128)


@pytest.fixture
def world(tmp_path):
    """Three images and their cache."""
    rng = np.random.default_rng(0)
    hashes = {}
    for name in ("a.png", "city/b.png", "city/c.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(256, size=(WINDOWS.height, WINDOWS.width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        hashes[name] = file_hash(path)
    identity = Identity("5" * 64, {"points_per_side": 4}, "windows", WINDOWS, False)
    cache = SamCache.create(tmp_path / "c.zarr", identity, hashes, {"device": "cpu"})
    for name in hashes:
        stacks = rng.random((len(WINDOWS), 3, 8, 8)).repeat(4, 2).repeat(4, 3) < 0.3
        masks = (WindowMasks.of(stack, np.ones(3), np.ones(3)) for stack in stacks)
        cache.write(name, PanoramaMasks(tuple(masks), ()))
    return tmp_path


def test_it_is_handed_to_a_colleague_in_two_lines(world, goodsam):
    for kind in ("zip", "h5"):
        assert goodsam("cache", "pack", world / "c.zarr", world / f"c.{kind}")[0] == 0
        assert goodsam("cache", "unpack", world / f"c.{kind}", world / f"{kind}.zarr")[0] == 0
        status, out, _ = goodsam(
            "cache", "verify", world / f"{kind}.zarr", "--images", world / "images"
        )
        assert status == 0
        assert "sound, 3 of 3 panoramas" in out
    assert goodsam("cache", "pack", world / "c.zarr", world / "c.zip")[0] == 2


def test_info(world, goodsam):
    status, out, _ = goodsam("cache", "info", world / "c.zarr", "--json")
    info = json.loads(out)
    assert status == 0
    assert (info["done"], info["masks"]) == (3, 3 * len(WINDOWS) * 3)
    assert "masks" in goodsam("cache", "info", world / "c.zarr")[1]


def test_repair_drops_what_is_damaged(world, goodsam):
    chunk = world / "c.zarr/tables/c.1.0"
    chunk.write_bytes(chunk.read_bytes()[1:])
    status, out, _ = goodsam("cache", "verify", world / "c.zarr")
    assert status == 1
    assert "city/b.png" in out
    assert "--repair" in out
    status, out, _ = goodsam("cache", "verify", world / "c.zarr", "--repair")
    assert status == 0
    assert "city/b.png is damaged" in out
    assert "2 of 3 panoramas; 1 missing: run cache-sam again" in out
    assert SamCache.open(world / "c.zarr").missing() == ["city/b.png"]


def test_merge(world, goodsam):
    cache = SamCache.open(world / "c.zarr", "r+")
    goodsam("cache", "pack", cache.path, world / "all.zip")
    cache.drop("city/b.png")
    out = world / "m.zarr"
    assert goodsam("cache", "merge", out, cache.path, world / "all.zip")[0] == 0
    assert goodsam("cache", "verify", out, "--images", world / "images")[0] == 0


class Page(HTMLParser):
    """The addresses that a page would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.elsewhere = []

    def handle_starttag(self, tag, attrs):
        self.elsewhere += [
            value
            for key, value in attrs
            if key in ("src", "href") and not value.startswith("data:")
        ]


def test_view(world, goodsam):
    out = world / "view"
    status, printed, _ = goodsam(
        "cache", "view", world / "c.zarr", "city/b.png", "--images", world / "images", "--out", out
    )
    assert status == 0
    assert printed.split() == [str(out / "city/b.png"), str(out / "city/b.html")]
    picture = np.asarray(Image.open(out / "city/b.png"))
    assert picture.shape == (3 * WINDOWS.height, WINDOWS.width, 3)
    original = np.asarray(Image.open(world / "images/city/b.png"))
    np.testing.assert_array_equal(picture[: WINDOWS.height], original)
    page = Page()
    page.feed((out / "city/b.html").read_text())
    assert page.elsewhere == []
    goodsam("cache", "view", world / "c.zarr", "--out", out)
    picture = np.asarray(Image.open(out / "a.png"))
    assert picture.shape == (2 * WINDOWS.height, WINDOWS.width, 3)
    Image.fromarray(original).save(world / "images/a.png")
    wrong = ("cache", "view", world / "c.zarr", "a.png", "--images", world / "images")
    assert goodsam(*wrong)[0] == 2
    assert goodsam("cache", "view", world / "c.zarr", "d.png")[0] == 2


def test_boundary_maps_are_drawn_in_their_columns():
    windows = Windows(2, 8, 4, 2)
    boundaries = [np.zeros((2, 2), bool) for _ in windows.overlaps]
    boundaries[-1][0, 1] = True  # over the seam: the last window and the first
    picture = boundary_picture(np.zeros((2, 8, 3), np.uint8), boundaries, windows)
    assert np.argwhere(picture.any(axis=-1)).tolist() == [[0, 1]]


def test_train_and_cache_take_a_url(world, goodsam, serve):
    url, server = serve(world)
    assert goodsam("cache", "verify", f"{url}/c.zarr")[0] == 0
    assert goodsam("cache", "view", f"{url}/c.zarr", "--out", world / "view")[0] == 0
    torch.manual_seed(0)
    save_segformer(build_segformer("w16", ("road", "sky")), world / "net")
    train = ["train", world / "images", f"{url}/c.zarr", "--preset", "demo"]
    train += ["--teacher-assistant", world / "net", "--student", world / "net"]
    train += ["--set", "steps=1", "--set", "workers=1", "--out"]
    status, _, err = goodsam(*train, world / "run")
    assert status == 0, err
    server.fault, server.broken = "cut", "/zarr.json"
    status, _, err = goodsam(*train, world / "other")
    assert status == 2
    assert url in err
    assert "Traceback" not in err
