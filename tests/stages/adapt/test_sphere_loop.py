"""A run on 2:1 spheres, from their cache to the networks, killed and resumed."""

from __future__ import annotations

import json

import pytest
import torch

from goodsam.data.errors import InputError
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.stages.adapt.beyond import balance
from goodsam.stages.adapt.beyond.view import ViewConfig
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.adapt.step import LossWeights, StepConfig
from tests.stages.adapt.small import config_for, make_world, panoramas, weights

PLANS = {"vertical": VerticalWindows.of(64, 128), "tangent": TangentWindows(48, 96)}


@pytest.fixture(scope="module", params=PLANS)
def sphere(request, tmp_path_factory):
    """Three small spheres, their cache by one plan, and two SegFormers."""
    return make_world(tmp_path_factory.mktemp(request.param), PLANS[request.param])


class Killed(Exception):
    pass


@pytest.mark.attack("kills")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "view": ViewConfig(mirror=True, roll=True, photometric=0.5, paste=True),
            "labels": "ema",
            "ema_decay": 0.5,
            "hold_shares": 2,
            "threshold": 0.9,
            "step": StepConfig(
                weights=LossWeights(anchor=0.5),
                labels_mirrored=True,
                confident=0.8,
                boundary_reduction="balanced",
            ),
        },
    ],
    ids=["paper", "beyond"],
)
def test_a_killed_run_ends_as_if_never_stopped(sphere, tmp_path, settings, monkeypatch):
    monkeypatch.setattr(balance, "STEPS", 1)  # weights differ from the second step on
    config = config_for(sphere, steps=3, checkpoint_every=1, pictures_every=2, **settings)
    adapt(panoramas(sphere), tmp_path / "whole", config)

    def kill(step, steps, row):
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        adapt(panoramas(sphere), tmp_path / "broken", config, kill)
    adapt(panoramas(sphere), tmp_path / "broken", config)
    for role, start in (("teacher_assistant", "teacher"), ("student", "student")):
        whole, broken = (weights(tmp_path / run / role) for run in ("whole", "broken"))
        assert all(torch.equal(whole[key], broken[key]) for key in whole)
        before = weights(sphere / start)
        assert any(not torch.equal(before[key], whole[key]) for key in before)
    rows = [json.loads(r) for r in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    for name in ("consistency", "teacher_boundary", "student_windows", "student_boundary"):
        assert rows[0][name] > 0
    assert len(list((tmp_path / "whole/pictures").iterdir())) == 2


def test_a_strip_of_windows_is_refused_before_anything_is_written(sphere, tmp_path):
    with pytest.raises(InputError, match=r"view.windows 3: .*set view\.windows=null"):
        adapt(panoramas(sphere), tmp_path / "run", config_for(sphere, view=ViewConfig(windows=3)))
    assert not (tmp_path / "run").exists()
