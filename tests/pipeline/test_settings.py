"""Every setting is described, and the commented YAML is the configuration."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from goodsam.pipeline.config import adapt_config, as_yaml, build, preset_names
from goodsam.pipeline.settings import commented_yaml, describe
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.step import LossWeights, StepConfig

OTHERS = (
    "steps=7",
    "step.max_vertical_distance=5",
    "step.fusion.medium=[50, 2000]",
    "step.fusion.rule=none",
    "labels=ema",
    "compile=true",
    "device='cuda:1'",
    "student='a folder: with # marks'",
)


@pytest.mark.parametrize("kind", [AdaptConfig, StepConfig, LossWeights, FusionConfig])
def test_every_field_has_a_sentence(kind):
    described = describe(kind)
    for field in dataclasses.fields(kind):
        assert described[field.name].endswith("."), field.name


def test_the_fields_of_groups_have_dotted_names():
    described = describe(AdaptConfig)
    assert described["step.fusion.rule"] == describe(FusionConfig)["rule"]
    assert described["step.weights.consistency"] == describe(LossWeights)["consistency"]
    assert list(described)[:4] == ["teacher_assistant", "student", "step", "step.weights"]


@pytest.mark.parametrize("overrides", [(), OTHERS])
@pytest.mark.parametrize("preset", preset_names())
def test_commented_yaml_reads_back(preset, overrides):
    config = adapt_config(preset, overrides)
    text = commented_yaml(config)
    assert build(AdaptConfig, yaml.safe_load(text)) == config
    assert yaml.safe_load(text) == yaml.safe_load(as_yaml(config))
    assert max(map(len, text.splitlines())) <= 100
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_each_setting_has_its_comment_above_it():
    lines = commented_yaml(adapt_config("demo", ["step.fusion.medium=[50, 2000]"])).splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if line and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("#"), line
    text = "\n".join(lines)
    assert "# Eq. 2 and 7 as printed" in text
    assert "One of: printed, balanced. Default: printed.\n  boundary_reduction: balanced" in text
    assert "Default: [100, 1000].\n    medium: [50, 2000]" in text
    assert "Default: null.\nsteps: 500" in text
    assert "reads them itself.\nworkers: 1" in text  # the default is not said again


def test_a_field_without_a_description_is_left_out():
    assert describe(Bare) == {"said": "In two lines, which are one sentence."}
    assert commented_yaml(Bare()) == (
        "# In two lines, which are one sentence.\nsaid: 1\n\nbare: true\n"
    )


@dataclasses.dataclass(frozen=True)
class Bare:
    """A dataclass of the test's own."""

    said: int = 1
    """In two lines,
    which are one sentence."""
    bare: bool = True
