"""Two commands on one cache, run or output at the same time: each works, or is refused in a line.

The second command runs while the first stands still in the midst of its writing, at the first file
that it puts in place. What is there after both is sound, whoever came first.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from goodsam.data.alone import MARK, alone
from goodsam.data.cache import SamCache, lock, writing
from tests.pipeline.cli.conftest import HEIGHT, WIDTH, picture

pytestmark = pytest.mark.attack("two at once")

# Each writes into the same place, or reads what the others write
ON_A_CACHE = {
    "merge": "cache merge c.zarr more.zarr",
    "repair": "cache verify c.zarr --repair",
    "verify": "cache verify c.zarr",
    "info": "cache info c.zarr",
    "pack": "cache pack c.zarr {n}.zip",
    "view": "cache view c.zarr --out {n}",
    "copy": "cache merge {n}.zarr c.zarr",
}
ON_AN_OUTPUT = {
    "predict": "predict model i out --device cpu",
    "confidence": "predict model i out --device cpu --confidence",
    "eval": "eval model i --out out --device cpu",
    "world": "world out --source 1 --unlabelled 0 --test 0 --height 32",
}
ON_A_FILE = {
    "pack": "cache pack c.zarr out.zip",
    "export": "export model --out out.zip",
    "copy": "cache merge out.zip c.zarr",
}
GROUPS = (ON_A_CACHE, ON_AN_OUTPUT, ON_A_FILE)
PAIRS = [pair for group in GROUPS for pair in itertools.product(group.values(), repeat=2)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_at_once(here, goodsam, monkeypatch, first, second):
    """The second begins, and ends, where the first puts its first file in place."""
    shutil.copytree(here / "c.zarr", here / "more.zarr")
    (here / "c.zarr/index/c.0.0").unlink()  # something for a merge to do
    results, nested = {}, []
    replace = os.replace
    of_another_process = functools.cache(lambda path, is_singleton: FileLock(path))

    def meanwhile(source, target, **more):
        if not nested:
            nested.append(True)
            with monkeypatch.context() as patch:
                patch.setattr(lock, "FileLock", of_another_process)
                results["second"] = goodsam(*second.format(n="second").split())
        replace(source, target, **more)

    monkeypatch.setattr(os, "replace", meanwhile)
    results["first"] = goodsam(*first.format(n="first").split())
    monkeypatch.undo()
    monkeypatch.chdir(here)
    if not nested:  # it only reads
        results["second"] = goodsam(*second.format(n="second").split())
    for who, (status, _, err) in results.items():
        assert status in (0, 1, 2), (who, err)
        assert "Traceback" not in err
        assert status == 0 or len(err.strip().splitlines()) <= 1, err
    if nested and {first, second} <= {ON_A_CACHE["merge"], ON_A_CACHE["repair"]}:
        assert results["second"][0] == 2, results
        assert "another process is writing" in results["second"][2]
    assert 0 in {results["first"][0], results["second"][0]}, results
    assert SamCache.open(here / "c.zarr").verify(here / "i") == []
    assert not list(here.rglob("*.writing"))


WRITERS = {
    "world": "world out --source 1 --unlabelled 0 --test 0 --height 32",
    "predict": "predict model i out --device cpu",
    "label": "label i c.zarr --out out --preset demo --teacher-assistant model --device cpu",
    "source": "source s --out out --model w8 --steps 1 --batch 1 --crop 32 32 --device cpu",
}


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and newer
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_one_output_has_one_writer(here, goodsam, command):
    shutil.copytree(here / "i", here / "s/leftImg8bit")
    for path in picture(here / "s/gtFine/a.png"), picture(here / "s/gtFine/b.png"):
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(path)
    held, holding = os.pipe()
    if (other := os.fork()) == 0:
        with alone(here / "out"):
            os.write(holding, b"!")
            signal.pause()
    os.read(held, 1)
    status, _, err = goodsam(*WRITERS[command].split())
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    assert status == 2, err
    assert "out: another process is writing into it; wait for it" in err
    assert [path.name for path in (here / "out").iterdir()] == [MARK]
    status, _, err = goodsam(*WRITERS[command].split())  # what is dead holds nothing
    assert status == 0, err
    assert not (here / "out" / MARK).exists()


def test_a_finished_cache_is_read_without_a_lock(here, goodsam):
    """While another writes, and where nothing may be written."""
    before = sorted((here / "c.zarr").rglob("*"))
    with writing(here / "c.zarr"):
        for words in ("cache info c.zarr", "cache verify c.zarr", "cache pack c.zarr d.zip"):
            assert goodsam(*words.split())[0] == 0
        assert SamCache.open(here / "c.zarr").read("a.png").windows
    (here / "c.zarr/.lock").unlink(missing_ok=True)
    assert goodsam("cache", "verify", "c.zarr")[0] == 0
    after = sorted((here / "c.zarr").rglob("*"))
    assert after == [path for path in before if path.name != ".lock"]
