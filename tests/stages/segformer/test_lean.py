import copy

import pytest
import torch

from goodsam.data.classes import CITYSCAPES
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.segformer.lean import LeanDecoder, LeanHead, lean_logits


def random_segformer(architecture):
    torch.manual_seed(0)
    model = build_segformer(architecture, CITYSCAPES).double().eval()
    head = model.decode_head
    with torch.no_grad():  # nothing that happens to be 0 or 1 in a new network
        for tensor in (head.batch_norm.weight, head.batch_norm.bias, head.batch_norm.running_mean):
            tensor.normal_()
        head.batch_norm.running_var.uniform_(0.5, 2)
        for layer in head.linear_projections:
            layer.proj.bias.normal_()
    return model


@pytest.mark.parametrize("architecture", ["w16", "b0"])
@pytest.mark.parametrize("size", [(64, 96), (50, 77)])
def test_the_lean_decoder_is_that_of_transformers(architecture, size):
    model = random_segformer(architecture)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        expected = model(pixel_values=images).logits
        found = lean_logits(model, LeanDecoder.of(model), images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
def test_the_lean_head_learns_as_that_of_transformers(training):
    """Logits and the gradient of every parameter; in training mode the statistics of the batch."""
    theirs = random_segformer("w16")
    ours = copy.deepcopy(theirs)
    LeanHead.put_into(ours)
    assert type(ours.decode_head) is not type(theirs.decode_head)
    images = torch.randn(2, 3, 50, 77, dtype=torch.float64)
    found = []
    for model in (theirs, ours):
        model.decode_head.train(training)
        model.decode_head.dropout.eval()
        logits = model(pixel_values=images).logits
        logits.square().sum().backward()
        found.append((logits.detach(), {n: p.grad for n, p in model.named_parameters()}))
    (expected, gradients), (logits, lean) = found
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    scale = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(lean[name] / scale, gradient / scale, rtol=1e-9, atol=1e-12)


def test_a_loaded_model_is_lean_and_saved_as_it_was(tmp_path):
    """Its copy too; in bfloat16 it stays near its own float32."""
    save_segformer(build_segformer("w16", ("road", "car")), tmp_path / "first")
    model = load_segformer(tmp_path / "first").eval()
    assert isinstance(copy.deepcopy(model).decode_head, LeanHead)
    save_segformer(model, tmp_path / "second")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(pixel_values=images).logits
        with torch.autocast("cpu", torch.bfloat16):
            found = model(pixel_values=images).logits.float()
    assert float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())
