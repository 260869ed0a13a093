"""What the doctor says: facts that are true here, and estimates that follow from the trial."""

from __future__ import annotations

import json

import pytest
import torch

from goodsam.pipeline.whole import doctor
from goodsam.pipeline.whole.machine import Machine, main_memory

SPEED = {
    "float32": 100.0,
    "bfloat16": 200.0,
    "sam_window": 0.5,
    "teacher_window": 2.0,
    "student_panorama": 1.0,
}


def test_what_there_is(goodsam, tmp_path):
    status, out, _ = goodsam("doctor", "--no-speed", "--json", "--device", "cpu")
    assert status == 0
    facts = json.loads(out)["facts"]
    assert facts["packages"]["torch"] == torch.__version__
    assert "street" in facts["sams_here"]
    assert 0 < facts["memory_free_gib"] < facts["memory_gib"] * 1.01
    assert facts["memory_gib"] == main_memory() / 2**30
    assert facts["extras"]["test"] == []


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    lines = [
        "numpy>=1",
        'onnx>=1.17; extra == "export"',
        "nosuchpackage[x]>=2; extra == 'teachers'",
    ]
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    assert doctor.extras() == {"export": [], "teachers": ["nosuchpackage"]}


def test_what_to_expect_follows_from_the_trial(goodsam, monkeypatch):
    expect = doctor.expectations(SPEED)
    assert expect["demo_sam"] == 8 * 0.5
    assert expect["vit_b_paper"] == 4 * expect["vit_b"]  # overlaps, and all prompts
    assert expect["step"] == 5 * (8 * 2.0 + 1.0)
    monkeypatch.setattr(doctor, "trial", lambda device, progress: SPEED)
    status, out, _ = goodsam("doctor")
    assert status == 0
    assert "100 GFLOP/s in float32" in out
    assert "a step of robust-m (SegFormer-B5 and B0) 1 min 25 s" in out


def test_the_trial_is_on_the_device_that_was_asked_for(monkeypatch):
    places = []
    monkeypatch.setattr("goodsam.stages.sam.factory.pick_device", lambda: torch.device("meta"))
    monkeypatch.setattr(doctor, "build_segformer", lambda *_: torch.nn.Identity())
    monkeypatch.setattr(doctor.LeanHead, "put_into", lambda model: None)

    def once(work, where):
        places.append(where.type)
        return 1.0

    monkeypatch.setattr(doctor, "_best_of_two", once)
    generators = []
    monkeypatch.setattr(
        "goodsam.stages.sam.generate.SamGenerator.__init__",
        lambda self, sam, config: generators.append(sam.device.type),
    )
    doctor.trial("cpu")
    assert set(places) == {*generators} == {"cpu"}


@pytest.mark.slow
def test_the_trial_measures_everything():
    seen = []
    found = doctor.trial("cpu", lambda done, total: seen.append((done, total)))
    assert found.keys() == SPEED.keys()
    assert all(value > 0 for value in found.values())
    assert seen[-1] == (5, 5)


def test_a_busy_machine_says_so():
    def at(load):
        return Machine("cpu", False, 2**34, 2, 2, False, load).busy

    assert at(2.5) == ""
    assert "load 9, 2 CPU cores" in at(9.2)
