"""A setting that makes no sense is refused before any work, whichever setting it is."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
from importlib.util import find_spec
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from goodsam import stages
from goodsam.data.errors import InputError
from goodsam.data.geometry import Pose
from goodsam.data.panoramas import Sample
from goodsam.data.street.write import write_world
from goodsam.data.windows import Windows
from goodsam.pipeline.config import build
from goodsam.stages.adapt.beyond.view import ViewConfig
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.step import LossWeights, StepConfig
from goodsam.stages.predict import predict
from goodsam.stages.sam.cache_sam import Stage1Config
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.source import SourceConfig
from goodsam.stages.street_sam.train import PretrainConfig

pytestmark = pytest.mark.attack("settings")

KINDS = (
    *(AdaptConfig, StepConfig, LossWeights, FusionConfig, ViewConfig),
    *(SourceConfig, GeneratorConfig, Stage1Config, PretrainConfig, Pose, Windows),
)
WITHOUT_DEFAULT = {
    AdaptConfig: {"teacher_assistant": "a", "student": "b"},
    Windows: {"height": 400, "width": 2048, "window": 512, "stride": 256},
}
HUGE = 2**63  # more than any library takes for a number of things


def nonsense(kind, hint):
    """Values that a setting of this type can be given, and none can mean."""
    whole = [-1, -(10**12)] + [HUGE] * (kind is not Windows)  # the format bounds these by itself
    real = [math.nan, math.inf, -math.inf] + [-1.0] * (kind is not Pose)
    if hint in (int, int | None):
        return whole
    if hint in (float, float | None):
        return real
    if "tuple" in str(hint) and "float" in str(hint):
        return [pair for value in real for pair in ((value, 1.0), (1.0, value))]
    if "tuple" in str(hint) and "int" in str(hint):
        return [pair for value in whole for pair in ((value, 1), (1, value))]
    return []


CASES = [
    (kind, name, value)
    for kind in KINDS
    for name, hint in get_type_hints(kind).items()
    for value in nonsense(kind, hint)
]


@pytest.mark.parametrize(
    ("kind", "name", "value"), CASES, ids=[f"{k.__name__}-{n}-{v}" for k, n, v in CASES]
)
def test_every_number_has_a_range(kind, name, value):
    sound = build(kind, WITHOUT_DEFAULT.get(kind, {}))  # the defaults are inside theirs
    with pytest.raises(InputError, match=name):
        dataclasses.replace(sound, **{name: value})


def test_no_configuration_is_left_out():
    for module in pkgutil.walk_packages(stages.__path__, "goodsam.stages."):
        if module.name.endswith("norm_kernel") and find_spec("triton") is None:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.endswith("Config") and getattr(value, "__module__", "") == module.name:
                assert value in KINDS


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((AdaptConfig, n) for n in ("steps", "accumulate", "checkpoint_every", "teacher_lr")),
        *((SourceConfig, n) for n in ("steps", "crop", "checkpoint_every", "class_balance")),
        *((GeneratorConfig, n) for n in ("points_per_side", "points_per_batch")),
        *((Stage1Config, n) for n in ("window", "stride", "height", "width")),
        (StepConfig, "confident"),
        (ViewConfig, "windows"),
        (PretrainConfig, "steps"),
    ],
)
def test_nothing_is_not_enough(kind, name):
    sound = build(kind, WITHOUT_DEFAULT.get(kind, {}))
    value = (0, 0) if isinstance(getattr(sound, name), tuple) else 0
    with pytest.raises(InputError, match=name):
        dataclasses.replace(sound, **{name: value})


@pytest.mark.parametrize(("kind", "name"), [(FusionConfig, "medium"), (SourceConfig, "scale")])
def test_the_smaller_bound_comes_first(kind, name):
    with pytest.raises(InputError, match=name):
        kind(**{name: (2, 1)})


WORLD = {"source": 1, "unlabelled": 0, "test": 0, "seed": 0, "height": 32, "gap": 0.5}


@pytest.mark.parametrize("name", WORLD)
@pytest.mark.parametrize("value", [-1, HUGE, math.nan])
def test_numbers_of_a_world(tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name} "):
        write_world(tmp_path / "w", **{**WORLD, name: value})
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("batch", [0, -1])
def test_images_seen_together(tmp_path, batch):
    with pytest.raises(InputError, match="batch"):
        predict(None, [], tmp_path / "p", lambda name: None, batch=batch)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("radius", [-1, HUGE])
def test_the_radius_of_the_boundary_score(radius):
    sample = Sample("a.png", Path("a.png"), Path("labels.png"))
    with pytest.raises(InputError, match="boundary_radius"):
        evaluate(lambda image: np.zeros(image.shape[:2]), [sample], boundary_radius=radius)


OPTIONS = {
    "world w --height 32 --source 1 --test 0 --unlabelled 0": ["--gap nan", "--gap 2"],
    "cache-sam i x.zarr --sam street": [
        *("--window 0", "--window -5", "--stride 0", "--pitch nan --fit", "--roll inf --fit"),
        *("--pred-iou-thresh nan", "--pred-iou-thresh -1", "--stability-score-thresh -1"),
        *("--points-per-side 100000", "--workers 100000"),
    ],
    "train i c.zarr --preset demo --teacher-assistant model --student model --out r": [
        *("--seed -1", "--set steps=-1", "--set accumulate=0", "--set checkpoint_every=0"),
        *("--set teacher_lr=.nan", "--set step.weights.consistency=.inf", "--set clip=0"),
    ],
    "predict model i p": ["--pitch nan --fit", "--roll 181 --fit", "--batch 0"],
    "eval model i --out e": ["--pitch inf --fit", "--boundary-radius 33"],
    "ablate table3 --out a --masks degraded": ["--quality nan"],
    "demo --out d": ["--seed -1", "--steps 0"],
    "frames none.mp4 f": ["--every nan", "--every inf", "--every -1"],
}
LINES = [(line, option) for line, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("line", "option"), LINES)
def test_options_of_the_command(here, goodsam, line, option):
    before = sorted(here.rglob("*"))
    status, _, err = goodsam(*line.split(), *option.split())
    assert status == 2, err
    assert "Traceback" not in err
    name = option.removeprefix("--set ").split()[0].partition("=")[0].strip("-")
    assert name.replace("-", "_") in err.replace("-", "_")
    assert sorted(here.rglob("*")) == before
