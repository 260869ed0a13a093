"""Pseudo labels as a verb and a command: of what is given, by any rule, scored like any other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.panoramas import file_hash, find_panoramas, read_image
from goodsam.data.street.write import write_world
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.pipeline import api
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.rundir import open_run
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.score.ensemble import ensemble_labels, ensemble_scores

WINDOWS = Windows.of(64, 328)
TA = "street-ta"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of three labelled panoramas, and a cache of blocks as masks for them."""
    root = tmp_path_factory.mktemp("world")
    write_world(root, source=0, unlabelled=0, test=3, seed=3, height=64)
    (first, *_) = find_panoramas(root / "test")
    images = first.image.parent
    samples = find_panoramas(images, first.labels.parent)
    hashes = {sample.name: file_hash(sample.image) for sample in samples}
    identity = Identity("0" * 64, {}, "windows", WINDOWS, False)
    cache = SamCache.create(root / "c.zarr", identity, hashes, {})
    rng = np.random.default_rng(0)
    for name in hashes:
        windows = []
        for _ in WINDOWS.starts:
            masks = np.zeros((6, 64, 82), bool)
            for mask in masks:
                y, x = rng.integers(0, 44), rng.integers(0, 50)
                mask[y : y + 20, x : x + 32] = True
            windows.append(WindowMasks.of(masks, np.ones(6), np.ones(6)))
        cache.write(
            name, PanoramaMasks(tuple(windows), tuple(overlap_boundaries(windows, WINDOWS)))
        )
    return images, cache, samples


def maps(out):
    """The label maps in a folder, by name."""
    return {path.stem: np.asarray(Image.open(path)) for path in (out / "labels").rglob("*.png")}


def test_a_list_and_one_image_are_labelled_alone(world, tmp_path, goodsam):
    images, cache, samples = world
    whole = api.label(images, cache, tmp_path / "all", teacher_assistant=TA, device="cpu")
    assert whole.done == [sample.name for sample in samples]
    two = images / "two.txt"
    two.write_text("\n".join(sample.name for sample in samples[:2]))
    for given, count in ((two, 2), (samples[2].image, 1)):
        out = tmp_path / str(count)
        status, said, err = goodsam("label", given, cache.path, "--out", out,
                                    "--teacher-assistant", TA)  # fmt: skip
        assert (status, said) == (0, f"{out}: {count} written, 0 already there, 0 failed\n"), err
        for stem, labels in maps(out).items():
            assert (labels == maps(tmp_path / "all")[stem]).all()
    assert open_run(two, cache.path, tmp_path / "run", adapt_config("demo")).names == [
        sample.name for sample in samples[:2]
    ]


def test_a_list_of_images_that_the_cache_lacks(world, tmp_path, goodsam):
    images, cache, samples = world
    picture = images / "strange.png"
    picture.write_bytes(samples[0].image.read_bytes())
    given = images / "strange.txt"
    given.write_text(f"strange.png\n{samples[1].name}\n")
    arguments = ("label", given, cache.path, "--out", tmp_path / "o", "--teacher-assistant", TA)
    status, _, err = goodsam(*arguments)
    assert status == 2
    assert err.startswith(f"goodsam: {given}: the cache holds no strange.png; put a list into")
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()
    assert goodsam(*arguments, "--partial")[0] == 0
    assert len(maps(tmp_path / "o")) == 1
    picture.unlink()


@pytest.mark.parametrize(
    ("options", "fusion"),
    [
        ([], FusionConfig()),
        (["--rule", "sepl"], FusionConfig("sepl")),
        (["--preset", "street-robust"],
         FusionConfig("ssa", votes="soft", small_share=0.2, sure=0.9)),
        (["--preset", "street-robust", "--rule", "ctcf"],
         FusionConfig("ctcf", votes="soft", small_share=0.2, sure=0.9)),
        (["--rule", "ssa", "--set", "step.fusion.votes=surest"],
         FusionConfig("ssa", votes="surest")),
    ],
)  # fmt: skip
def test_any_rule_by_options_and_its_score(world, tmp_path, goodsam, options, fusion):
    images, cache, samples = world
    out = tmp_path / "o"
    status, _, err = goodsam("label", images, cache.path, "--out", out, "--no-overlays",
                             "--teacher-assistant", TA, *options)  # fmt: skip
    assert status == 0, err
    teacher = api.load(TA, device="cpu")
    for sample in samples:
        expected = ensemble_labels(teacher, read_image(sample.image), cache, sample.name, fusion)
        assert (maps(out)[sample.image.stem] == expected).all()
    truth = samples[0].labels.parent
    status, said, err = goodsam("eval", images, "--labels", truth, "--predictions", out,
                                "--out", tmp_path / "e", "--json")  # fmt: skip
    assert status == 0, err
    found = json.loads(said)["miou"]
    assert found == pytest.approx(ensemble_scores(teacher, samples, cache, fusion).miou)
