"""All pairs of commands on one cache, one output or one run, as two processes at the same time.

Each works or is refused in its own words, and what is there afterwards is sound. The processes are
forked from this one, so that they begin together and cost no start of Python.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import random
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.cache import SamCache, merge_caches
from goodsam.data.cache.archive import pack
from goodsam.data.errors import InputError
from goodsam.pipeline.cli.app import main
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer
from tests.pipeline.cli.conftest import HEIGHT, NAMES, WIDTH, picture
from tests.stages.sam.conftest import Thresholds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.attack("two processes"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # of Python 3.12 and newer
]

STAGE_1 = "cache-sam"  # with a stand-in for SAM, as a function
TRAIN = (
    "train i c.zarr --preset demo --teacher-assistant model --student model --device cpu --out o "
    "--set steps=2 --set warmup=1 --set workers=0"
)
LABEL = "label i c.zarr --out o --preset demo --teacher-assistant model --device cpu"
ON_THE_CACHE = {
    "cache-sam": STAGE_1,
    "merge": "cache merge c.zarr more.zarr",
    "repair": "cache verify c.zarr --repair",
    "verify": "cache verify c.zarr",
    "info": "cache info c.zarr",
    "view": "cache view c.zarr --out v",
    "pack": "cache pack c.zarr d.zip",
    "unpack": "cache unpack c.zip u.zarr",
    "copy": "cache merge u.zarr c.zarr",
    "train": TRAIN,
    "label": LABEL,
}
ON_THE_OUTPUT = {
    "train": TRAIN,
    "train another": f"{TRAIN} --seed 1",
    "source": "source s --out o --model w8 --steps 2 --batch 1 --crop 32 32 --device cpu",
    "predict": "predict model i o --device cpu",
    "predict by another": "predict other i o --device cpu --confidence",
    "label": LABEL,
    "eval": "eval model i --out o --device cpu",
    "world": "world o --source 1 --unlabelled 0 --test 0 --height 32",
    "another world": "world o --source 1 --unlabelled 0 --test 0 --height 32 --seed 1",
    "export": "export model --out o",
}
ON_THE_RUN = {
    "predict": "predict o i p --device cpu",
    "eval": "eval o i --out e --device cpu",
    "export": "export o --out x",
}
LAZY = (  # what the commands import, once for all of them
    *("data.street.write", "pipeline.rundir", "pipeline.scoring", "pipeline.report.cache_view"),
    *("pipeline.report.evaluation", "pipeline.report.unlabelled", "stages.adapt.loop"),
    *("stages.export", "stages.predict", "stages.pseudo_labels", "stages.source"),
)
PAIRS = {
    f"{one} and {other}, {place}": (group[one], group[other])
    for place, group in (("cache", ON_THE_CACHE), ("output", ON_THE_OUTPUT))
    for one, other in itertools.combinations_with_replacement(group, 2)
} | {f"train and {other}, run": (TRAIN, line) for other, line in ON_THE_RUN.items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three images, of which a cache knows two and another one the third; two networks."""
    torch.set_num_threads(1)  # a process that is forked has no other thread
    for module in LAZY:
        importlib.import_module(f"goodsam.{module}")
    root = tmp_path_factory.mktemp("place")
    for number, folder in enumerate(("i", "i", "more")):
        picture(root / folder / f"{number}.png", number)
    for images, cache in (("i", "c.zarr"), ("more", "more.zarr")):
        cache_sam(root / images, root / cache, Stage1Config(), Thresholds())
    pack(SamCache.open(root / "c.zarr"), root / "c.zip")
    (root / "more/2.png").rename(root / "i/2.png")
    picture(root / "s/leftImg8bit/a.png")
    (root / "s/gtFine").mkdir()
    labels = np.random.default_rng(0).integers(19, size=(HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(labels).save(root / "s/gtFine/a.png")
    for network in ("model", "other"):
        save_segformer(build_segformer("w8", NAMES), root / network)
    return root


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def start(line: str, said: Path, wait: float = 0.0) -> int:
    """A process that runs the command, and writes what it says to a file."""
    if process := os.fork():
        return process
    status = 70
    try:
        with said.open("w", buffering=1) as stream:
            sys.stdout = sys.stderr = stream
            sys.argv = ["goodsam", *line.split()]
            warnings.simplefilter("ignore")
            time.sleep(wait)
            try:
                if line == STAGE_1:
                    cache_sam(Path("i"), Path("c.zarr"), Stage1Config(), Thresholds())
                else:
                    main()
                status = 0
            except InputError as error:
                print(error)
                status = 2
            except SystemExit as stop:
                status = int(stop.code or 0)
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(status)


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def results(root: Path) -> dict[str, bytes]:
    """What does not depend on the time, of the places that commands write into."""
    kept = {}
    for name in ("c.zarr", "d.zip", "u.zarr", "v", "o"):
        for path in [root / name, *(root / name).rglob("*")]:
            lasting = path.suffix in (".png", ".safetensors", ".zip") or "c.0" in path.name
            if path.is_file() and lasting and path.parent.name != "checkpoints":
                kept[str(path.relative_to(root))] = path.read_bytes()
    return kept


@pytest.mark.parametrize("pair", PAIRS)
def test_two_processes(here, tmp_path, pair):
    lines = PAIRS[pair]
    said = [tmp_path / "first.txt", tmp_path / "second.txt"]
    alone = None
    if lines[0] == lines[1]:
        shutil.copytree(here, tmp_path / "alone")
        with contextlib.chdir(tmp_path / "alone"):
            assert ended(start(lines[0], said[0])) == 0, said[0].read_text()
        alone = results(tmp_path / "alone")
    wait = random.Random(pair).uniform(0, 0.3)
    both = [start(line, path, wait * n) for n, (line, path) in enumerate(zip(lines, said))]  # noqa: B905
    statuses = [ended(process) for process in both]
    words = [path.read_text() for path in said]
    for line, status, text in zip(lines, statuses, words, strict=True):
        found_incomplete = status == 1 and line.startswith("cache verify") and "missing" in text
        assert status in (0, 2) or found_incomplete, (line, status, text)
        assert "Traceback" not in text
        assert "--debug shows where" not in text
    assert 0 in statuses, words
    assert SamCache.open("c.zarr").damaged() == {}
    assert not list(here.rglob("*.writing"))
    assert not list(here.rglob(".running"))
    if alone is not None:
        assert results(here) == alone
    for metrics in here.glob("o/metrics.jsonl"):
        steps = [row.split(",")[0] for row in metrics.read_text().splitlines()]
        assert len(steps) == len(set(steps)), steps


def test_the_two_caches_together_are_whole(place, tmp_path):
    """Without this, pairs could pass that never add anything."""
    merge_caches(tmp_path / "all.zarr", [place / "c.zarr", place / "more.zarr"])
    assert len(SamCache.open(tmp_path / "all.zarr").names) == 3
