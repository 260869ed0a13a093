"""Presets load, overrides land where they should, and a wrong name is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from goodsam.data.errors import InputError
from goodsam.pipeline.config import adapt_config, as_yaml, build, load_preset, preset_names
from goodsam.stages.adapt.beyond.view import ViewConfig
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.adapt.learner import AdaptConfig


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_builds_and_survives_yaml(name):
    config = adapt_config(name)
    assert build(AdaptConfig, yaml.safe_load(as_yaml(config))) == config


@pytest.mark.parametrize("name", ["goodsam-m", "goodsam-t", "goodsam-s"])
def test_the_papers_settings(name):
    config = adapt_config(name)
    step = config.step
    assert (step.alpha, step.lambda_) == (0.3, 0.2)
    assert (step.fusion.theta_medium, step.fusion.theta_other) == (0.7, 0.5)
    assert step.fusion.medium == (100, 1000)
    assert set(vars(replace(step.weights, anchor=1.0)).values()) == {1.0}
    # nothing that is not the paper's
    assert step.weights.anchor == 0
    assert step.fusion == FusionConfig()
    assert (step.confident, step.labels_mirrored) == (1.0, False)
    assert config.view == ViewConfig()
    assert config.labels == "live"
    assert (config.hold_shares, config.rare_weight, config.threshold) == (0, 0, 0)


@pytest.mark.parametrize("size", ["m", "t", "s"])
def test_the_robust_presets_are_one_recipe(size):
    robust, paper = adapt_config(f"robust-{size}"), adapt_config(f"goodsam-{size}")
    street = adapt_config("street-robust")
    assert (robust.teacher_assistant, robust.student) == (paper.teacher_assistant, paper.student)
    assert robust.step == street.step
    assert robust.view == street.view
    assert robust.labels == street.labels == "ema"


def test_overrides():
    config = adapt_config(
        "demo",
        ["step.weights.consistency=0", "teacher_lr=3.0e-6", "step.fusion.medium=[1, 2]"],
        student="mine",
        seed=None,
    )
    assert config.step.weights.consistency == 0
    assert config.teacher_lr == 3e-6
    assert config.step.fusion.medium == (1, 2)
    assert config.student == "mine"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("techer_lr=1", "did you mean teacher_lr"),
        ("step.weights.consistancy=1", "did you mean step.weights.consistency"),
        ("step.fusion.theta_mediun=1", "did you mean step.fusion.theta_medium"),
        ("theta_medium=1", "did you mean step.fusion.theta_medium"),
        ("fusion.rule=ssa", "did you mean step.fusion"),
        ("step.zzz=1", "step.zzz: there is none$"),
        ("step.fusion.rule=vote", "step.fusion.rule"),
        ("steps=many", "steps"),
        ("step.confident=2", "^step.confident 2.0: above 0, at most 1$"),
        ("steps", "key=value"),
        ("seed.x=1", "seed is a single value|seed"),
    ],
)
def test_wrong_overrides_are_answered(override, message):
    with pytest.raises(InputError, match=message):
        adapt_config("demo", [override])


def test_wrong_presets_are_answered(tmp_path):
    with pytest.raises(InputError, match="did you mean goodsam-m"):
        load_preset("goodsam-mm")
    with pytest.raises(InputError, match="no such preset"):
        load_preset(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="mapping"):
        load_preset(str(tmp_path / "list.yaml"))


def test_a_preset_changes_its_base(tmp_path):
    (tmp_path / "a.yaml").write_text("base: goodsam-m\nstep: {alpha: 0.5, fusion: {rule: ssa}}\n")
    base, own = adapt_config("goodsam-m"), adapt_config(str(tmp_path / "a.yaml"))
    assert own.student == base.student
    assert (own.step.alpha, own.step.fusion.rule) == (0.5, "ssa")
    assert own.step.boundary_reduction == base.step.boundary_reduction == "balanced"
    students = {size: adapt_config(f"goodsam-{size}").student for size in "mts"}
    assert [students[size].split("-")[1] for size in "mts"] == ["b0", "b1", "b2"]
    assert adapt_config("goodsam-s").step == base.step
    (tmp_path / "b.yaml").write_text(f"base: {tmp_path}/c.yaml\n")
    (tmp_path / "c.yaml").write_text(f"base: {tmp_path}/b.yaml\n")
    with pytest.raises(InputError, match="is its own base"):
        load_preset(str(tmp_path / "b.yaml"))
    (tmp_path / "d.yaml").write_text("base: 3\n")
    with pytest.raises(InputError, match="give the name"):
        load_preset(str(tmp_path / "d.yaml"))
