import pytest
import torch

from goodsam.data.classes import CITYSCAPES
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.lean import LeanDecoder, lean_logits


@pytest.mark.parametrize("architecture", ["w16", "b0"])
@pytest.mark.parametrize("size", [(64, 96), (50, 77)])
def test_the_lean_decoder_is_that_of_transformers(architecture, size):
    torch.manual_seed(0)
    model = build_segformer(architecture, CITYSCAPES).double().eval()
    head = model.decode_head
    with torch.no_grad():  # nothing that happens to be 0 or 1 in a new network
        for tensor in (head.batch_norm.weight, head.batch_norm.bias, head.batch_norm.running_mean):
            tensor.normal_()
        head.batch_norm.running_var.uniform_(0.5, 2)
        for layer in head.linear_projections:
            layer.proj.bias.normal_()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        expected = model(pixel_values=images).logits
        found = lean_logits(model, LeanDecoder.of(model), images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
