"""What cannot be is said at the door: one line, the file, what to do, and the right status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rich.console
from PIL import Image

from goodsam.data import files
from goodsam.data.cache import SamCache
from goodsam.pipeline.tell import progress_bar
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer
from tests.pipeline.cli.conftest import HEIGHT, NAMES, WIDTH, picture

pytestmark = pytest.mark.attack("statuses")


def everything(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.name != ".lock")


def one_line(status, out, err, expected, *words):
    assert status == expected, (status, err)
    told = ("WARNING: ", "SAM ")  # that it is a toy, and its licence
    lines = [line for line in err.strip().splitlines() if not line.startswith(told)]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0], err


# Every command that writes, with `OUT` where its output goes
COMMANDS = {
    "world": "world OUT --source 1 --unlabelled 0 --test 0 --height 32",
    "cache-sam": "cache-sam i OUT --sam street",
    "train": "train i c.zarr --preset demo --teacher-assistant model --student model --out OUT",
    "eval": "eval model i --out OUT --device cpu",
    "eval of maps": "eval --predictions i i --labels i --out OUT",
    "predict": "predict model i OUT --device cpu",
    "export": "export model --out OUT",
    "export onnx": "export model --format onnx --out OUT",
    "source": "source s --out OUT --model w8 --steps 1",
    "demo": "demo --out OUT",
    "ablate": "ablate table3 --out OUT",
    "view": "cache view c.zarr --out OUT",
    "pack": "cache pack c.zarr OUT/c.zip",
    "unpack": "cache unpack c.zip OUT/c.zarr",
    "merge": "cache merge OUT c.zarr",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["file", "below a file", "closed"])
def test_where_nothing_can_be_written(here, goodsam, command, place, monkeypatch):
    if command == "source":
        picture(here / "s/leftImg8bit/a.png")
        (here / "s/gtFine").mkdir()
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(here / "s/gtFine/a.png")
    if command == "unpack":
        goodsam("cache", "pack", "c.zarr", "c.zip")
    (here / "file").write_text("mine")
    if place == "closed":
        monkeypatch.setattr(files, "_writable", lambda folder: False)
    before = everything(here)
    out = {"file": "file", "below a file": "file/out", "closed": "out"}[place]
    result = goodsam(*COMMANDS[command].replace("OUT", out).split())
    one_line(*result, 2, "file" if place != "closed" else "cannot be written into", "; give")
    assert everything(here) == before
    assert (here / "file").read_text() == "mine"


def test_a_view_does_not_replace_the_image(here, goodsam):
    before = (here / "i/a.png").read_bytes()
    one_line(*goodsam("cache", "view", "c.zarr", "--out", "i"), 2, "a.png", "give another --out")
    assert (here / "i/a.png").read_bytes() == before
    for _ in range(2):  # its own picture it does replace
        assert goodsam("cache", "view", "c.zarr", "--out", "v")[0] == 0


def test_an_image_that_cannot_be_stored_leaves_the_cache_as_it_was(here, goodsam):
    picture(here / "i/new\\one.png")
    before = (here / "c.zarr/zarr.json").read_bytes()
    result = goodsam("cache-sam", "i", "c.zarr", "--sam", "street", "--boundaries", "windows")
    one_line(*result, 2, "new\\\\one.png", "rename it")
    assert (here / "c.zarr/zarr.json").read_bytes() == before
    assert goodsam("cache", "verify", "c.zarr")[0] == 0


# Predictions


def predict(goodsam, *more, out="p"):
    return goodsam("predict", "model", "i", out, "--device", "cpu", *more)


def test_what_another_model_left_is_not_taken_for_this_ones(here, goodsam, monkeypatch):
    """Killed half-way, and written without probabilities: neither counts for this model."""
    save_segformer(build_segformer("w8", NAMES), here / "other")
    assert predict(goodsam, "--probabilities")[0] == 0
    right = {p: p.read_bytes() for p in (here / "p").rglob("a.*")}
    goodsam("predict", "other", "i", "o", "--device", "cpu", "--probabilities")
    # the other one was killed before a's label map; then this one ran without probabilities
    for path in (here / "p/overlays/a.png", here / "p/probabilities/a.npy"):
        shutil.copy(here / "o" / path.relative_to(here / "p"), path)
    (here / "p/labels/a.png").unlink()
    assert "1 written" in predict(goodsam)[1]
    assert "1 written" in predict(goodsam, "--probabilities")[1]
    assert {p: p.read_bytes() for p in (here / "p").rglob("a.*")} == right
    # and killed in a's overlay, over a finished prediction of this one
    from goodsam.stages import predict as module

    def killed(path, content):
        if "labels" in path.parts:
            raise KeyboardInterrupt
        files.write_whole(path, content)

    monkeypatch.setattr(module, "write_whole", killed)
    goodsam("predict", "other", "i", "p", "--device", "cpu")
    monkeypatch.undo()
    os.chdir(here)
    predict(goodsam, "--probabilities")
    assert {p: p.read_bytes() for p in (here / "p").rglob("a.*")} == right


def test_predictions_do_not_go_among_the_images(here, goodsam):
    (here / "link").symlink_to(here / "i", target_is_directory=True)
    for out in ("i", "link"):
        one_line(*predict(goodsam, out=out), 2, "give a folder of its own")
    assert everything(here / "i") == ["a.png", "b.png"]
    picture(here / "elsewhere/overlays/c.png")
    (here / "i/more").symlink_to(here / "elsewhere", target_is_directory=True)
    for out in ("elsewhere", "i/more", "elsewhere/overlays"):
        one_line(*predict(goodsam, out=out), 2, "give a folder of its own")


@pytest.mark.parametrize("out", ["i/p", "link/p", "."])
@pytest.mark.parametrize("killed", [False, True])
def test_predictions_are_no_images_the_next_time(here, goodsam, monkeypatch, out, killed):
    (here / "link").symlink_to(here / "i", target_is_directory=True)
    if killed:  # after the first overlay
        from goodsam.stages import predict as module

        def write(path, content):
            if "labels" in path.parts:
                raise KeyboardInterrupt
            files.write_whole(path, content)

        monkeypatch.setattr(module, "write_whole", write)
        predict(goodsam, out=out)
        monkeypatch.undo()
        assert list((here / out / "overlays").iterdir())
    predict(goodsam, out=out)
    assert "0 written, 2 already there" in predict(goodsam, out=out)[1]


def test_what_cannot_be_read_or_written_fails_alone(here, goodsam):
    (here / "i/03.png").write_bytes(b"DDS " + bytes([124]) + bytes(123))
    os.mkfifo(here / "i/04.png")
    picture(here / f"i/{'x' * 251}.png")
    picture(here / f"i/{'y' * 250}.jpg")
    (here / "p/labels").mkdir(parents=True)
    (here / "p/labels/b.png").mkdir()
    status, out, err = predict(goodsam)
    assert status == 1
    assert "3 written, 0 already there, 3 failed" in out
    assert err.count("failed: ") == 3
    assert len(list((here / "p/labels").glob("*.png"))) == 4  # the folder among them


def test_classes_and_label_maps_of_plain_pictures_called_label_ids(here, goodsam):
    shutil.rmtree(here / "i")
    for number in range(2):
        picture(here / f"i/labelIds_{number}.png", number)
    from goodsam.data.classes import CITYSCAPES

    save_segformer(build_segformer("w8", CITYSCAPES), here / "model")
    assert predict(goodsam)[0] == 0
    truth = ["i", "--labels", "p/labels", "--json"]
    _, model, _ = goodsam("eval", "model", *truth, "--out", "e", "--device", "cpu")
    _, maps, _ = goodsam("eval", "--predictions", "p/labels", *truth, "--out", "f")
    assert json.loads(model)["miou"] == json.loads(maps)["miou"] == 100


# Names


LATIN_1 = os.fsdecode(b"\xe4[/x].png")


def test_names_that_are_no_text(here, goodsam):
    picture(here / "i" / LATIN_1)
    picture(here / "i/\x1b[2J\n.png")
    for command in ("data check i", "eval model i --out e --device cpu"):
        status, out, err = goodsam(*command.split())
        assert (status, "\x1b[2J" in out + err) == (0, False), err
    assert sorted(p.name for p in (here / "e").iterdir()) == [
        "eval.json",
        "eval.md",
        "report.html",
    ]
    (here / "e/report.html").read_text(encoding="utf-8")
    assert LATIN_1 in [f["name"] for f in json.loads((here / "e/eval.json").read_text())["files"]]


def test_a_terminal_that_knows_ascii_alone(here):
    picture(here / "i" / LATIN_1).write_text("no picture")
    environment = {
        **os.environ,
        **{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "PYTHONIOENCODING": "ascii:strict",
    }
    result = subprocess.run(
        [sys.executable, "-m", "goodsam", "data", "check", "i"],
        env=environment,
        capture_output=True,
    )
    assert result.returncode == 1
    assert b"\\udce4[/x].png" in result.stdout
    assert result.stderr == b""


def test_a_name_does_not_steer_the_bar(monkeypatch):
    monkeypatch.setattr(rich.console.Console, "is_terminal", property(lambda self: True))
    with progress_bar("[/x]", 2) as update:
        update(1, note="[/x] [bold] \x1b[2J")


# Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["pack", "pack h5", "unpack", "export", "export onnx"])
def test_stopped_it_says_so_and_leaves_nothing(here, goodsam, monkeypatch, number, command):
    goodsam("cache", "pack", "c.zarr", "c.zip")
    line = {
        "pack": "cache pack c.zarr d.zip",
        "pack h5": "cache pack c.zarr d.h5",
        "unpack": "cache unpack c.zip d.zarr",
        "export": "export model --out d",
        "export onnx": "export model --format onnx --out d.onnx",
    }[command]
    before, handlers = everything(here), signal.getsignal(number)
    replace = os.replace

    def stopped(source, target, **more):
        if Path(source).name.startswith(".d"):
            signal.raise_signal(number)
        replace(source, target, **more)

    monkeypatch.setattr(os, "replace", stopped)
    one_line(*goodsam(*line.split()), 128 + number, "stopped", "start the same command again")
    assert everything(here) == before
    assert signal.getsignal(number) == handlers


def test_a_full_disk_is_told_with_the_file_and_what_to_do(here, goodsam, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    from goodsam.stages import predict as module

    monkeypatch.setattr(module, "write_whole", full)
    one_line(*predict(goodsam), 1, "p/overlays/a.png", "No space left", "make room")


# World and workers


def test_a_world_of_other_settings_is_not_mixed_in(here, goodsam):
    world = ["world", "w", "--source", 1, "--unlabelled", 1, "--test", 0, "--height", 32]
    assert goodsam(*world)[0] == 0
    before = {p: p.read_bytes() for p in (here / "w").rglob("*.*") if p.is_file()}
    for more in (["--seed", 1], ["--height", 64], ["--gap", 0.2]):
        one_line(*goodsam(*world, *more), 2, "w: holds a world of other settings")
    (here / "w/world.json").unlink()  # as one that was made before
    one_line(*goodsam(*world, "--seed", 1), 2, "w: holds another world")
    assert goodsam(*world)[0] == 0
    assert {p: p.read_bytes() for p in before} == before


def gone(here):
    (here / "i/b.png").unlink()


def damaged(here):
    (here / "i/b.png").write_bytes(b"no picture")


def cells(here):
    (here / "c.zarr/cells/c.1.0.0.0").write_bytes(b"no chunk")


@pytest.mark.parametrize("harm", [gone, damaged, cells])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_has_its_own_words(here, harm, workers):
    import torch

    from goodsam.data.errors import InputError
    from goodsam.stages.adapt.reading import CachedPanoramas, read_in_order

    panoramas = CachedPanoramas(here / "i", SamCache.open("c.zarr"), ["a.png", "b.png"])
    harm(here)
    items = read_in_order(panoramas, iter([(0, 0), (1, 1)]), workers, torch.device("cpu"))
    assert next(items).name == "a.png"
    with pytest.raises(InputError, match=r"b\.png") as error:
        next(items)
    assert "Traceback" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1
