"""The loop: it writes what it promises, and a killed run ends where an unbroken one does."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SegformerForSemanticSegmentation

from data.errors import InputError
from data.panoramas import file_hash
from data.sam_cache import Identity, PanoramaMasks, SamCache
from data.window_masks import WindowMasks, overlap_boundaries
from data.windows import Windows
from stages.adapt.loop import AdaptConfig, CachedPanoramas, adapt, schedule
from stages.adapt.models import build_segformer, load_segformer, save_segformer

WINDOWS = Windows(32, 128, 32, 16)
NAMES = ("road", "car", "sky")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three small panoramas, their cache, and two SegFormers."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    names = [f"{index}.png" for index in range(3)]
    for name in names:
        Image.fromarray(rng.integers(256, size=(32, 128, 3), dtype=np.uint8)).save(
            root / "images" / name
        )
    identity = Identity("0" * 64, {}, "windows", WINDOWS, False)
    hashes = {name: file_hash(root / "images" / name) for name in names}
    cache = SamCache.create(root / "cache.zarr", identity, hashes, {})
    for name in names:
        stacks = rng.random((len(WINDOWS), 3, 8, 8)).repeat(4, 2).repeat(4, 3) < 0.3
        masks = tuple(WindowMasks.of(stack, np.ones(3), np.ones(3)) for stack in stacks)
        cache.write(name, PanoramaMasks(masks, tuple(overlap_boundaries(masks, WINDOWS))))
    for seed, network in enumerate(("teacher", "student")):
        torch.manual_seed(seed)
        save_segformer(build_segformer("w16", NAMES), root / network)
    return root


def config_for(world, **changes) -> AdaptConfig:
    base = AdaptConfig(
        str(world / "teacher"),
        str(world / "student"),
        steps=4,
        warmup=1,
        teacher_lr=1e-3,
        student_lr=1e-3,
        workers=0,
        checkpoint_every=2,
        device="cpu",
    )
    return dataclasses.replace(base, **changes)


def panoramas(world) -> CachedPanoramas:
    cache = SamCache.open(world / "cache.zarr")
    return CachedPanoramas(world / "images", cache, cache.names)


def weights(folder) -> dict[str, torch.Tensor]:
    return SegformerForSemanticSegmentation.from_pretrained(folder).state_dict()


class Killed(Exception):
    pass


@pytest.mark.parametrize("labels", ["live", "ema", "frozen"])
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_ends_as_if_never_stopped(world, tmp_path, killed_after, labels):
    config = config_for(world, labels=labels, ema_decay=0.5)
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


def test_schedule_is_a_permutation_an_epoch_and_can_start_anywhere():
    order = list(schedule(5, 7, 0, 15))
    assert [sorted(order[i : i + 5]) for i in (0, 5, 10)] == [list(range(5))] * 3
    assert order[:5] != order[5:10]
    assert list(schedule(5, 7, 8, 15)) == order[8:]


def test_networks_with_other_classes_are_refused(world, tmp_path):
    save_segformer(build_segformer("w16", ("a", "b")), tmp_path / "other")
    config = config_for(world, student=str(tmp_path / "other"))
    with pytest.raises(InputError, match="classes"):
        adapt(panoramas(world), tmp_path / "run", config)


def test_a_loss_that_is_not_finite_stops_with_step_image_and_term(world, tmp_path):
    broken = load_segformer(world / "teacher")
    with torch.no_grad():
        broken.decode_head.classifier.bias[0] = torch.nan
    save_segformer(broken, tmp_path / "teacher")
    config = config_for(world, teacher_assistant=str(tmp_path / "teacher"))
    with pytest.raises(FloatingPointError, match=r"step 0, \d\.png: the loss"):
        adapt(panoramas(world), tmp_path / "run", config)
