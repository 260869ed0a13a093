from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from goodsam.data.errors import InputError
from goodsam.data.street.picture import pinhole
from goodsam.data.street.seeds import split_seed
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import street_sam
from goodsam.stages.street_sam import pool as pool_module
from goodsam.stages.street_sam.calibrate import calibrate
from goodsam.stages.street_sam.examples import Example, example, shaken
from goodsam.stages.street_sam.losses import (
    decoded,
    encoded,
    mask_losses,
    overlap,
    pair_loss,
    sam_loss,
    vector_loss,
)
from goodsam.stages.street_sam.pool import FIRST_SCENE, Pool, scenery
from goodsam.stages.street_sam.train import (
    Batches,
    PretrainConfig,
    batches_from,
    export,
    held_out,
    initialised,
    losses,
    pretrain_sam,
)

SHORT = PretrainConfig(
    steps=4,
    batch=1,
    panoramas=2,
    points=6,
    prompts=3,
    warmup=2,
    checkpoint_every=2,
    calibration=2,
    workers=0,
    precision="float32",
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "panoramas"
    Pool(folder, SHORT.panoramas).fill(workers=0)
    return folder


@pytest.fixture
def out(tmp_path: Path, pool: Path) -> Path:
    (tmp_path / "panoramas").symlink_to(pool)
    return tmp_path


def test_weights_load_as_the_street_sam(out: Path) -> None:
    steps: list[dict[str, float]] = []
    path = pretrain_sam(out, SHORT, steps.append)
    sam = load_sam("street", path).model
    begun = street_sam().state_dict()
    assert any(not torch.equal(begun[k], v) for k, v in sam.state_dict().items())
    assert all(torch.isfinite(v).all() for v in sam.state_dict().values())
    with safe_open(path, "pt") as file:
        assert '"step": 4' in file.metadata()["made"]


def test_training_goes_on_from_given_weights(out: Path) -> None:
    begun = out / "begun.safetensors"
    export(initialised(street_sam()).state_dict(), begun, {})
    config = replace(SHORT, start=str(begun), lr=0.0, weight_decay=0.0)
    made = load_file(pretrain_sam(out, config))
    calibrated = ("iou_prediction_head.", "output_hypernetworks_mlps.", "gain", "lean.")
    for key, value in load_file(begun).items():
        if not key.startswith(tuple(f"mask_decoder.{name}" for name in calibrated)):
            torch.testing.assert_close(made[key], value)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(out: Path, tmp_path: Path) -> None:
    whole = load_file(pretrain_sam(out, SHORT))
    first = tmp_path / "stopped"
    first.mkdir()
    (first / "panoramas").symlink_to(out / "panoramas")

    class Stopped(Exception):
        pass

    original = Batches.__getitem__

    def get(self: Batches, step: int) -> list[Example]:
        if step == 3:
            raise Stopped
        return original(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "__getitem__", get)
        with pytest.raises(Stopped):
            pretrain_sam(first, SHORT)
    again = load_file(pretrain_sam(first, SHORT))
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_steps_that_cannot_be_are_refused_and_no_warmup_is_none(out: Path) -> None:
    with pytest.raises(InputError, match="settle"):
        replace(SHORT, settle=0)
    assert pretrain_sam(out, replace(SHORT, steps=1, warmup=0)).is_file()
    with pytest.raises(InputError, match="holds 2 panoramas, not 3"):
        pretrain_sam(out, replace(SHORT, panoramas=3))


def test_elsewhere_than_on_a_cpu_it_computes_in_float32(out: Path, monkeypatch) -> None:
    class Seen(Exception):
        pass

    def seen(sam, examples, prompts, precision):
        raise Seen(precision)

    monkeypatch.setattr("goodsam.stages.street_sam.train.losses", seen)
    with pytest.raises(Seen, match="float32"):
        pretrain_sam(out, replace(SHORT, precision="bfloat16", device="meta"))


def test_the_vectors_come_first_and_alone(out: Path) -> None:
    figures: list[dict[str, float]] = []
    config = replace(SHORT, steps=40, vectors_share=0.5, points=2, prompts=1, checkpoint_every=99)
    pretrain_sam(out, config, figures.append)
    assert [("head" in row) for row in figures] == [False, True]
    assert all({"pairs", "masks"} <= row.keys() for row in figures)


@pytest.mark.parametrize("shake", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_points_lie_in_their_instances(seed: int, shake: bool) -> None:
    picture = pinhole(split_seed("sam", seed), look="random")
    rng = np.random.default_rng(seed)
    made = example(rng, picture.image, picture.instances, 16, shake)
    assert made.image.shape == (3, 512, 512)
    assert made.targets.shape == (16, *made.valid)
    assert max(made.valid) == 128
    assert ((made.targets >= 0) & (made.targets <= 1)).all()
    column, row = ((made.points + 0.5) / 2).long().T
    for y, x, target in zip(row, column, made.targets, strict=True):
        assert target[y // 2, x // 2] > 0
        mask = (made.instances == made.instances[y, x]).float()
        shares = mask.view(made.valid[0], 2, made.valid[1], 2).mean((1, 3))
        torch.testing.assert_close(target, shares)


def test_small_things_get_their_share_of_points() -> None:
    instances = np.ones((200, 256), np.uint16)
    instances[50:60, 50:60] = 2  # 100 px of 51,200
    instances[120:124, 100:105] = 3  # 20 px: too small to be asked for
    made = example(
        np.random.default_rng(0), np.zeros((200, 256, 3), np.uint8), instances, 40, False
    )
    x, y = (made.points / 2).long().T
    found = made.instances[y, x]
    assert 5 <= (found == 2).sum() <= 10  # by the fourth root of the area: 7
    assert not (found == 3).any()


def test_pictures_are_never_in_the_target_s_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, seeds = [], []
    original = pool_module.panorama

    def spy(seed: int, *size: int, look: str) -> object:
        looks.append(look)
        seeds.append(seed)
        return original(seed, *size, look=look)

    monkeypatch.setattr(pool_module, "panorama", spy)
    found = [scenery(index) for index in range(2)]
    assert sorted(looks) == ["random", "source"]
    assert seeds == [split_seed("sam", FIRST_SCENE + index) for index in range(2)]
    assert all(picture.image.shape == (200, 1024, 3) for picture in found)


def test_a_window_may_begin_anywhere(pool: Path) -> None:
    opened = Pool(pool, SHORT.panoramas)
    image, instances = opened.draw(np.random.default_rng(1))
    assert image.shape == (200, 256, 3)
    places = [(k, (c + np.arange(256)) % 1024) for k in range(SHORT.panoramas) for c in range(1024)]
    assert any((opened.instances[k][:, columns] == instances).all() for k, columns in places)


def test_shaking_changes_colours_and_nothing_is_lost() -> None:
    image = pinhole(split_seed("sam", 0)).image
    made = [shaken(np.random.default_rng(seed), image) for seed in range(8)]
    assert all(other.dtype == np.uint8 and other.shape == image.shape for other in made)
    assert len({other.tobytes() for other in made}) == len(made)
    assert all(other.std() > 5 for other in made)


def test_a_picture_is_decoded_as_sam_does() -> None:
    picture = pinhole(split_seed("sam", 1), look="random")
    made = example(np.random.default_rng(1), picture.image, picture.instances, 5)
    torch.manual_seed(0)
    sam = initialised(street_sam()).eval()
    with torch.no_grad():
        embedding = encoded(sam, made.image[None])
        logits, iou = decoded(sam, embedding[0], made, slice(None))
        labels = torch.ones(5, 1, dtype=torch.int)
        sparse, dense = sam.prompt_encoder((made.points[:, None], labels), None, None)
        expected, expected_iou = sam.mask_decoder(
            embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
        )
    h, w = made.valid
    torch.testing.assert_close(logits, expected[..., :h, :w], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(iou, expected_iou, rtol=1e-4, atol=1e-5)


def test_pictures_of_a_batch_cost_what_they_cost_alone(pool: Path) -> None:
    config = replace(SHORT, batch=3)
    batch = Batches(Pool(pool, SHORT.panoramas), config)[0]
    torch.manual_seed(0)
    sam = initialised(street_sam())

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, sam.image_encoder.place)[0]

    loss, figures = losses(sam, batch, 3, "float32")
    alone = [losses(sam, [e], 3, "float32") for e in batch]
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    close(loss, torch.stack([each for each, _ in alone]).mean())
    # as a whole: a CPU's choice of kernels for a batch moves single elements by a percent, where
    # another picture's gradient is another one altogether
    gradients = torch.stack([gradient(each) for each, _ in alone])
    expected = gradients.mean(0)
    assert (gradient(loss) - expected).norm() < 0.02 * expected.norm()
    assert (gradients[0] - expected).norm() > 0.5 * expected.norm()
    assert figures["iou"] == pytest.approx(np.mean([parts["iou"] for _, parts in alone]), rel=1e-4)

    def one(e: Example) -> torch.Tensor:
        embedding = encoded(sam, e.image[None])[0]
        pairs, masks = vector_loss(sam, embedding, e)
        return sam_loss(sam, embedding, e, 3, "float32")[0] + 0.3 * pairs + 0.5 * masks

    torch.testing.assert_close(alone[0][0], one(batch[0]), rtol=1e-4, atol=1e-4)


def test_workers_change_nothing(pool: Path) -> None:
    opened = Pool(pool, SHORT.panoramas)
    config = replace(SHORT, steps=3)
    made = [list(batches_from(1, opened, replace(config, workers=workers))) for workers in (0, 1)]
    assert [len(batches) for batches in made] == [2, 2]
    for a, b in zip(*made, strict=True):
        assert all(map(torch.equal, a[0].tensors, b[0].tensors))


def test_pairs_are_cheap_where_vectors_tell_instances_apart() -> None:
    ids = torch.tensor([[1, 1, 2, 2]])
    radius = torch.tensor(3.0)
    apart = torch.tensor([[[0.0], [0.0], [9.0], [9.0]]])
    assert pair_loss(apart, ids, radius) < 0.1 < 1 < pair_loss(apart, ids[:, [0, 2, 1, 3]], radius)


def test_vectors_learn_their_instances() -> None:
    picture = pinhole(split_seed("sam", 2))
    made = example(np.random.default_rng(2), picture.image, picture.instances, 8, shake=False)
    torch.manual_seed(0)
    sam = street_sam()
    vectors = torch.randn(1, 96 + 256, 32, 32).requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=0.1)
    before = [part.item() for part in vector_loss(sam, vectors[0], made)]
    for _ in range(40):
        optimizer.zero_grad()
        sum(vector_loss(sam, vectors[0], made)).backward()  # type: ignore[union-attr]
        optimizer.step()
    after = [part.item() for part in vector_loss(sam, vectors[0], made)]
    assert all(a < 0.8 * b for a, b in zip(after, before, strict=True))


def test_a_right_mask_costs_nothing() -> None:
    targets = torch.zeros(1, 1, 100)
    targets[..., :10] = 1
    right = 40 * targets - 20
    weights = torch.ones(100)
    assert max(x.item() for x in mask_losses(right, targets, weights)) < 1e-3
    assert min(x.item() for x in mask_losses(-right, targets, weights)) > 0.9


def test_calibration_moves_scores_and_no_mask() -> None:
    frames = held_out(SHORT, 2)
    torch.manual_seed(0)
    sam = initialised(street_sam()).eval()

    def predicted() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [decoded(sam, encoded(sam, e.image[None])[0], e, slice(None)) for e in frames]

    with torch.no_grad():
        before = predicted()
        # Whatever the masks are, they are the truth now, half of them spoilt.
        spoilt = (torch.arange(SHORT.points) % 2)[:, None, None]
        frames = [
            replace(e, targets=((logits[:, 0] > 0) | spoilt).float())
            for e, (logits, _) in zip(frames, before, strict=True)
        ]
        figures = calibrate(sam, frames)
        after = predicted()
    assert figures["error_after"] < figures["error_before"]
    errors = []
    for (old, old_iou), (new, new_iou), e in zip(before, after, frames, strict=True):
        torch.testing.assert_close(new, old * figures["scale"], rtol=1e-3, atol=1e-3)
        line = figures["slope"] * old_iou + figures["offset"]
        torch.testing.assert_close(new_iou, line, rtol=1e-3, atol=1e-3)
        truth = overlap(new.flatten(2), e.targets.flatten(1)[:, None])
        errors.append((new_iou - truth).mean())
    assert abs(sum(errors)) < 1e-3  # a fitted line is right on average
