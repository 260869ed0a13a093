"""Trackers are told by accelerate; what stands for W&B and the others here only remembers."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from goodsam.data.errors import InputError
from goodsam.stages.adapt.loop import adapt
from tests.stages.adapt.small import config_for, panoramas

pytest.importorskip("accelerate")


class Told:
    """What the module `wandb` and `trackio` have in common, as far as accelerate uses it."""

    def __init__(self):
        self.began, self.settings, self.rows, self.ended = {}, {}, [], False
        self.fails_at = None
        self.config = SimpleNamespace(update=lambda values, **_: self.settings.update(values))

    def init(self, **named):
        self.began = named
        return self

    def log(self, values, step=None):
        if step == self.fails_at:
            raise ConnectionError("the server is away")
        self.rows.append((step, values))

    def finish(self):
        self.ended = True


@pytest.fixture
def told(monkeypatch):
    told = Told()
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, told)
    return told


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_every_step_is_told(world, tmp_path, told, name):
    adapt(panoramas(world), tmp_path / "mine", config_for(world, trackers=(name,)))
    assert (told.began["project"], told.began["name"]) == ("goodsam", "mine")
    assert told.settings["student_lr"] == 1e-3
    assert told.settings["step.weights.consistency"] > 0
    rows = [json.loads(r) for r in (tmp_path / "mine/metrics.jsonl").read_text().splitlines()]
    assert [{"step": step, **values} for step, values in told.rows] == rows
    assert told.ended


def test_a_server_that_is_away_does_not_end_the_run(world, tmp_path, told, caplog):
    told.fails_at = 2
    adapt(panoramas(world), tmp_path, config_for(world, trackers=("wandb",)))
    assert [step for step, _ in told.rows] == [1]
    assert (tmp_path / "student").is_dir()


def test_a_package_that_is_missing_is_named(world, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"mlflow is missing; pip install accelerate mlflow"):
        adapt(panoramas(world), tmp_path, config_for(world, trackers=("mlflow",)))
