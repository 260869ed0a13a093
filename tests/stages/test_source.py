"""Source training: what a crop is made of, and that a killed run ends as an unbroken one."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from goodsam.data.classes import CITYSCAPES, IGNORE, LABEL_IDS
from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.segformer.segment import class_names
from goodsam.stages.source import Crops, SourceConfig, train_source

CONFIG = SourceConfig(
    model="w16", steps=4, batch=2, crop=(32, 48), warmup=1, workers=0, checkpoint_every=2,
    device="cpu", learning_rate=1e-3,
)  # fmt: skip
PLAIN = dataclasses.replace(CONFIG, scale=(1.0, 1.0), jitter=False, class_balance=None)


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory):
    """Three images with labelIds, whose red channel is the label id; the second alone has a bus."""
    root = tmp_path_factory.mktemp("cityscapes")
    rng = np.random.default_rng(0)
    for index, (town, ids) in enumerate((("aachen", (7, 26)), ("bonn", (7, 28)), ("bonn", (7, 0)))):
        labels = rng.choice(np.uint8(ids), size=(10, 15)).repeat(4, 0).repeat(4, 1)
        image = rng.integers(256, size=(40, 60, 3), dtype=np.uint8)
        image[..., 0] = labels
        for folder, ending, array in (
            ("leftImg8bit", "leftImg8bit", image),
            ("gtFine", "gtFine_labelIds", labels),
        ):
            path = root / folder / "train" / town / f"{town}_{index}_{ending}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return root


def crops_of(cityscapes, config, first=0):
    return Crops(find_panoramas(cityscapes), config, first)


def test_label_ids_become_train_ids_and_stay_with_their_pixels(cityscapes):
    crops = crops_of(cityscapes, PLAIN)
    flipped = set()
    for index in range(len(crops)):
        image, labels = crops[index]
        assert image.shape == (32, 48, 3)
        assert labels.dtype == torch.int64
        np.testing.assert_array_equal(labels.numpy(), LABEL_IDS[image[..., 0].numpy()])
        flipped.add(tuple(image[0, :4, 1].tolist()))
    assert len(flipped) == len(crops)  # no two crops alike


def test_a_crop_depends_on_its_position_alone(cityscapes):
    whole, rest = crops_of(cityscapes, CONFIG), crops_of(cityscapes, CONFIG, first=5)
    torch.manual_seed(7)
    expected = [whole[index] for index in range(5, 8)]
    assert len(rest) == 3
    for (image, labels), index in zip(expected, range(3), strict=True):
        assert torch.equal(rest[index][0], image)
        assert torch.equal(rest[index][1], labels)
    other = crops_of(cityscapes, dataclasses.replace(CONFIG, seed=1))
    assert not torch.equal(other[0][0], whole[0][0])


def test_drawing_a_crop_leaves_the_generator_alone(cityscapes):
    crops, before = crops_of(cityscapes, CONFIG), torch.get_rng_state()
    assert crops[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_small_images_are_padded_with_ignored_pixels(cityscapes):
    small = dataclasses.replace(PLAIN, scale=(0.5, 0.5))
    image, labels = crops_of(cityscapes, small)[0]
    assert image.shape == (32, 48, 3)
    inside = (slice(0, 20), slice(0, 30))
    outside = torch.ones(32, 48, dtype=torch.bool)
    outside[inside] = False
    turned = labels if (labels[:, 30:] == IGNORE).all() else labels.flip(-1)  # it was flipped
    assert (turned[outside] == IGNORE).all()


def test_augmentations_do_what_they_say(cityscapes):
    resized = crops_of(cityscapes, dataclasses.replace(PLAIN, scale=(2.0, 2.0)))[0][1]
    # blocks of 4 px have become blocks of 8
    changes = (resized[:, 1:] != resized[:, :-1]).any(dim=0).nonzero()[:, 0]
    assert len(set((changes % 8).tolist())) == 1
    plain, jittered = (
        [crops_of(cityscapes, config)[index] for index in range(6)]
        for config in (PLAIN, dataclasses.replace(PLAIN, jitter=True))
    )
    assert all(torch.equal(a[1], b[1]) for a, b in zip(plain, jittered, strict=True))
    assert any(not torch.equal(a[0], b[0]) for a, b in zip(plain, jittered, strict=True))


def test_rare_classes_are_drawn_more_often(cityscapes):
    def share(balance):
        config = dataclasses.replace(PLAIN, class_balance=balance, steps=40)
        crops = crops_of(cityscapes, config)
        bus = CITYSCAPES.index("bus")
        return np.mean([bool((crops[index][1] == bus).any()) for index in range(60)])

    assert share(0.05) > share(None) + 0.1


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_ends_as_if_never_stopped(cityscapes, tmp_path, killed_after):
    samples = find_panoramas(cityscapes)
    whole = train_source(samples, tmp_path / "whole", CONFIG)

    def kill(step, steps, row):
        if step == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_source(samples, tmp_path / "broken", CONFIG, kill)
    torch.manual_seed(123)  # what was drawn in between does not matter
    broken = train_source(samples, tmp_path / "broken", CONFIG)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (whole, broken))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert class_names(load_segformer(whole)) == CITYSCAPES


def test_the_loss_falls(cityscapes, tmp_path):
    config = dataclasses.replace(PLAIN, steps=16, learning_rate=3e-3, checkpoint_every=100)
    train_source(find_panoramas(cityscapes), tmp_path, config)
    losses = [json.loads(r)["loss"] for r in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_another_run_in_the_same_place_is_refused(cityscapes, tmp_path):
    samples = find_panoramas(cityscapes)
    train_source(samples, tmp_path, dataclasses.replace(CONFIG, steps=1))
    with pytest.raises(InputError, match=r"holds another run \(steps differ\)"):
        train_source(samples, tmp_path, CONFIG)
    with pytest.raises(InputError, match="the images differ"):
        train_source(samples[:2], tmp_path, dataclasses.replace(CONFIG, steps=1))


def test_a_network_of_other_classes_is_refused(cityscapes, tmp_path):
    save_segformer(build_segformer("w16", CITYSCAPES[::-1]), tmp_path / "turned")
    config = dataclasses.replace(CONFIG, model=str(tmp_path / "turned"))
    with pytest.raises(InputError, match="not those of the labels"):
        train_source(find_panoramas(cityscapes), tmp_path / "out", config)
