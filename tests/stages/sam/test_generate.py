"""The generator against segment-anything's own, mask for mask."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.utils.amg import batched_mask_to_box

from goodsam.data.errors import InputError
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import Windows
from goodsam.stages.sam.decode import decode_masks, decode_tokens, project_image
from goodsam.stages.sam.encode import (
    BIAS_ELEMENTS,
    biased_by_channels,
    biased_by_rows,
    encode,
)
from goodsam.stages.sam.generate import (
    IMAGES_TOGETHER,
    GeneratorConfig,
    PackedMasks,
    SamGenerator,
    boxes_of,
    pack,
    settled,
)
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import default_generator


def tiny_sam(seed: int = 0, loud: float = 4.0) -> Sam:
    """A SAM of 64 px input with random weights, loud enough for its masks to differ."""
    torch.manual_seed(seed)
    width, tokens = 16, 8
    sam = Sam(
        ImageEncoderViT(
            img_size=64, patch_size=8, embed_dim=16, depth=1, num_heads=2, out_chans=width
        ),
        PromptEncoder(
            embed_dim=width,
            image_embedding_size=(tokens, tokens),
            input_image_size=(64, 64),
            mask_in_chans=4,
        ),
        MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(depth=2, embedding_dim=width, num_heads=2, mlp_dim=32),
            iou_head_hidden_dim=width,
        ),
    )
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(loud)
    return sam.eval()


def reference(sam: Sam, image: np.ndarray, config: GeneratorConfig) -> list[dict]:
    found = SamAutomaticMaskGenerator(
        sam,
        points_per_side=config.points_per_side,
        points_per_batch=config.points_per_batch or 64,
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        stability_score_offset=config.stability_score_offset,
        box_nms_thresh=config.box_nms_thresh,
    ).generate(image)
    return sorted(found, key=lambda mask: -mask["predicted_iou"])


def assert_same(sam: Sam, image: np.ndarray, config: GeneratorConfig) -> int:
    config = replace(config, mode="exact")
    (found,), expected = SamGenerator(sam, config)([image]), reference(sam, image, config)
    assert len(found) == len(expected)
    for mask, iou, stability, box, other in zip(
        found.masks(), found.predicted_iou, found.stability, found.box, expected, strict=True
    ):
        truth = other["segmentation"]
        assert (mask ^ truth).sum() <= 1e-3 * truth.size  # logits of zero, rounded otherwise
        assert iou == pytest.approx(other["predicted_iou"], abs=1e-4)
        assert stability == pytest.approx(other["stability_score"], abs=1e-2)
        if (mask == truth).all():
            x, y, w, h = other["bbox"]
            assert box.tolist() == [x, y, x + w, y + h]
    return len(found)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(50, 64), (50, 32), (33, 70), (128, 128)])
def test_masks_are_the_reference_s(height: int, width: int) -> None:
    config = GeneratorConfig(
        points_per_side=4,
        points_per_batch=5,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    assert assert_same(tiny_sam(), picture(1, height, width), config) > 20


def test_filters_are_the_reference_s() -> None:
    sam, image = tiny_sam(2), picture(2, 50, 64)
    opened = GeneratorConfig(
        points_per_side=6, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    (every,) = SamGenerator(sam, opened)([image])
    iou = _gap(every.predicted_iou, 0.5)
    stability = _gap(every.stability, 0.3)
    config = GeneratorConfig(
        points_per_side=6,
        pred_iou_thresh=iou,
        stability_score_thresh=stability,
        box_nms_thresh=0.8,
    )
    assert 0 < assert_same(sam, image, config) < len(every)


def _gap(values: np.ndarray, quantile: float) -> float:
    """A threshold near a quantile, in the widest gap around it: rounding crosses no threshold."""
    ordered = np.sort(values[values > 0])
    at = int(quantile * len(ordered))
    near = ordered[max(at - 5, 0) : at + 6]
    widest = int(np.argmax(np.diff(near)))
    return float(near[widest : widest + 2].mean())


def test_masks_fall_in_predicted_iou() -> None:
    config = GeneratorConfig(points_per_side=5, pred_iou_thresh=0, stability_score_thresh=0)
    (masks,) = SamGenerator(tiny_sam(3), config)([picture(3, 40, 64)])
    assert (np.diff(masks.predicted_iou) <= 0).all()


def test_no_mask_passes() -> None:
    config = GeneratorConfig(points_per_side=3, pred_iou_thresh=1e9)
    (masks,) = SamGenerator(tiny_sam(), config)([picture(4, 20, 64)])
    assert len(masks) == 0
    assert masks.cells.shape == (20, 64)
    assert masks.masks().shape == (0, 20, 64)


def test_no_points_are_refused() -> None:
    with pytest.raises(InputError, match="points_per_"):
        GeneratorConfig(points_per_side=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), prompts=st.integers(1, 9))
@torch.no_grad()
def test_decoder_is_the_reference_s(seed: int, prompts: int) -> None:
    sam = tiny_sam(seed, loud=1.0)
    image = torch.randn(1, 16, 8, 8)
    points = torch.rand(prompts, 2, 2) * 64  # two points a prompt, the second one negative
    labels = torch.tensor([1, 0]).expand(prompts, 2)
    sparse, dense = sam.prompt_encoder((points, labels), None, None)
    pe = sam.prompt_encoder.get_dense_pe()
    logits, iou = sam.mask_decoder.predict_masks(image, pe, sparse, dense)
    tokens, prompted, fast_iou = decode_tokens(
        sam.mask_decoder,
        project_image(sam.mask_decoder, image[0] + dense[0, :, :1, :1], pe[0]),
        sparse,
    )
    fast = decode_masks(sam.mask_decoder, tokens, prompted, (8, 8), first=0)
    torch.testing.assert_close(fast, logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast_iou, iou, rtol=1e-4, atol=1e-5)


def test_demo_sam_gives_the_reference_s_masks() -> None:
    sam = load_sam("street").model
    world = panorama(split_seed("tuning", 3), look="random")
    columns = Windows.of(200, 1024).columns[2]
    image = np.ascontiguousarray(world.image[:, columns])
    default = default_generator("street")
    config = replace(default, points_per_side=8, pred_iou_thresh=0.3, stability_score_thresh=0.7)
    assert assert_same(sam, image, config) >= 3


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 32), seed=st.integers(0, 99))
def test_one_doubling_is_sam_s_two_resizes(height: int, seed: int) -> None:
    generator = SamGenerator(tiny_sam())
    low = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(seed))
    generator.sam.image_encoder.img_size = 64
    found = generator._enlarged(low, (4, 4), (2 * height, 64), (height, 32))
    twice = generator.sam.postprocess_masks(low[:, None], (2 * height, 64), (height, 32))[:, 0]
    torch.testing.assert_close(found, twice, rtol=0, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 5), height=st.integers(1, 9), width=st.integers(1, 9), data=st.data())
def test_bits_and_boxes_of_any_masks(count: int, height: int, width: int, data: object) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))  # type: ignore[attr-defined]
    masks = rng.random((count, height, width)) < rng.random((count, 1, 1)) ** 3
    bits = pack(torch.from_numpy(masks)).numpy()
    empty = np.zeros(count, np.float32)
    np.testing.assert_array_equal(PackedMasks(bits, empty, empty, (height, width)).masks(), masks)
    expected = batched_mask_to_box(torch.from_numpy(masks))
    np.testing.assert_array_equal(boxes_of(torch.from_numpy(masks)), expected)


def test_a_point_is_settled_by_two_prompts_that_agree() -> None:
    inside = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]]).bool()
    assert settled(inside, torch.tensor([0, 1, 2, 2])).tolist() == [True, True, True, False]
    assert not settled(inside, torch.zeros(4)).any()
    assert settled(inside[:0], torch.zeros(0)).tolist() == [False] * 4


def test_adaptive_points_are_a_part_of_the_grid_s() -> None:
    sam, image = tiny_sam(5), picture(5, 50, 64)
    config = GeneratorConfig(
        points_per_side=6,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        box_nms_thresh=1.0,
        mode="exact",
    )
    (every,) = SamGenerator(sam, config)([image])
    (some,) = SamGenerator(sam, replace(config, points="adaptive"))([image])
    assert 0 < len(some) <= len(every)
    known = {mask.tobytes() for mask in every.masks()}
    assert all(mask.tobytes() in known for mask in some.masks())


@pytest.mark.parametrize("together", [1, 2, 8])
def test_several_images_are_one_after_the_other(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GeneratorConfig(points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0)
    generator = SamGenerator(tiny_sam(), config)
    images = [picture(seed, 40, width) for seed, width in enumerate((64, 64, 32, 48, 64))]
    alone_each = [generator([image])[0] for image in images]
    monkeypatch.setitem(IMAGES_TOGETHER, "cpu", together)
    for one, alone in zip(generator(images), alone_each, strict=True):
        np.testing.assert_array_equal(one.masks(), alone.masks())


@pytest.mark.parametrize("setting", [{"mode": "swift"}, {"points": "random"}])
def test_unknown_settings_are_refused(setting: dict[str, str]) -> None:
    with pytest.raises(InputError, match="use"):
        GeneratorConfig(**setting)


def test_a_vit_is_encoded_as_by_its_own_forward() -> None:
    torch.manual_seed(6)
    encoder = ImageEncoderViT(
        img_size=64,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        out_chans=16,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1,),
    ).eval()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_()
        pixels = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(encode(encoder, pixels), encoder(pixels), rtol=1e-4, atol=1e-5)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(BIAS_ELEMENTS, "cpu", 1)  # one row of queries at a time
            one = encode(encoder, pixels)
        torch.testing.assert_close(one, encoder(pixels), rtol=1e-4, atol=1e-5)
        narrow = encode(copy.deepcopy(encoder).bfloat16(), pixels.bfloat16()).float()
        assert (narrow - one).norm() < 0.03 * one.norm()


@pytest.mark.parametrize(("h", "w", "d"), [(14, 14, 80), (3, 7, 5), (1, 1, 8)])
def test_a_bias_in_further_channels_is_the_bias(h: int, w: int, d: int) -> None:
    torch.manual_seed(7)
    q, k, v = (torch.randn(2, 3, h * w, d) for _ in range(3))
    rel_h, rel_w = torch.randn(2, 3, h, w, h), torch.randn(2, 3, h, w, w)
    bias = torch.zeros(2, 3, h * w, h * w)
    for here in range(h * w):
        for there in range(h * w):
            row, column = divmod(here, w)
            bias[:, :, here, there] = (
                rel_h[:, :, row, column, there // w] + rel_w[:, :, row, column, there % w]
            )
    expected = (q @ k.mT / d**0.5 + bias).softmax(-1) @ v
    for biased in (biased_by_rows, biased_by_channels):
        found = biased(q, k, v, rel_h, rel_w)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_bfloat16_changes_little() -> None:
    sam = load_sam("street").model
    image, prompts = torch.randn(352, 32, 32), torch.randn(4, 2, 99)
    pe = sam.prompt_encoder.get_dense_pe()[0]
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        projected = project_image(sam.mask_decoder, image, pe, dtype)
        tokens, prompted, iou = decode_tokens(sam.mask_decoder, projected, prompts)
        assert prompted.dtype == dtype
        assert iou.dtype == torch.float32
        found.append(
            decode_masks(sam.mask_decoder, tokens, prompted, (32, 32), 0, projected.pixels).float()
        )
    exact, fast = found
    assert (exact - fast).abs().mean() < 0.05 * exact.abs().mean()
