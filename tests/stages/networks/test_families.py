"""Every family: loaded, its logits where they belong, learned from, saved and loaded again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goodsam.stages.networks.adapted import Adapted
from goodsam.stages.networks.files import load_model, model_of_config, save_model
from goodsam.stages.segformer.segment import class_names, normalise, segment
from tests.stages.networks.tiny import BUILDERS, NAMES, PIXELS, build, write


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {family: write(root / family, family) for family in BUILDERS}


def pictures(height=64, width=96, count=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", BUILDERS)
def test_loaded_and_seen_at_any_size(folders, family):
    network = load_model(folders[family]).eval()
    assert class_names(network) == NAMES
    for size in ((64, 64), (64, 96), (75, 50), (96, 64)):
        with torch.inference_mode():
            logits = segment(network, normalise(pictures(*size), torch.device("cpu")))
        assert logits.shape == (2, len(NAMES), *size)
        assert logits.isfinite().all()


@pytest.mark.parametrize("family", BUILDERS)
def test_a_loss_reaches_the_pictures_and_the_weights(folders, family):
    network = load_model(folders[family]).eval()
    seen = normalise(pictures(), torch.device("cpu")).requires_grad_()
    target = torch.randint(len(NAMES), (2, 64, 96))
    F.cross_entropy(segment(network, seen), target).backward()
    assert seen.grad.abs().amax(dim=(1, 2, 3)).min() > 0
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(int(g.count_nonzero()) for g in gradients) > 1000


@pytest.mark.parametrize("family", BUILDERS)
def test_saved_and_loaded_it_says_the_same(folders, family, tmp_path):
    network = load_model(folders[family]).eval()
    save_model(network, tmp_path / "again")
    again = load_model(tmp_path / "again").eval()
    seen = normalise(pictures(), torch.device("cpu"))
    with torch.inference_mode():
        expected = segment(network, seen)
        torch.testing.assert_close(segment(again, seen), expected, rtol=1e-4, atol=1e-4)
    assert (tmp_path / "again" / "preprocessor_config.json").is_file()
    # a checkpoint has no more than the config and the tensors
    bare = model_of_config(again.config.to_dict())
    bare.load_state_dict(network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(segment(bare.eval(), seen), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", [f for f in PIXELS if f != "segformer"])
def test_what_transformers_own_processor_and_model_give(folders, family):
    """The pictures reach the model as its processor would make them, where it resizes nothing."""
    from goodsam.stages.networks.families import transformers_class

    network = load_model(folders[family]).eval()
    assert isinstance(network, Adapted)
    images = pictures(64, 64)
    processor = transformers_class(network.family.processor)(do_resize=False, do_center_crop=False)
    inputs = processor([*images], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        own = build(family)(pixel_values=inputs).logits
        ours = network(pixel_values=normalise(images, torch.device("cpu"))).logits
    expected = F.interpolate(own, ours.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * own.abs().max().item())
