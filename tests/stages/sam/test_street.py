"""The demo SAM's own parts, against segment-anything's classes and against the plain sums."""

import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from goodsam.stages.sam.decode import decode_masks, decode_tokens, project_image
from goodsam.stages.sam.encoder import VECTOR
from goodsam.stages.sam.registry import street_sam
from goodsam.stages.sam.street import vector_terms


@pytest.fixture
def sam() -> Sam:
    torch.manual_seed(0)
    return street_sam().eval()


@pytest.fixture
def loud(sam: Sam) -> Sam:
    """One whose vectors count."""
    decoder = sam.mask_decoder
    with torch.no_grad():
        last = decoder.lean.layers[-1]
        for parameter in (decoder.gain, decoder.pointed.weight, last.weight, last.bias):
            parameter.normal_()
    return sam


def prompts(sam: Sam, points: torch.Tensor, labels: torch.Tensor) -> tuple:
    return sam.prompt_encoder((points, labels), None, None)


@torch.no_grad()
def test_at_first_it_is_a_plain_sam(sam: Sam) -> None:
    plain = MaskDecoder(
        transformer_dim=96,
        transformer=TwoWayTransformer(depth=2, embedding_dim=96, num_heads=6, mlp_dim=384),
        iou_head_hidden_dim=96,
    ).eval()
    plain.load_state_dict(sam.mask_decoder.state_dict(), strict=False)
    encoder = PromptEncoder(
        embed_dim=96, image_embedding_size=(32, 32), input_image_size=(512, 512), mask_in_chans=16
    )
    encoder.load_state_dict(sam.prompt_encoder.state_dict())
    image, points, labels = torch.randn(1, 352, 32, 32), torch.rand(3, 2, 2) * 512, torch.ones(3, 2)
    pe = encoder.get_dense_pe()
    found = sam.mask_decoder(image, pe, *prompts(sam, points, labels), True)
    expected = plain(image[:, :96], pe, *encoder((points, labels), None, None), True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize("labels", [(1, 1), (1, 0), (0, 0)])
def test_many_prompts_at_once_are_the_reference_s(loud: Sam, labels: tuple[int, int]) -> None:
    image, points = torch.randn(1, 352, 32, 32), torch.rand(3, 2, 2) * 512
    sparse, dense = prompts(loud, points, torch.tensor(labels).expand(3, 2))
    pe = loud.prompt_encoder.get_dense_pe()
    logits, iou = loud.mask_decoder.predict_masks(image, pe, sparse, dense)
    projected = project_image(loud.mask_decoder, image[0] + dense[0, :, :1, :1], pe[0])
    tokens, prompted, fast_iou = decode_tokens(loud.mask_decoder, projected, sparse)
    fast = decode_masks(loud.mask_decoder, tokens, prompted, (32, 32), 0, projected.pixels)
    torch.testing.assert_close(fast, logits, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(fast_iou, iou, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_is_near_the_point_s_vector_joins_the_mask(sam: Sam) -> None:
    image, points = torch.randn(1, 352, 32, 32), torch.tensor([[[100.2, 37.9]]])
    sparse, _ = prompts(sam, points, torch.ones(1, 1))
    pixels = vector_terms(image[0])
    _, near = sam.mask_decoder.looked_up(sparse, pixels)
    vectors = F.pixel_shuffle(image[0, -16 * VECTOR :], 4)
    far = (vectors - vectors[:, 38 // 4, 100 // 4, None, None]).square().sum(0)
    expected = sam.mask_decoder.radius.exp() - far
    torch.testing.assert_close(
        (near @ pixels.flatten(1)).view_as(far), expected, rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_boxes_and_background_points_have_no_vector(sam: Sam) -> None:
    pixels = vector_terms(torch.randn(352, 32, 32))
    box, _ = sam.prompt_encoder(None, torch.tensor([[10.0, 20.0, 200.0, 300.0]]), None)
    outside, _ = prompts(sam, torch.rand(1, 1, 2) * 512, torch.zeros(1, 1))
    for sparse in (box, outside):
        tokens, near = sam.mask_decoder.looked_up(sparse, pixels)
        torch.testing.assert_close(tokens, sparse[..., :96])
        assert not near.any()
