"""A run on whole spheres: what it writes knows the plan, and whoever uses it need not say it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import goodsam as gs
from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import to_band
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.windows import Windows
from goodsam.pipeline.scoring import find_peers
from goodsam.stages.export.card import model_card
from goodsam.stages.export.views import rendered_views
from goodsam.stages.export.web import facts, fitting
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.segmenter import Segmenter
from tests.stages.adapt.small import config_for, decided
from tests.stages.sam.conftest import Thresholds

SIZE = (128, 256)  # tangent windows of 80 px


def picture(seed, size):
    noise = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.fixture(scope="module", params=["tangent", "vertical"])
def plan(request):
    return request.param


@pytest.fixture(scope="module")
def world(tmp_path_factory, plan):
    """Two spheres, their cache and a run of two steps; `others/`: spheres of other sizes."""
    root = tmp_path_factory.mktemp(plan)
    for folder, sizes in (("photos", (SIZE, SIZE)), ("others", ((150, 300), (64, 128)))):
        (root / folder).mkdir()
        for number, size in enumerate(sizes):
            picture(number, size).save(root / folder / f"{number}.png")
    for seed, network in enumerate(("teacher", "student")):
        save_segformer(decided("w16", seed), root / network)
    config = Stage1Config(plan="auto" if plan == "tangent" else plan, boundaries="windows")
    cache_sam(root / "photos", root / "c.zarr", config, Thresholds())
    settings = config_for(root, steps=2)
    gs.train(root / "photos", root / "c.zarr", root / "run", preset=settings)
    return root


def labels_of(folder, name):
    return np.array(Image.open(folder / "labels" / name))


def test_each_network_carries_the_plan(world, plan):
    geometry = SamCache.open(world / "c.zarr").identity.geometry
    assert geometry.plan == plan
    for network in ("student", "teacher_assistant"):
        said = json.loads((world / "run" / network / "config.json").read_text())["goodsam"]
        assert said["geometry"]["windows"]["plan"] == plan
        assert gs.load(world / "run", network=network, device="cpu").geometry == geometry
    assert gs.load(world / "run").geometry.windows == (
        TangentWindows(*SIZE) if plan == "tangent" else VerticalWindows.of(*SIZE)
    )


def test_the_student_sees_a_sphere_as_one_picture_and_labels_it_from_pole_to_pole(
    world, goodsam, tmp_path
):
    for folder in ("photos", "others"):
        assert goodsam("predict", world / "run", world / folder, tmp_path / folder)[0] == 0
    student = gs.load(world / "run", device="cpu")
    assert (student.mode, student.wrap) == ("direct", False)
    image = np.array(Image.open(world / "photos" / "0.png"))
    labels = labels_of(tmp_path / "photos", "0.png")
    np.testing.assert_array_equal(labels, student.classes(image[None])[0])
    for name, size in (("0.png", (150, 300)), ("1.png", (64, 128))):
        labels = labels_of(tmp_path / "others", name)
        assert labels.shape == size
        assert (labels < 3).all()
    image = np.array(Image.open(world / "others" / "0.png"))
    np.testing.assert_array_equal(student.view(image), to_band(image, *SIZE))


def test_windows_and_plans_are_still_to_be_had(world, plan, tmp_path):
    image = np.array(Image.open(world / "photos" / "0.png"))
    own = gs.load(world / "run", by_windows=True, device="cpu")
    assert own._plan(image) == own.geometry.windows
    student = gs.load(world / "run", device="cpu")
    np.testing.assert_array_equal(own(image), student.over_sphere(plan)(image))
    assert (own(image) != student(image)).any()
    gs.predict(student, world / "photos", tmp_path, plan=plan)
    np.testing.assert_array_equal(labels_of(tmp_path, "0.png"), own(image))
    assert 0 < own.window_agreement(image) <= 100
    assert len(own.window_labels(image)) == len(own.geometry.windows)
    wrapped = gs.load(world / "run", wrap=True, device="cpu")
    assert wrapped(image).shape == SIZE
    for options in ({"fit": True}, {"height": 64}, {"pitch": 3.0}):
        with pytest.raises(InputError, match="--plan"):
            gs.load(world / "run", **options)
    with pytest.raises(InputError, match="was trained on"):
        Segmenter.load(world / "run", windows=Windows.of(*SIZE))


def test_the_ta_sees_by_its_windows(world, plan):
    loaded = gs.load(world / "run", network="teacher_assistant", device="cpu")
    assert loaded.mode == "windows"
    image = np.array(Image.open(world / "photos" / "0.png"))
    assert loaded._plan(image) == loaded.geometry.windows
    direct = Segmenter.load(world / "run", "teacher_assistant", "direct", device="cpu")
    assert (loaded(image) != direct(image)).any()
    with pytest.raises(InputError, match="--wrap"):
        gs.load(world / "run", network="teacher_assistant", wrap=True)
    peers = find_peers(gs.load(world / "run", device="cpu"))
    assert peers.teacher is not None
    assert peers.teacher.mode == "windows"


def test_photographs_that_are_no_spheres_fail_alone(world, goodsam, tmp_path):
    (tmp_path / "mixed").mkdir()
    picture(0, SIZE).save(tmp_path / "mixed" / "a.png")
    picture(0, (40, 205)).save(tmp_path / "mixed" / "b.png")
    status, _, said = goodsam("predict", world / "run", tmp_path / "mixed", tmp_path / "out")
    assert status == 1
    assert "205 x 40 is neither a 2:1 panorama" in said
    assert (tmp_path / "out" / "labels" / "a.png").is_file()


def test_pseudo_labels_cover_the_sphere(world, goodsam, tmp_path):
    for folder, more in (("photos", ()), ("again", ("--rule", "none"))):
        status, _, _ = goodsam(
            "label",
            world / "photos",
            world / "c.zarr",
            *("--out", tmp_path / folder, "--teacher-assistant", world / "teacher", *more),
        )
        assert status == 0
        assert (labels_of(tmp_path / folder, "0.png") < 3).all()
    fused, alone = (labels_of(tmp_path / folder, "0.png") for folder in ("photos", "again"))
    assert (fused != alone).any()
    teacher = Segmenter.load(world / "teacher", device="cpu")
    windows = SamCache.open(world / "c.zarr").identity.windows
    image = np.array(Image.open(world / "photos" / "0.png"))
    own = np.concatenate([teacher.classes(cut[None]) for cut in windows.cut_images(image)])
    same = (windows.join_labels(own) == alone).mean()
    assert same > 0.99  # the TA's pictures are rounded to bytes here, and not there


def test_it_is_scored_and_shown(world, goodsam, tmp_path):
    status, _, _ = goodsam("eval", world / "run", world / "photos", "--out", tmp_path)
    assert status == 0
    record = json.loads((tmp_path / "eval.json").read_text())
    assert record["geometry"]["windows"]["plan"] in ("tangent", "vertical")
    assert "data-aspect='2.000000'" in (tmp_path / "report.html").read_text()


def test_a_folder_for_transformers_carries_it(world, plan, tmp_path):
    gs.export(world / "run", tmp_path / "student")
    back = gs.load(tmp_path / "student", device="cpu")
    assert back.geometry == gs.load(world / "run").geometry
    card = (tmp_path / "student" / "README.md").read_text()
    assert f"| windows | {plan}: " in card
    assert "360° x 180.0°, 256 x 128 px" in card
    assert "a whole 2:1 panorama" in card
    assert "the band" not in card
    teacher = gs.load(world / "run", network="teacher_assistant", device="cpu")
    gs.export(teacher, tmp_path / "ta")
    assert gs.load(tmp_path / "ta").geometry == back.geometry
    assert str(back.geometry) in model_card(teacher, ())


def test_other_formats_see_spheres_whole_or_are_refused(world, plan, tmp_path):
    student = gs.load(world / "run", device="cpu")
    assert [view.image.shape[:2] for view in rendered_views(student, 1)] == [SIZE]
    assert facts(fitting(student))["view"] == list(SIZE)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import onnx

    gs.export(student, tmp_path / "s.onnx")
    said = {p.key: p.value for p in onnx.load(tmp_path / "s.onnx").metadata_props}
    assert json.loads(said["geometry"])["windows"]["plan"] == plan
    teacher = gs.load(world / "run", network="teacher_assistant", device="cpu")
    for model in (teacher, student.over_sphere("tangent")):
        for format in ("onnx", "web"):
            with pytest.raises(InputError, match="sees panoramas whole"):
                gs.export(model, tmp_path / "no", format=format)
