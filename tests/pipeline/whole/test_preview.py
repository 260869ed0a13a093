"""What the preview counts, shows and keeps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import goodsam.pipeline.whole.preview as looking
import goodsam.pipeline.whole.run as room
from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.pipeline.whole.machine import Machine
from goodsam.pipeline.whole.preview import Seen, measured, spread
from goodsam.pipeline.whole.price import Price, Stage, Step
from goodsam.pipeline.whole.recipe import choose
from goodsam.pipeline.whole.run import run
from goodsam.stages.sam.registry import SAMS
from tests.pipeline.whole.conftest import FEW_POINTS

NAMES = ("road", "car", "sky")


def seen(seed):
    rng = np.random.default_rng(seed)
    size = (5, 7)
    labels = {who: rng.integers(0, 2, size).astype(np.uint8) for who in ("teacher", "student")}
    fused = np.where(rng.random(size) < 0.2, 255, rng.integers(0, 2, size)).astype(np.uint8)
    return Seen("a", np.zeros((*size, 3), np.uint8), (), fused=fused, **labels,
                confidence=rng.random(size).astype(np.float32))  # fmt: skip


def test_measured_is_counted_pixel_by_pixel():
    both = [seen(0), seen(1)]
    agreed, confidence, count = {}, {}, {}
    total = followed = 0
    shares = {who: dict.fromkeys(range(3), 0) for who in ("teacher", "student")}
    for one in both:
        for row in range(5):
            for column in range(7):
                label = int(one.fused[row, column])
                if label == 255:
                    continue
                total += 1
                count[label] = count.get(label, 0) + 1
                same = one.teacher[row, column] == label
                agreed[label] = agreed.get(label, 0) + same
                confidence[label] = confidence.get(label, 0) + one.confidence[row, column]
                followed += one.student[row, column] == label
                for who, classes in shares.items():
                    classes[int(getattr(one, who)[row, column])] += 1
    found = measured(both, NAMES)
    assert found["agreement"] == pytest.approx(100 * sum(agreed.values()) / total)
    assert found["confidence"] == pytest.approx(100 * sum(confidence.values()) / total)
    assert found["student_agreement"] == pytest.approx(100 * followed / total)
    for label in (0, 1):
        row = found["classes"][NAMES[label]]
        assert row["agreement"] == pytest.approx(100 * agreed[label] / count[label])
        assert row["confidence"] == pytest.approx(100 * confidence[label] / count[label])
        assert row["ensemble"] == pytest.approx(100 * count[label] / total)
        assert row["teacher_assistant"] == pytest.approx(100 * shares["teacher"][label] / total)
        assert row["student"] == pytest.approx(100 * shares["student"][label] / total)
    assert found["classes"]["sky"]["agreement"] is None


def test_the_samples_are_spread(photos):
    samples = find_panoramas(photos)
    assert spread(samples) == samples
    assert spread(samples * 50, 2) == [samples[1], samples[1]]


@pytest.fixture(scope="module")
def previewed(photos, tmp_path_factory):
    """The folder of a preview, and what `run` gave."""
    out = tmp_path_factory.mktemp("previewed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SAMS, "street", FEW_POINTS)
        return out, run(photos, out, preview_only=True, device="cpu", settings=["steps=5"])


def test_the_page_is_one_file_with_every_picture(previewed):
    out, done = previewed
    page = done.preview.read_text()
    assert page.count("data:image/") == 2 * 6
    assert 'src="http' not in page
    for word in ("Ensemble", "Untouched student", "SAM&#39;s masks", "Confidence", "--no-sam"):
        assert word in page
    assert done.run is None
    assert not (out / "checkpoints").exists()


def test_the_price_is_of_what_is_left(previewed):
    _, done = previewed
    masks, training, evaluation = done.price.stages
    assert masks.count == 0  # the preview has made them all
    assert (training.count, training.of) == (5, "step")
    assert training.each > 0
    assert evaluation.count == 2
    assert done.price.seconds == pytest.approx(training.seconds + evaluation.seconds)
    assert done.price.memory > 2**27
    assert done.price.disk > 50 * 2**20  # checkpoints of the demo's networks


def test_a_preview_that_is_there_is_not_made_again(previewed, photos, monkeypatch):
    out, _ = previewed

    def never(*arguments, **named):
        raise AssertionError

    for name in ("preview", "try_step"):
        monkeypatch.setattr(room, name, never)
    monkeypatch.setattr(room.api, "check", never)
    again = run(photos, out, preview_only=True)
    assert again.preview.is_file()
    kept = json.loads((out / "preview.json").read_text())["seen"]
    assert kept["panoramas"] == [sample.name for sample in find_panoramas(photos)]
    assert 0 < kept["confidence"] <= 100
    with pytest.raises(AssertionError):  # another recipe, another preview
        run(photos, out, preview_only=True, settings=["steps=6"])


def test_what_speaks_against_going_on_is_said(photos, tmp_path):
    Image.fromarray(np.zeros((64, 328, 3), np.uint8)).save(tmp_path / "mine.png")
    mine, street = find_panoramas(tmp_path), find_panoramas(photos)
    machine = Machine("cpu", False, 2**30, 2, 2, True)
    fine, small = Step(1.0, 2**20, 1, 2, 3, ""), Step(1.0, 2**30, 2, 1, 3, "the TA is small")

    def said(samples, step=fine, covered=90.0, machine=machine, **given):
        recipe = choose(samples, machine, {"preset": "demo", **given})
        return " ".join(room._warnings(samples, machine, recipe, {"covered": covered}, step))

    assert said(street) == ""
    assert "mean nothing" in said(mine, sam="street")
    assert "No SAM" in said(street, sam="none")
    assert "cover 12 %" in said(street, covered=12.0)
    assert "The TA is small." in said(street, step=small)
    assert "of the 1.0 GiB of memory" in said(street, step=small)
    assert "busy" in said(street, machine=replace(machine, load=9.0))


def test_a_disk_that_is_too_small_is_said_at_the_door(tmp_path):
    stages = (Stage("training", 3, "step", 2.0, 5e9), Stage("evaluation", 2, "panorama", 1.0))
    Price(stages, 2**30, 6 * 10**9).check_room(tmp_path)
    with pytest.raises(InputError, match=r"needs 4\.9 GiB and 4\.8 GiB are free; choose"):
        Price(stages, 2**30, int(5.2e9)).check_room(tmp_path)
    words = str(Price(stages, 2**30, 6 * 10**9))
    assert words.startswith("8.0 s on this machine (training 6.0 s, evaluation 2.0 s), 4.7 GiB")


def test_a_slow_sam_shows_fewer_panoramas(photos, tmp_path, monkeypatch):
    samples = find_panoramas(photos)
    recipe = choose(samples, Machine("cpu", False, 2**30, 2, 2, True), {"sam": "none"})
    monkeypatch.setattr(looking, "SECONDS", 1e-9)
    done, seconds = looking._masks(photos, samples, tmp_path / "slow.zarr", recipe)
    assert done == samples[:1]
    assert seconds > 0
    monkeypatch.setattr(looking, "SECONDS", 3600)
    done, again = looking._masks(photos, samples, tmp_path / "slow.zarr", recipe)
    assert done == samples
    assert again > 0
    assert looking._masks(photos, samples, tmp_path / "slow.zarr", recipe) == (samples, 0)
