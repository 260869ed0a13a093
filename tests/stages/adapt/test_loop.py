"""The loop: it writes what it promises, and a killed run ends where an unbroken one does."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.pipeline.config import as_yaml
from goodsam.stages.adapt.beyond import balance, monitor
from goodsam.stages.adapt.beyond.view import ViewConfig
from goodsam.stages.adapt.fusion import FusionConfig
from goodsam.stages.adapt.learner import Learner
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.adapt.step import LossWeights, StepConfig
from goodsam.stages.segformer.build import ARCHITECTURES, Architecture, build_segformer
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.segformer.segment import class_names
from tests.stages.adapt.small import NAMES, WINDOWS, config_for, decided, panoramas, weights


class Killed(Exception):
    pass


EVERY_VIEW = ViewConfig(mirror=True, roll=True, photometric=0.5, paste=True, windows=2)


@pytest.mark.attack("kills")
@pytest.mark.parametrize(
    ("killed_after", "settings"),
    [
        (1, {}),
        (3, {}),
        (3, {"labels": "ema", "ema_decay": 0.5}),
        (1, {"labels": "frozen"}),
        (3, {"hold_shares": 2}),
        (3, {"labels": "ema", "ema_decay": 0.0, "labels_every": 3, "labels_gate": True}),
        (3, {"rare_weight": 0.5, "threshold": 0.9}),
        (3, {"view": EVERY_VIEW, "accumulate": 2, "workers": 1}),
        (1, {"step": StepConfig(weights=LossWeights(anchor=0.5), labels_mirrored=True)}),
        (3, {"step": StepConfig(fusion=FusionConfig(believe=0.5)), "view": EVERY_VIEW}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_killed_run_ends_as_if_never_stopped(
    world, tmp_path, killed_after, settings, monkeypatch
):
    monkeypatch.setattr(balance, "STEPS", 1)  # weights differ from the second step on
    config = config_for(world, **settings)
    adapt(panoramas(world), tmp_path / "whole", config)

    def kill(step, steps, row):
        if step == killed_after:
            raise Killed

    with pytest.raises(Killed):
        adapt(panoramas(world), tmp_path / "broken", config, kill)
    adapt(panoramas(world), tmp_path / "broken", config)
    for network in ("teacher_assistant", "student"):
        whole, broken = (weights(tmp_path / run / network) for run in ("whole", "broken"))
        assert all(torch.equal(whole[key], broken[key]) for key in whole)
    rows = [json.loads(r) for r in (tmp_path / "broken/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]


def test_both_networks_move_and_terms_are_logged(world, tmp_path):
    adapt(panoramas(world), tmp_path, config_for(world))
    for ours, theirs in (("teacher_assistant", "teacher"), ("student", "student")):
        before, after = weights(world / theirs), weights(tmp_path / ours)
        assert any(not torch.equal(before[key], after[key]) for key in before)
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"teacher_windows", "consistency", "whole_image", "trusted", "teacher_lr"} <= set(row)
    assert list((tmp_path / "tensorboard").iterdir())


def test_loader_workers_change_nothing(world, tmp_path):
    config = config_for(world, steps=2)
    adapt(panoramas(world), tmp_path / "none", config)
    adapt(panoramas(world), tmp_path / "one", dataclasses.replace(config, workers=1))
    none, one = weights(tmp_path / "none/student"), weights(tmp_path / "one/student")
    assert all(torch.equal(none[key], one[key]) for key in none)


@pytest.fixture
def one_thread():
    """Sums in the order of the processes that torchrun starts, which have one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["live", "ema"])
def test_two_processes_give_the_weights_of_one(world, tmp_path, labels, one_thread):
    config = config_for(world, accumulate=2, labels=labels, ema_decay=0.5)
    one_and_two_processes(world, tmp_path, config)
    for network in ("teacher_assistant", "student"):
        one, two = (weights(tmp_path / run / network) for run in ("one", "two"))
        for key in one:
            torch.testing.assert_close(two[key], one[key], atol=1e-5, rtol=0)
    rows = [
        [json.loads(r) for r in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    ]
    assert [row["step"] for row in rows[1]] == [1, 2, 3, 4]  # one journal, not two
    for one, two in zip(*rows, strict=True):
        assert two["student_total"] == pytest.approx(one["student_total"], abs=1e-4)


@pytest.mark.gpu
def test_two_processes_share_a_gpu(world, tmp_path):
    """Its kernels add in another order, and AdamW makes much of a gradient that is next to none:
    they are compared as a whole."""
    config = config_for(world, accumulate=2, device="cuda")
    one_and_two_processes(world, tmp_path, config, CUDA_VISIBLE_DEVICES="0")
    for network, start in (("teacher_assistant", "teacher"), ("student", "student")):
        flat = [
            torch.cat([tensor.flatten() for tensor in weights(folder).values()])
            for folder in (world / start, tmp_path / "one" / network, tmp_path / "two" / network)
        ]
        before, one, two = flat
        assert (two - one).norm() < 0.02 * (one - before).norm()


def one_and_two_processes(world, tmp_path, config, **environment):
    """Train in `tmp_path/one`, and by torchrun in `tmp_path/two`."""
    adapt(panoramas(world), tmp_path / "one", config)
    (tmp_path / "preset.yaml").write_text(as_yaml(config))
    arguments = ("train", world / "images", world / "cache.zarr", "--out", tmp_path / "two")
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "goodsam", *arguments, "--preset", tmp_path / "preset.yaml"),
        ],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def test_a_cache_at_a_url_trains_to_the_same_weights(world, tmp_path, serve):
    url, server = serve(world)
    config = config_for(world, steps=2, workers=1)
    cache = SamCache.open(f"{url}/cache.zarr")
    adapt(CachedPanoramas(world / "images", cache, cache.names), tmp_path / "far", config)
    adapt(panoramas(world), tmp_path / "near", config)
    far, near = weights(tmp_path / "far/student"), weights(tmp_path / "near/student")
    assert all(torch.equal(far[key], near[key]) for key in far)
    server.fault, server.broken = "cut", ".0.0.0"
    with pytest.raises(InputError, match="cannot be read"):
        adapt(CachedPanoramas(world / "images", cache, cache.names), tmp_path / "cut", config)


def test_accumulation_sees_every_panorama(world, tmp_path):
    config = config_for(world, steps=None, epochs=2, accumulate=3)
    adapt(panoramas(world), tmp_path, config)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_student_with_other_classes_gets_a_new_head(world, tmp_path):
    save_segformer(build_segformer("w16", ("a", "b")), tmp_path / "other")
    config = config_for(world, student=str(tmp_path / "other"), steps=1)
    said = []
    student = load_segformer(adapt(panoramas(world), tmp_path / "run", config, warn=said.append))
    assert class_names(student) == NAMES
    assert "gets a NEW HEAD: its 2 classes are not the 3" in said[0]


def test_a_loss_that_is_not_finite_stops_with_step_image_and_term(world, tmp_path):
    broken = load_segformer(world / "teacher")
    with torch.no_grad():
        broken.decode_head.batch_norm.weight.fill_(1e6)
        broken.decode_head.classifier.weight[0] = 3e38  # finite, but its logits are not
    save_segformer(broken, tmp_path / "teacher")
    config = config_for(world, teacher_assistant=str(tmp_path / "teacher"))
    with pytest.raises(FloatingPointError, match=r"step 0, \d\.png: the loss \w+ is nan; saved"):
        adapt(panoramas(world), tmp_path / "run", config)
    # what was there before the step is kept, the step itself has left no trace in it
    saved = load_file(tmp_path / "run/checkpoints/step_00000000.safetensors")
    before = weights(world / "student")
    assert all(torch.equal(saved[f"student/{key}"], before[key]) for key in before)
    assert (tmp_path / "run/metrics.jsonl").read_text() == ""


def test_journal_holds_numbers_and_pictures(world, tmp_path):
    adapt(panoramas(world), tmp_path, config_for(world, pictures_every=2))
    board = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    board.Reload()
    strips = board.Images("strip")
    assert [event.step for event in strips] == [1, 3]
    assert (strips[0].width, strips[0].height) == (128, 5 * 32)
    rows = [json.loads(r) for r in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for key in ("student_boundary", "student_lr", "trusted_masks", "agreement"):
        logged = [event.value for event in board.Scalars(key)]
        assert logged == pytest.approx([row[key] for row in rows], rel=1e-6)
    assert all(row["images_per_second"] > 0 and row["seconds_waited"] >= 0 for row in rows)


def test_bfloat16_is_another_arithmetic_on_float32_weights(world, tmp_path):
    plain = config_for(world, steps=1, warmup=0)
    runs = {"plain": plain, "bf16": dataclasses.replace(plain, precision="bfloat16")}
    for name, config in runs.items():
        adapt(panoramas(world), tmp_path / name, config)
    rows = [json.loads((tmp_path / name / "metrics.jsonl").read_text()) for name in runs]
    assert rows[0]["whole_image"] != rows[1]["whole_image"]
    assert rows[0]["whole_image"] == pytest.approx(rows[1]["whole_image"], rel=0.05)
    plain_w, bf16_w = (weights(tmp_path / name / "student") for name in runs)
    for weight in bf16_w.values():
        assert weight.dtype in (torch.float32, torch.int64)
        assert weight.isfinite().all()
    assert any(not torch.equal(plain_w[key], bf16_w[key]) for key in plain_w)


def test_gradients_are_clipped_each_network_by_itself(world):
    config = config_for(world, clip=1e-3)
    with processes("cpu") as group:
        learner = Learner(config, group, WINDOWS)
    learner.learn(panoramas(world)[0], 1.0, last=True)
    learner.measured()
    norms = {}
    for name, optimizer in learner.optimizers.items():
        parameters = list(learner.networks[name].parameters())

        def kept(*, name=name, parameters=parameters):
            norms[name] = torch.nn.utils.get_total_norm([p.grad for p in parameters]).item()

        optimizer.step = kept
    learner.update()
    assert norms == dict.fromkeys(norms, pytest.approx(1e-3, rel=1e-4))
    assert len(norms) == 2


def test_accumulated_gradients_are_the_mean(world):
    def gradients(items, scale):
        with processes("cpu") as group:
            learner = Learner(config_for(world), group, WINDOWS)
        for index, item in enumerate(items):
            learner.learn(item, scale, last=index == len(items) - 1)
        row, wrong = learner.measured()
        assert wrong == ""
        grads = [p.grad for p in learner.networks["student"].parameters()]
        return grads, row["student_total"]

    items = [panoramas(world)[index] for index in (0, 1)]
    both, loss = gradients(items, 0.5)
    single = [gradients([item], 1.0) for item in items]
    assert loss == pytest.approx((single[0][1] + single[1][1]) / 2, rel=1e-5)
    for mean, a, b in zip(both, single[0][0], single[1][0], strict=True):
        torch.testing.assert_close(mean, (a + b) / 2, atol=1e-6, rtol=1e-4)


def test_a_teacher_smaller_than_its_student_is_doubted(world, tmp_path):
    save_segformer(build_segformer("w8", NAMES), tmp_path / "small")
    warned: list[str] = []
    small = config_for(world, steps=1, teacher_assistant=str(tmp_path / "small"))
    adapt(panoramas(world), tmp_path / "run", small, warn=warned.append)
    assert len(warned) == 1
    assert "is smaller than the student (0." in warned[0]


def test_all_losses_off_is_refused(world, tmp_path):
    off = LossWeights(*[0.0] * 6)
    with pytest.raises(InputError, match="switched off"):
        adapt(panoramas(world), tmp_path, config_for(world, step=StepConfig(weights=off)))


@pytest.mark.slow  # torch's compiler takes minutes even for networks of one block a stage
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's compiler, of itself
def test_compiled_networks_learn_the_same(world, tmp_path, monkeypatch):
    shallow = Architecture((8, 16, 40, 64), (1, 1, 1, 1), 16)
    monkeypatch.setitem(ARCHITECTURES, "shallow", shallow)
    for seed, network in enumerate(("teacher", "student")):
        save_segformer(decided("shallow", seed), tmp_path / network)
    config = config_for(tmp_path, steps=2)
    for name, compile_ in (("plain", False), ("compiled", True)):
        adapt(panoramas(world), tmp_path / name, dataclasses.replace(config, compile=compile_))
    plain, compiled = (weights(tmp_path / name / "student") for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for key in plain:
        torch.testing.assert_close(compiled[key], plain[key], atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu(world, tmp_path, precision):
    config = config_for(world, device="cuda", precision=precision)
    adapt(panoramas(world), tmp_path / "gpu", config)
    adapt(panoramas(world), tmp_path / "cpu", config_for(world))
    rows = [
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
        for name in ("gpu", "cpu")
    ]
    assert rows[0]["student_total"] == pytest.approx(rows[1]["student_total"], rel=0.05)


def test_a_run_that_falls_apart_warns_saves_and_stops(world, tmp_path, monkeypatch):
    """At these learning rates random networks do fall into one class within a few steps."""
    monkeypatch.setattr(monitor, "SHORTEST", 2)
    config = config_for(world, steps=9, collapse=0.5)
    warned: list[str] = []
    with pytest.raises(monitor.Collapse, match=r"step \d, saved: the ensemble is coll") as stop:
        adapt(panoramas(world), tmp_path / "run", config, warn=warned.append)
    step = int(str(stop.value).split()[1].rstrip(","))
    assert (tmp_path / f"run/checkpoints/step_{step:08d}.safetensors").exists()
    # resumed, it knows what was at first
    with pytest.raises(monitor.Collapse, match=f"step {step + 1}, saved"):
        adapt(panoramas(world), tmp_path / "run", config, warn=warned.append)
    free = dataclasses.replace(config, collapse=0.0)
    adapt(panoramas(world), tmp_path / "free", free, warn=warned.append)
    assert "is being forgotten" in warned[-1]
    rows = [json.loads(r) for r in (tmp_path / "free/metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 9
    for row in rows:
        assert sum(row[f"share/{name}"] for name in NAMES) == pytest.approx(1, abs=1e-5)
