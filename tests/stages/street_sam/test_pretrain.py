from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from goodsam.data.street.picture import pinhole
from goodsam.data.street.seeds import split_seed
from goodsam.data.weights import STREET_SAM
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import street_sam
from goodsam.stages.street_sam import pretrain
from goodsam.stages.street_sam.pretrain import (
    GROUP,
    Kinship,
    Pool,
    PretrainConfig,
    calibrate,
    example,
    held_out,
    pictures,
    predict,
    pretrain_sam,
    render,
    shaken,
)

SHORT = PretrainConfig(
    steps=4,
    batch=1,
    pictures=GROUP,
    prompts=3,
    warmup=2,
    checkpoint_every=2,
    calibration=2,
    precision="float32",
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "pictures"
    Pool(folder, SHORT.pictures)
    render(folder, SHORT.pictures)
    return folder


@pytest.fixture
def out(tmp_path: Path, pool: Path) -> Path:
    (tmp_path / "pictures").symlink_to(pool)
    return tmp_path


def test_weights_load_as_the_street_sam(out: Path) -> None:
    steps = []
    path = pretrain_sam(out, SHORT, steps.append)
    sam = load_sam("street", path).model
    begun = street_sam().state_dict()
    assert any(not torch.equal(begun[k], v) for k, v in sam.state_dict().items())
    assert all(torch.isfinite(v).all() for v in sam.state_dict().values())
    with safe_open(path, "pt") as file:
        assert '"step": 4' in file.metadata()["made"]


def test_training_goes_on_from_given_weights(out: Path) -> None:
    config = replace(SHORT, start=str(STREET_SAM), lr=0.0, weight_decay=0.0)
    made, begun = load_file(pretrain_sam(out, config)), load_file(STREET_SAM)
    calibrated = ("mask_decoder.iou_prediction_head.", "mask_decoder.output_hypernetworks_mlps.")
    for key, value in begun.items():
        if not key.startswith(calibrated):
            torch.testing.assert_close(made[key], value)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(out: Path, tmp_path: Path) -> None:
    whole = load_file(pretrain_sam(out, SHORT))
    first = tmp_path / "stopped"
    first.mkdir()
    (first / "pictures").symlink_to(out / "pictures")

    class Stopped(Exception):
        pass

    calls = 0

    def stop(*_: object) -> bool:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Stopped
        return False

    original = Pool.draw

    def draw(self: Pool, rng: np.random.Generator, step: int) -> tuple[np.ndarray, np.ndarray]:
        stop()
        return original(self, rng, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "draw", draw)
        with pytest.raises(Stopped):
            pretrain_sam(first, SHORT)
    again = load_file(pretrain_sam(first, SHORT))
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


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


def test_pictures_are_never_in_the_target_s_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def spy(make: Callable) -> Callable:
        def made(*args: object, **options: object) -> object:
            looks.append(options["look"])
            return make(*args, **options)

        return made

    monkeypatch.setattr(pretrain, "pinhole", spy(pretrain.pinhole))
    monkeypatch.setattr(pretrain, "panorama", spy(pretrain.panorama))
    found = pictures(0) + pictures(1)
    assert len(found) == 2 * GROUP
    assert set(looks) == {"source", "random"}
    assert all(image.shape == (200, 256, 3) for image, _ in found)
    assert all(ids.shape == (200, 256) for _, ids in found)


def test_shaking_changes_colours_and_nothing_is_lost() -> None:
    image = pinhole(split_seed("sam", 0)).image
    made = [shaken(np.random.default_rng(seed), image) for seed in range(8)]
    assert all(other.dtype == np.uint8 and other.shape == image.shape for other in made)
    assert len({other.tobytes() for other in made}) == len(made)
    assert all(other.std() > 5 for other in made)


def test_a_picture_is_predicted_as_sam_does() -> None:
    picture = pinhole(split_seed("sam", 1), look="random")
    made = example(np.random.default_rng(1), picture.image, picture.instances, 5)
    torch.manual_seed(0)
    sam = street_sam().eval()
    with torch.no_grad():
        ((tokens, logits, iou),) = predict(sam, made.image[None], [made])
        embedding = sam.image_encoder(made.image[None])
        labels = torch.ones(5, 1, dtype=torch.int)
        sparse, dense = sam.prompt_encoder((made.points[:, None], labels), None, None)
        expected, expected_iou = sam.mask_decoder(
            embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
        )
    torch.testing.assert_close(tokens, embedding[0])
    h, w = made.valid
    torch.testing.assert_close(logits, expected[..., :h, :w], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iou, expected_iou, rtol=1e-4, atol=1e-5)


def test_kinship_is_low_where_vectors_tell_instances_apart() -> None:
    head = Kinship(width=2, dims=2)
    with torch.no_grad():  # every pixel's vector is its token
        head.vectors.weight.copy_(torch.eye(2)[:, :, None, None].expand(2, 2, 4, 4))
        head.vectors.bias.zero_()
    tokens = torch.zeros(2, 4, 4)
    tokens[0, :, 2:] = 9
    halves = torch.ones(32, 32, dtype=torch.int64)
    halves[:, 16:] = 2
    quarters = halves.T.contiguous()
    assert head(tokens, halves) < 0.4 < 2 < head(tokens, quarters)


def test_calibration_moves_scores_and_no_mask() -> None:
    frames = held_out(SHORT, 2)
    sam = street_sam().eval()
    with torch.no_grad():
        before = [predict(sam, frame.image[None], [frame])[0] for frame in frames]
        # Whatever the masks are, they are the truth now, a third of them spoilt.
        spoilt = (torch.arange(3) % 2)[:, None, None]
        frames = [
            replace(frame, targets=((logits[:, 0] > 0) | spoilt).float())
            for frame, (_, logits, _) in zip(frames, before, strict=True)
        ]
        figures = calibrate(sam, frames)
        after = [predict(sam, frame.image[None], [frame])[0] for frame in frames]
    assert figures["error_after"] < figures["error_before"]
    assert figures["scale"] > 1
    errors = []
    for (_, old, old_iou), (_, new, new_iou), frame in zip(before, after, frames, strict=True):
        torch.testing.assert_close(new, old * figures["scale"], rtol=1e-3, atol=1e-3)
        line = figures["slope"] * old_iou + figures["offset"]
        torch.testing.assert_close(new_iou, line, rtol=1e-3, atol=1e-3)
        mask, truth = new > 0, frame.targets[:, None] > 0.5
        union = (mask | truth).sum((2, 3)).clamp(min=1)
        errors.append((new_iou - (mask & truth).sum((2, 3)) / union).mean())
    assert abs(sum(errors)) < 1e-3  # a fitted line is right on average
