"""Numbers and pictures that stand still under refactoring: `tests/golden/` keeps what they were.

Where a change is meant to move them, `python tests/test_golden.py` writes them anew, and the commit
says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.picture import panorama, pinhole
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.write import truth_path, write_world
from goodsam.data.weights import FOLDER
from goodsam.data.windows import Windows
from goodsam.pipeline.config import adapt_config
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.adapt.watch import read_rows
from goodsam.stages.truth.masks import cache_truth

GOLDEN = Path(__file__).parent / "golden"
LOSSES = (
    *("teacher_windows", "consistency", "teacher_boundary"),
    *("whole_image", "student_windows", "student_boundary"),
    *("teacher_total", "student_total", "ensemble_entropy"),
)
PICTURES = {
    "source": lambda: pinhole(split_seed("source", 0), 100, 128),
    "sam": lambda: pinhole(split_seed("sam", 0), 100, 128, look="random"),
    "unlabelled": lambda: panorama(split_seed("unlabelled", 0), 100, 512),
    "tuning": lambda: panorama(split_seed("tuning", 0), 100, 512),
    "test": lambda: panorama(split_seed("test", 0), 100, 512),
}


def first_steps(folder: Path) -> list[dict[str, float]]:
    """The losses of the demo preset's first three steps, with the true instances as masks."""
    world = folder / "world"
    write_world(world, source=0, unlabelled=2, test=0, seed=0, truth=True)
    found = {
        sample.name: (
            sample.image,
            truth_path(world, "instances", "unlabelled", sample.name),
        )
        for sample in find_panoramas(world / "unlabelled")
    }
    cache = cache_truth(found, folder / "cache.zarr", Windows.of(200, 1024))
    config = adapt_config("demo", ["steps=3", "pictures_every=0"], device="cpu", workers=0)
    adapt(CachedPanoramas(world / "unlabelled", cache, cache.names), folder / "run", config)
    rows = read_rows(folder / "run" / "metrics.jsonl")
    return [{name: row[name] for name in LOSSES} for row in rows]


def parameters() -> dict[str, dict[str, list[int]]]:
    """Names and shapes of all that is in the shipped weights, by file."""
    shapes = {}
    for path in sorted(FOLDER.rglob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            shapes[path.relative_to(FOLDER).as_posix()] = {
                name: list(file.get_slice(name).get_shape()) for name in sorted(file.keys())
            }
    return shapes


def test_the_first_steps_of_the_demo(tmp_path):
    expected = json.loads((GOLDEN / "first_steps.json").read_text())
    found = first_steps(tmp_path)
    for step, (row, golden) in enumerate(zip(found, expected, strict=True), 1):
        assert row == pytest.approx(golden, rel=1e-4), f"step {step}"


@pytest.mark.parametrize("split", PICTURES)
def test_pictures(split):
    picture = PICTURES[split]()
    for kind in ("image", "labels", "instances"):
        with Image.open(GOLDEN / f"{split}_{kind}.png") as file:
            golden = np.asarray(file).astype(int)
        differ = getattr(picture, kind) != golden
        assert differ.mean() <= 1e-3, kind
        if kind == "image":
            assert np.abs(picture.image - golden).max() <= 1


def test_parameters_of_the_shipped_networks():
    assert parameters() == json.loads((GOLDEN / "parameters.json").read_text())


def write() -> None:
    """Write the golden files anew."""
    GOLDEN.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        steps = first_steps(Path(folder))
    (GOLDEN / "first_steps.json").write_text(json.dumps(steps, indent=1) + "\n")
    (GOLDEN / "parameters.json").write_text(json.dumps(parameters(), indent=1) + "\n")
    for split, render in PICTURES.items():
        picture = render()
        for kind in ("image", "labels", "instances"):
            Image.fromarray(getattr(picture, kind)).save(GOLDEN / f"{split}_{kind}.png")


if __name__ == "__main__":
    write()
