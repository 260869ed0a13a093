"""What is chosen for a machine and for photographs, and that what the user gives is taken."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.pipeline.whole import recipe as room
from goodsam.pipeline.whole.machine import Machine
from goodsam.pipeline.whole.recipe import SWITCHES, Recipe, choose, read_recipe

CPU = Machine("cpu", False, 2**34, 2, 2, True)
GPU = Machine("a GPU", True, 2**36, 16, 16, True)


@pytest.fixture
def camera(tmp_path):
    """Photographs of 2:1, of no world of ours."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "camera").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(tmp_path / "camera" / name)
    return find_panoramas(tmp_path / "camera")


def there(monkeypatch, *names):
    monkeypatch.setattr(room, "is_here", lambda name: name in names)


def test_a_gpu_takes_the_papers(camera):
    found = choose(camera, GPU, {"plan": "band"})
    assert (found.sam, found.boundaries, found.points) == ("vit_h", "overlap", "grid")
    assert found.preset == "robust-m"
    assert "workers=0" not in found.settings


@pytest.mark.parametrize(
    ("here", "timm", "sam"),
    [
        (("vit_h", "vit_b"), True, "vit_b"),
        (("vit_h", "mobile_sam"), True, "mobile_sam"),
        (("vit_h", "mobile_sam"), False, "vit_h"),
        ((), True, "edgetam"),
        ((), False, "sam2.1-tiny"),
        (("sam3",), True, "sam3"),
        (("street",), False, "sam2.1-tiny"),
    ],
)
def test_a_cpu_takes_the_smallest_sam_that_is_there(camera, monkeypatch, here, timm, sam):
    there(monkeypatch, *here)
    monkeypatch.setattr(room, "find_spec", lambda name: timm or None)
    found = choose(camera, CPU, {"plan": "band"})
    assert (found.sam, found.boundaries, found.points) == (sam, "windows", "adaptive")
    assert ("downloaded" in found.reasons["sam"]) == (sam not in here)
    assert "workers=0" in found.settings


def test_each_choice_has_a_reason_and_a_switch(camera, monkeypatch):
    there(monkeypatch, "vit_b")
    rows = choose(camera, CPU, {"boundaries": "overlap", "plan": "band"}).rows()
    assert [row[0] for row in rows] == [each for each in SWITCHES if each != "classes"]
    for name, value, why, switch in rows:
        assert value
        assert why
        assert switch.startswith("--")
        assert (why == "yours") == (name in ("boundaries", "plan"))
    by_name = {row[0]: row[1] for row in rows}
    assert by_name["boundaries"] == "overlap"
    assert by_name["fit"] == "yes"


def test_pictures_of_the_street_world_take_its_networks(photos):
    found = choose(find_panoramas(photos), CPU, {})
    assert (found.sam, found.preset, found.fit, found.height) == (
        "street",
        "street-robust",
        False,
        None,
    )
    assert choose(find_panoramas(photos), GPU, {"sam": "vit_b"}).sam == "vit_b"


def test_photographs_are_fitted_where_they_must_be(camera, photos, monkeypatch):
    there(monkeypatch, "vit_b")
    band = {"plan": "band"}
    for given in (band, {"fit": True}):
        found = choose(camera, CPU, given)
        assert (found.plan, found.stage1["fit"], found.height) == ("band", True, 400)
    assert choose(camera, CPU, {**band, "sam": "street"}).height == 200
    assert choose(camera, CPU, {"height": 32}).plan == "band"
    assert choose([*camera, *find_panoramas(photos)], CPU, {}).fit
    assert choose(find_panoramas(photos), CPU, {"height": 32}).fit
    assert not choose(camera, CPU, {"fit": False}).fit


def test_whole_spheres_are_seen_whole(camera, monkeypatch):
    there(monkeypatch, "vit_b")
    for machine, points in ((CPU, "adaptive"), (GPU, "grid")):
        found = choose(camera, machine, {})
        assert (found.plan, found.boundaries, found.points) == ("tangent", "windows", points)
        assert (found.fit, found.height) == (True, 64)  # their own
        rows = {name: (value, why, switch) for name, value, why, switch in found.rows()}
        assert "fit" not in rows
        assert rows["plan"][0] == "tangent"
        assert "pole to pole" in rows["plan"][1]
        assert rows["plan"][2].startswith("--plan band")
    vertical = choose(camera, GPU, {"plan": "vertical", "height": 32})
    assert (vertical.boundaries, vertical.height) == ("overlap", 32)
    assert vertical.stage1.items() >= {"plan": "vertical", "fit": True, "height": 32}.items()
    none = choose(camera, CPU, {"sam": "none"})
    assert (none.plan, none.boundaries) == ("tangent", "windows")
    with pytest.raises(InputError, match=r"--no-fit: .* leave it out"):
        choose(camera, CPU, {"plan": "tangent", "fit": False})


def test_large_spheres_are_seen_smaller(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((600, 1200, 3), np.uint8)).save(tmp_path / name)
    assert choose(find_panoramas(tmp_path), CPU, {}).height == 512
    finer = choose(find_panoramas(tmp_path), CPU, {"plan": "tangent", "height": 600})
    assert (finer.plan, finer.height) == ("tangent", 600)


def test_without_sam_nothing_is_fused(camera):
    found = choose(camera, CPU, {"sam": "none", "settings": ("seed=3",)})
    assert found.config.step.fusion.rule == "none"
    assert found.config.step.weights.student_boundary == 0
    assert found.config.seed == 3
    assert "points" not in found.stage1
    assert "yours" in found.reasons["sam"]


def test_a_warm_up_is_no_longer_than_the_run(camera, monkeypatch):
    there(monkeypatch, "vit_b")
    assert choose(camera, CPU, {}).config.warmup == 2  # of 20 steps
    assert choose(camera, CPU, {"settings": ("warmup=7",)}).config.warmup == 7
    assert choose(camera, GPU, {"settings": ("steps=9000",)}).config.warmup == 500


def test_a_wrong_setting_is_said_at_once(camera):
    with pytest.raises(InputError, match="did you mean"):
        choose(camera, GPU, {"settings": ("warmpu=7",)})


def test_a_recipe_is_kept_as_it_is(camera, tmp_path):
    found = choose(camera, GPU, {"settings": ("seed=3",), "device": "cpu"})
    found.write(tmp_path / "recipe.json")
    assert read_recipe(tmp_path / "recipe.json") == found
    assert read_recipe(tmp_path / "nothing.json") is None
    values = found.to_json()
    del values["plan"]  # as it was kept before there were others
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    assert read_recipe(tmp_path / "recipe.json").plan == "band"
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json"):
        read_recipe(tmp_path / "recipe.json")


def test_other_masks_are_another_cache(camera):
    names = {
        choose(camera, GPU, given).masks
        for given in (
            {},
            {"sam": "facebook/sam2-hiera-tiny"},
            {"points": "adaptive"},
            {"height": 200},
            {"sam": "none"},
            {"plan": "vertical"},
            {"plan": "tangent", "height": 200},
        )
    }
    assert len(names) == 7
    assert not any("/" in name for name in names)


def test_every_switch_is_of_a_value():
    assert set(SWITCHES) <= {field.name for field in fields(Recipe)}
