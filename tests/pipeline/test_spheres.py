"""A 2:1 photograph, from the command to its labels, without a word about its geometry."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import find_panoramas, read_image
from goodsam.data.street.picture import sphere
from goodsam.data.street.write import write_world
from goodsam.data.weights import SEGFORMERS
from goodsam.data.windows import Windows
from goodsam.pipeline import api
from goodsam.stages.score.area import row_areas


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spheres")
    Image.fromarray(sphere(5, 96).image).save(folder / "a.png")
    return folder


def labels_of(out):
    return np.array(Image.open(out / "labels/a.png"))


def test_a_sphere_is_labelled_from_pole_to_pole_by_tangent_windows(photographs, goodsam, tmp_path):
    status, _, said = goodsam("predict", "street-student", photographs, tmp_path / "auto")
    assert status == 0
    assert "tangent windows" in said
    labels = labels_of(tmp_path / "auto")
    assert labels.shape == (96, 192)
    assert (labels < 19).all()
    model = api.load("street-student", device="cpu")
    image = np.array(Image.open(photographs / "a.png"))
    assert (labels == model.over_sphere("tangent")(image)).all()
    api.predict(model, photographs, tmp_path / "own", plan="own")
    assert (labels_of(tmp_path / "own") == model(image)).all()
    api.predict(model, photographs, tmp_path / "vertical", plan="vertical")
    assert (labels_of(tmp_path / "vertical") == model.over_sphere("vertical")(image)).all()


def test_a_network_that_was_told_how_to_see_is_left_to_it(photographs, goodsam, tmp_path):
    fitting = ["street-student", photographs, "--fit", "--height", 64]
    status, _, said = goodsam("predict", *fitting[:2], tmp_path / "band", *fitting[2:])
    assert status == 0
    assert "--plan tangent labels them from pole to pole" in said
    assert (labels_of(tmp_path / "band")[0] == 255).all()
    asked = goodsam("predict", *fitting[:2], tmp_path / "all", *fitting[2:], "--plan", "tangent")
    assert asked[0] == 0
    assert (labels_of(tmp_path / "all") < 19).all()
    _, _, said = goodsam("predict", *fitting[:2], tmp_path / "windows", "--windows")
    assert "plan" not in said


def test_other_photographs_among_them_are_seen_as_ever(photographs, goodsam, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.fromarray(sphere(5, 96).image).save(folder / "a.png")
    Image.fromarray(sphere(5, 96).image[30:66]).save(folder / "b.png")
    (folder / "c.png").write_bytes(b"no image")
    status, _, said = goodsam("predict", "street-student", folder, tmp_path / "out")
    assert status == 1  # c.png
    assert "tangent" not in said
    summary = api.predict("street-student", folder, tmp_path / "asked", plan="tangent")
    assert summary.done == ["a.png"]
    assert "no 2:1 sphere" in summary.failed["b.png"]
    with pytest.raises(InputError, match="plan 'cube': use auto, own, vertical, tangent"):
        api.predict("street-student", folder, tmp_path / "asked", plan="cube")


def test_eval_sees_spheres_by_a_plan_and_counts_by_area(goodsam, tmp_path):
    world, out = tmp_path / "world", tmp_path / "out"
    write_world(world, source=0, unlabelled=0, test=1, seed=2, height=40, whole=True)
    asked = ("eval", "street-student", world / "test", "--plan", "tangent", "--by-area", "--json")
    status, printed, _ = goodsam(*asked, "--out", out)
    assert status == 0
    record = json.loads(printed)
    assert record["mode"] == "tangent"
    assert "counts by its area on the sphere" in (out / "eval.md").read_text()
    assert "counts by its area on the sphere" in (out / "report.html").read_text()
    assert "counted_percent" not in record
    (sample,) = find_panoramas(world / "test")
    labels = api.load("street-student").over_sphere("tangent")(read_image(sample.image))
    truth = np.array(Image.open(sample.labels))
    known = (truth < 255) * row_areas(len(truth))[:, None]
    right = 100 * ((labels == truth) * known).sum() / known.sum()
    assert record["pixel_accuracy"] == pytest.approx(right)
    assert np.sum(record["confusion"]) == pytest.approx(known.sum())

    api.predict("street-student", world / "test", tmp_path / "maps", plan="tangent")
    maps = ("eval", "--predictions", tmp_path / "maps", world / "test", "--by-area", "--json")
    status, printed, _ = goodsam(*maps, "--out", tmp_path / "of maps")
    assert (status, json.loads(printed)["miou"]) == (0, record["miou"])
    status, _, said = goodsam(*maps[:-2], "--plan", "tangent", "--out", tmp_path / "x")
    assert status == 2
    assert "label maps are scored as they are" in said


def test_areas_are_those_of_labelled_spheres(photographs, goodsam, tmp_path):
    asked = ("eval", "street-student", photographs, "--by-area", "--out", tmp_path / "out")
    status, _, said = goodsam(*asked)
    assert status == 2
    assert "--by-area needs labels" in said
    world = tmp_path / "world"
    write_world(world, source=0, unlabelled=0, test=1, seed=2, height=40)
    status, _, said = goodsam(*asked[:2], world / "test", *asked[3:])
    assert status == 2
    assert "is no 2:1 sphere" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def band_run(tmp_path_factory):
    """A network whose run saw bands of 64 x 328 as they were."""
    folder = tmp_path_factory.mktemp("band") / "model"
    shutil.copytree(SEGFORMERS["street-student"], folder)
    config = json.loads((folder / "config.json").read_text())
    config["goodsam"] = {"geometry": Geometry(Windows.of(64, 328)).to_json(), "starts": []}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_other_proportions_than_the_run_saw_are_told(photographs, band_run, goodsam, tmp_path):
    status, _, said = goodsam("predict", band_run, photographs, tmp_path / "as it is")
    assert status == 0
    assert "1 of 1 photographs have other proportions" in said
    assert "--fit cuts the band" in said
    Image.fromarray(sphere(5, 96).image[:64]).resize((328, 64)).save(tmp_path / "band.png")
    _, _, said = goodsam("predict", band_run, tmp_path / "band.png", tmp_path / "out")
    assert "proportions" not in said


def test_such_a_run_fits_when_it_is_asked_to(photographs, band_run, goodsam, tmp_path):
    assert goodsam("predict", band_run, photographs, tmp_path / "out", "--fit")[0] == 0
    labels = labels_of(tmp_path / "out")
    assert (labels[0] == 255).all()
    assert (labels[48] < 19).all()
    asked = api.load(band_run, fit=True, device="cpu")
    assert asked.geometry == Geometry(Windows.of(64, 328), fit=True)
    with pytest.raises(InputError, match="leave --fit, --height"):
        api.load(band_run, fit=True, height=96, device="cpu")


def test_windows_of_a_sphere_do_not_wrap(photographs, band_run, tmp_path):
    wrapping = api.load(band_run, wrap=True, device="cpu")
    with pytest.raises(InputError, match="--wrap: windows run over the seam"):
        api.predict(wrapping, photographs, tmp_path / "out", plan="tangent")
