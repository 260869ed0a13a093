"""`goodsam bench cache`: the cache beside other ways to keep the same masks, measured in one run.

All keep the masks of windows as files, with area, box, predicted IoU and stability score, and give
them back from there. `ours`: a cache of panoramas, to cells. `sa1b_json`: the format of SA-1B's
files, a JSON a window with COCO run lengths by pycocotools, to masks. `png`: a 1-bit PNG a mask, to
masks. `packbits`: the stack as packed bits and zstd, a file a window, to masks.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numcodecs.zstd import Zstd
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.errors import InputError
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import PAPER_HEIGHT, PAPER_WIDTH, Windows

FORMATS = ("ours", "sa1b_json", "png", "packbits")
NEAR_DUPLICATES = (20, 24)  # things in a window, and masks of each: some 4,200 cells
WINDOWS = Windows.of(PAPER_HEIGHT, PAPER_WIDTH)


class _Format(NamedTuple):
    """write: the windows into a folder. load: from there the masks, or cells, of one after another.

    None is kept, as in training: fresh memory for all of them would be what is measured.
    """

    write: Callable[[Path, Sequence[WindowMasks]], None]
    load: Callable[[Path], Iterator[Any]]


def bench_cache(panoramas: int = 2, seed: int = 0, repeats: int = 5) -> dict[str, Any]:
    """Bytes, write time and load time of a window, by format, of three sets of masks.

    The record itself: what the demo SAM gives on street panoramas of 200 x 1024, by its defaults.
    `instances`: the true things of street panoramas of 400 x 2048, which is what a good SAM would
    give. `near_duplicates`: 480 masks a window that differ by a pixel or two. Times in ms; of
    loading the least of `repeats`. What each format gives back is held against the masks.

    Raises InputError without pycocotools.
    """
    copies = [near_duplicates(seed + i, WINDOWS.height, WINDOWS.window) for i in range(2)]
    return {
        **measure(_demo_sam(panoramas, seed), repeats),
        "instances": measure(_instances(panoramas, seed), repeats),
        "near_duplicates": measure(copies, repeats),
        "panoramas": panoramas,
        "seed": seed,
        "repeats": repeats,
    }


def measure(windows: Sequence[WindowMasks], repeats: int) -> dict[str, Any]:
    """`bytes`, `write_ms`, `load_ms` of a window by format, and how `ours` compares with JSON."""
    n = len(windows)
    found: dict[str, Any] = {"bytes": {}, "write_ms": {}, "load_ms": {}}
    formats = _formats(windows)
    with tempfile.TemporaryDirectory() as folder:
        for name, format_ in formats.items():
            root = Path(folder) / name
            root.mkdir()
            start = time.perf_counter()
            format_.write(root, windows)
            found["write_ms"][name] = 1e3 * (time.perf_counter() - start) / n
            files = [path for path in root.rglob("*") if path.is_file()]
            found["bytes"][name] = sum(path.stat().st_size for path in files) / n
            _check(format_.load(root), windows, name)
            times = []
            for _turn in range(repeats):
                start = time.perf_counter()
                for _ in format_.load(root):
                    pass
                times.append(1e3 * (time.perf_counter() - start) / n)
            found["load_ms"][name] = min(times)
    found["bytes_of_json"] = found["bytes"]["ours"] / found["bytes"]["sa1b_json"]
    found["faster_than_json"] = found["load_ms"]["sa1b_json"] / found["load_ms"]["ours"]
    found["masks"] = float(np.mean([len(window) for window in windows]))
    found["cells"] = float(np.mean([window.incidence.shape[1] - 1 for window in windows]))
    found["windows"] = n
    found["window"] = list(windows[0].cells.shape)
    return found


def cache_table(record: dict[str, Any]) -> str:
    """The record of `bench_cache` for people."""
    lines = []
    sets = {"demo SAM": record, **{name: record[name] for name in ("instances", "near_duplicates")}}
    for name, found in sets.items():
        h, w = found["window"]
        lines += [
            f"{name}: {found['windows']} windows of {h} x {w}, {found['masks']:.1f} masks and "
            f"{found['cells']:.1f} cells each",
            f"{'a window':12}{'bytes':>10}{'write, ms':>12}{'load, ms':>12}",
        ]
        for kind in FORMATS:
            size, write, load = (found[key][kind] for key in ("bytes", "write_ms", "load_ms"))
            lines.append(f"{kind:12}{size:10.0f}{write:12.2f}{load:12.3f}")
        lines.append(
            f"ours: {found['bytes_of_json']:.3f} of the JSON's bytes, loaded "
            f"{found['faster_than_json']:.1f} times faster\n"
        )
    return "\n".join(lines)


def near_duplicates(seed: int, height: int, width: int) -> WindowMasks:
    """480 ellipses: 20 things, each found 24 times, centre and axes off by half a pixel (sigma)."""
    rng = np.random.default_rng(seed)
    things, copies = NEAR_DUPLICATES
    x0, x1 = np.array([0.0, 0, 10, 10]), np.array([height, width, height / 5, width / 5])
    things_4 = rng.uniform(x0, x1, size=(things, 4))
    ellipses = things_4.repeat(copies, axis=0) + rng.normal(0, 0.5, size=(things * copies, 4))
    y, x = np.mgrid[:height, :width]
    masks = np.stack(
        [((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1 for cy, cx, ry, rx in ellipses]
    )
    return WindowMasks.of(masks, rng.random(len(masks)), rng.random(len(masks)))


def _demo_sam(panoramas: int, seed: int) -> list[WindowMasks]:
    from goodsam.stages.sam.generate import SamGenerator
    from goodsam.stages.sam.load import load_sam
    from goodsam.stages.sam.registry import default_generator

    windows = Windows.of(200, 1024)
    generator = SamGenerator(load_sam("street").model, default_generator("street"))
    images = [panorama(split_seed("test", i, seed)).image for i in range(panoramas)]
    return generator([window for image in images for window in windows.cut_images(image)])


def _instances(panoramas: int, seed: int) -> list[WindowMasks]:
    found = []
    for index in range(panoramas):
        picture = panorama(split_seed("test", index, seed), WINDOWS.height, WINDOWS.width)
        for instances in WINDOWS.cut(picture.instances):
            ids = np.unique(instances[instances > 0])
            ones = np.ones(len(ids), np.float32)
            found.append(WindowMasks.of(instances[None] == ids[:, None, None], ones, ones))
    return found


def _check(loaded: Iterator[Any], windows: Sequence[WindowMasks], name: str) -> None:
    for found, window in zip(loaded, windows, strict=True):
        masks = found.masks() if isinstance(found, WindowMasks) else found
        if not np.array_equal(masks, window.masks()):
            raise AssertionError(f"{name} gives other masks back")


# Formats


def _formats(windows: Sequence[WindowMasks]) -> dict[str, _Format]:
    try:
        from pycocotools import mask as coco
    except ImportError as error:
        raise InputError("bench cache needs pycocotools: pip install pycocotools") from error
    height, width = windows[0].cells.shape
    shape = (height, width)
    packed = Zstd(level=7)
    # Windows that only touch, a panorama of eight: nothing but the windows' masks is in the cache.
    at_once = min(8, len(windows))
    geometry = Windows(height, width * at_once, width, width, wrap=False)

    def write_ours(root: Path, windows: Sequence[WindowMasks]) -> None:
        images = {f"{i:05}.png": "0" * 64 for i in range(len(windows) // at_once)}
        identity = Identity("0" * 64, {}, "windows", geometry, False)
        cache = SamCache.create(root / "c.zarr", identity, images, {})
        for i, name in enumerate(images):
            part = tuple(windows[i * at_once : (i + 1) * at_once])
            cache.write(name, PanoramaMasks(part, ()))

    def load_ours(root: Path) -> Iterator[Any]:
        cache = SamCache.open(root / "c.zarr")
        for name in cache.names:
            yield from cache.read(name).windows

    def write_json(root: Path, windows: Sequence[WindowMasks]) -> None:
        for i, window in enumerate(windows):
            stack = np.asfortranarray(window.masks().transpose(1, 2, 0), np.uint8)
            codes = coco.encode(stack) if len(window) else []
            annotations = [
                {
                    "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(window.area[m]),
                    "predicted_iou": float(window.predicted_iou[m]),
                    "stability_score": float(window.stability[m]),
                    "id": m,
                }
                for m, (code, (x0, y0, x1, y1)) in enumerate(
                    zip(codes, window.box.tolist(), strict=True)
                )
            ]
            (root / f"{i:05}.json").write_text(json.dumps({"annotations": annotations}))

    def load_json(root: Path) -> Iterator[Any]:
        for path in sorted(root.iterdir()):
            codes = [a["segmentation"] for a in json.loads(path.read_text())["annotations"]]
            stack = coco.decode(codes) if codes else np.zeros((*shape, 0), np.uint8)
            yield stack.view(bool).transpose(2, 0, 1)

    def columns(window: WindowMasks) -> np.ndarray:
        scores = np.stack([window.predicted_iou, window.stability], axis=1).view(np.int32)
        return np.concatenate([window.area[:, None], window.box, scores], axis=1)

    def write_png(root: Path, windows: Sequence[WindowMasks]) -> None:
        for i, window in enumerate(windows):
            folder = root / f"{i:05}"
            folder.mkdir()
            np.save(folder / "columns.npy", columns(window))
            for m, mask in enumerate(window.masks()):
                Image.fromarray(mask).save(folder / f"{m:05}.png")

    def load_png(root: Path) -> Iterator[Any]:
        for folder in sorted(root.iterdir()):
            np.load(folder / "columns.npy")
            masks = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
            yield np.stack(masks) if masks else np.zeros((0, *shape), bool)

    def write_packbits(root: Path, windows: Sequence[WindowMasks]) -> None:
        for i, window in enumerate(windows):
            np.save(root / f"{i:05}.npy", columns(window))
            bits = np.packbits(window.masks(), axis=2)
            content = bytes(packed.encode(np.ascontiguousarray(bits))) if bits.size else b""
            (root / f"{i:05}.bits").write_bytes(content)

    def load_packbits(root: Path) -> Iterator[Any]:
        for path in sorted(root.glob("*.bits")):
            np.load(path.with_suffix(".npy"))
            content = path.read_bytes()
            bits = np.frombuffer(packed.decode(content) if content else b"", np.uint8)
            rows = bits.reshape(-1, height, -(-width // 8))
            yield np.unpackbits(rows, axis=2, count=width).view(bool)

    return {
        "ours": _Format(write_ours, load_ours),
        "sa1b_json": _Format(write_json, load_json),
        "png": _Format(write_png, load_png),
        "packbits": _Format(write_packbits, load_packbits),
    }
