"""The whole way in one command: doors, a whole run, and one that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import goodsam as gs
from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.write import write_world
from goodsam.pipeline.whole.recipe import read_recipe
from goodsam.pipeline.whole.run import run


def one_line(result, expected, *words):
    status, _, err = result
    assert status == expected, err
    last = err.strip().splitlines()[-1]
    for word in words:
        assert word in last, err


def test_what_cannot_be_is_said_at_the_door(goodsam, photos, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    one_line(goodsam("run", photos, "--out", tmp_path / "file"), 2, "file", "give another path")
    one_line(goodsam("run", tmp_path / "empty", "--out", out), 2, "no images here")
    one_line(goodsam("run", tmp_path / "nothing", "--out", out), 2, "no such folder")
    one_line(goodsam("run", photos, "--out", out, "--set", "stpes=3"), 2, "did you mean steps")
    one_line(goodsam("run", photos, "--out", out, "--no-sam", "--points", "grid"), 2, "--no-sam")
    free = ("run", photos, "--out", tmp_path / "free", "--commercial", "--teacher-assistant")
    nvidia = "nvidia/segformer-b5-finetuned-cityscapes-1024-1024"
    one_line(goodsam(*free, nvidia), 2, f"TA {nvidia}: NVIDIA Source Code", "take another")
    assert not list((tmp_path / "free").glob("masks*"))
    (tmp_path / "map.yaml").write_text("way: [rode]")
    mapped = ("run", photos, "--out", out, "--no-sam", "--classes", tmp_path / "map.yaml")
    one_line(goodsam(*mapped), 2, "'rode'", "did you mean 'road'")
    shutil.copytree(photos, tmp_path / "damaged")
    (first, *_) = sorted((tmp_path / "damaged").rglob("*.png"))
    first.write_bytes(first.read_bytes()[:3000])
    one_line(goodsam("run", tmp_path / "damaged", "--out", out), 2, first.name, "remove it")
    Image.fromarray(np.zeros((90, 100, 3), np.uint8)).save(first)
    one_line(goodsam("run", tmp_path / "damaged", "--out", out), 2, "100 x 90", "2:1")
    assert (tmp_path / "file").read_text() == "mine"
    assert not list(out.glob("masks*"))


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A whole run without SAM, and its folder."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, run(photos, out, sam="none", settings=["steps=2"], device="cpu", commercial=True)


def contents(out):
    """What the stages wrote; not what stands beside it."""
    kept = ("student", "model", "report", "index", "cells", "checkpoints")
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in out.rglob("*")
        if path.is_file() and set(path.relative_to(out).parts) & set(kept)
    }


def test_every_stage_leaves_what_it_makes(whole):
    out, done = whole
    assert done.run.student.is_dir()
    assert done.result.miou is None
    assert "No labels" in done.result.to_markdown()
    assert done.report.is_file()
    assert gs.load(done.model).geometry == gs.load(out).geometry
    card = (done.model / "README.md").read_text()
    assert "masks by SAM" not in card
    assert "adapted to 2 panoramas" in card
    assert "license: apache-2.0\n" in card  # of TA and student; there is no SAM
    log = (out / "train.log").read_text().splitlines()
    assert "what is trained from them is under: Apache-2.0" in log[2]
    config = done.run.config
    assert (config.step.fusion.rule, config.step.weights.teacher_boundary) == ("none", 0)
    page = done.preview.read_text()
    assert "No SAM" in page
    assert "Ensemble" not in page


def test_called_again_nothing_is_made_again(whole, photos, monkeypatch):
    out, _ = whole
    before = contents(out)
    for verb in ("cache_sam", "train", "evaluate", "export", "check"):
        monkeypatch.setattr(f"goodsam.pipeline.api.{verb}", None)
    again = run(photos, out)  # what was chosen is remembered
    assert again.run is not None
    assert again.result is None
    assert again.price.seconds == 0
    assert str(again.price).startswith("nothing")
    assert contents(out) == before


def test_labels_that_came_later_are_scored_by(whole, photos, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    truth = tmp_path / "truth"
    for sample in find_panoramas(photos):
        path = (truth / sample.name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(sample.image) as image:
            Image.fromarray(np.zeros(image.size[::-1], np.uint8)).save(path)
    done = run(photos, out, labels=truth)
    assert done.result.miou is not None
    assert [stage.name for stage in done.price.stages if stage.count] == ["evaluation"]
    assert "No evaluation with labels" not in (out / "model/README.md").read_text()
    for path in truth.rglob("*.png"):  # the same folder, corrected
        with Image.open(path) as image:
            Image.fromarray(np.full(image.size[::-1], 2, np.uint8)).save(path)
    again = run(photos, out, labels=truth)
    assert again.result is not None
    assert again.result.record["per_class"].keys() == done.result.record["per_class"].keys()
    assert again.result.record["per_class"]["road"] is None


def test_other_masks_than_those_trained_on_are_refused(whole, photos):
    out, _ = whole
    with pytest.raises(gs.InputError, match="masks-none"):
        run(photos, out, sam="street")
    assert read_recipe(out / "recipe.json").sam == "none"


def test_who_is_asked_and_says_no_has_a_preview(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("goodsam.pipeline.whole.run.ASK_FROM", 0.0)
    asked, told = [], []

    def no(price):
        asked.append(price.seconds)
        told.append(capsys.readouterr().err)
        return False

    done = run(photos, tmp_path / "out", sam="none", settings=["steps=2"], agree=no)
    assert done.run is None
    assert asked[0] > 0
    assert "what is trained from them is under: Apache-2.0" in told[0]
    assert done.preview.is_file()
    assert not (tmp_path / "out" / "student").exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.attack("kills")
def test_three_photographs_killed_and_called_again(tmp_path):
    """Rendered photographs with labels, by the demo's networks and its SAM."""
    write_world(tmp_path, source=0, unlabelled=0, test=3, seed=8, height=64)
    photos = tmp_path / "test"
    command = [
        *(sys.executable, "-m", "goodsam", "run", str(photos), "--out", str(tmp_path / "out")),
        *("--set", "steps=6", "--set", "checkpoint_every=2", "--device", "cpu"),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = tmp_path / "out"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("checkpoints/step_*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "student").exists()
    before = contents(out)
    page = (out / "preview.html").stat().st_mtime_ns

    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "all 3 are there" in done.stderr
    assert "Pixel accuracy" in done.stdout
    masks = {path: mark for path, mark in before.items() if "checkpoints" not in path.parts}
    assert masks
    assert {path: contents(out).get(path) for path in masks} == masks
    assert (out / "preview.html").stat().st_mtime_ns == page
    rows = (out / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(row)["step"] for row in rows]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert gs.load(out / "model").names == gs.load("street-student").names
    assert (out / "report" / "report.html").is_file()
