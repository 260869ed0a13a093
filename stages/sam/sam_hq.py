"""The first SAM as transformers keeps it, and SAM-HQ, which has one more token for finer edges.

Both are rebuilt from segment-anything's parts. Of SAM-HQ, a finer map is made once an image, of the
tokens and of an early layer of the encoder. A prompt's pixels go through two more convolutions, and
what the added token makes of both is added to each of the prompt's masks. The second convolution is
folded into that token's weights: one channel of results instead of C / 8.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import Tensor, nn

from goodsam.stages.sam.decode import SamDecoder, mask_logits, weights_of
from goodsam.stages.sam.encode import encode_vit
from goodsam.stages.sam.norm import normed
from goodsam.stages.sam.renamed import load_part, renamed_state

CELL = 4  # pixels of a mask along a side of a token


class HqEncoder(nn.Module):
    """SAM's encoder, and the finer map."""

    def __init__(self, vit: ImageEncoderViT, vit_width: int, width: int) -> None:
        super().__init__()
        self.vit, self.img_size = vit, vit.img_size
        self.of_vit, self.of_tokens = _finer(vit_width, width), _finer(width, width // 4, width)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalised, padded images (B, 3, S, S) -> (B, 3 C, h, w): tokens, the map in blocks."""
        tokens, early = encode_vit(self.vit, pixels_BCHW)
        finer = self.of_tokens(tokens) + self.of_vit(early.permute(0, 3, 1, 2))
        return torch.cat([tokens, F.pixel_unshuffle(finer, CELL)], dim=1)


def _finer(before: int, between: int, width: int | None = None) -> nn.Sequential:
    """Four times as fine, C / 8 channels."""
    return nn.Sequential(
        nn.ConvTranspose2d(before, between, 2, 2),
        LayerNorm2d(between),
        nn.GELU(),
        nn.ConvTranspose2d(between, (width or between) // 8, 2, 2),
    )


class HqDecoder(nn.Module):
    """A `goodsam.stages.sam.decode.Decoder`. A mask's token has the added token's channels too."""

    def __init__(self, plain: MaskDecoder) -> None:
        super().__init__()
        width = plain.transformer_dim
        self.plain = plain
        self.hq_token = nn.Embedding(1, width)
        self.hq_mask_mlp = MLP(width, width, width // 8, 3)
        self.mask_conv1 = nn.Conv2d(width // 8, width // 4, 3, padding=1)
        self.mask_norm = LayerNorm2d(width // 4)
        self.mask_conv2 = nn.Conv2d(width // 4, width // 8, 3, padding=1)

    @property
    def transformer(self) -> TwoWayTransformer:
        return self.plain.transformer

    def own_of_image(self, image_XHW: Tensor, dtype: torch.dtype) -> Tensor:
        """The finer map, (C / 8, 4h, 4w)."""
        finer = image_XHW[self.plain.transformer_dim :]
        return F.pixel_shuffle(finer, CELL).to(dtype).contiguous()

    def begin(self, prompts_PnX: Tensor, own: Any) -> tuple[Tensor, None]:
        tokens, _ = SamDecoder(self.plain).begin(prompts_PnX, None)
        added = self.hq_token.weight.expand(len(tokens), -1, -1)
        return torch.cat([tokens, added], dim=1), None  # tokens have no order

    def end(self, tokens_PTC: Tensor, begun: Any) -> tuple[Tensor, Tensor]:
        of_masks, iou = SamDecoder(self.plain).end(tokens_PTC, None)
        added = tokens_PTC[:, -1:].expand_as(of_masks)
        return torch.cat([of_masks, added], dim=-1), iou

    def masks(
        self, tokens_PmX: Tensor, image_PNC: Tensor, size: tuple[int, int], first: int, own: Tensor
    ) -> Tensor:
        tokens, added = tokens_PmX.tensor_split(2, dim=-1)
        pixels = SamDecoder(self.plain).pixels(image_PNC)
        hyper = weights_of(self.plain.output_hypernetworks_mlps, tokens, first)
        masks = mask_logits(hyper, pixels, size)
        hq = self.hq_mask_mlp(added[:, 0]).to(pixels.dtype)  # (P, C / 8)
        return masks + self._of_added(
            hq, _image(pixels, size), own[:, : CELL * size[0], : CELL * size[1]]
        )

    def _of_added(self, hq_PC: Tensor, pixels_PCHW: Tensor, own_CHW: Tensor) -> Tensor:
        """Logits (P, 1, H, W): hq . (conv2(act(norm(conv1(pixels)))) + own), conv2 folded."""
        conv1, conv2, dtype = self.mask_conv1, self.mask_conv2, pixels_PCHW.dtype
        assert conv1.bias is not None
        assert conv2.bias is not None
        x = F.conv2d(pixels_PCHW, conv1.weight.to(dtype), conv1.bias.to(dtype), padding=1)
        x = F.gelu(normed(self.mask_norm, x.permute(0, 2, 3, 1))).flatten(1, 2)  # (P, H W, C / 4)
        # fold lays its 3 x 3 values around a pixel, a convolution gathers them: kernels turned
        kernels = conv2.weight.flip(2, 3).flatten(2).to(dtype)  # (C / 8, C / 4, 9)
        kernels = torch.einsum("pc,cdk->pkd", hq_PC, kernels)
        h, w = own_CHW.shape[1:]
        values = (kernels @ x.transpose(1, 2)).float()  # (P, 9, H W)
        folded = F.fold(values, (h, w), 3, padding=1).to(dtype)
        rest = hq_PC @ (own_CHW.flatten(1) + conv2.bias.to(dtype)[:, None])
        return folded + rest.view(-1, 1, h, w)


def _image(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(P, N, row, column, row, column, C) in blocks -> (P, C, 4h, 4w), channels last in memory."""
    p, c = len(pixels), pixels.shape[-1]
    h, w = size
    blocks = pixels.view(p, h, w, 2, 2, 2, 2, c).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return blocks.reshape(p, CELL * h, CELL * w, c).permute(0, 3, 1, 2)


def sam_of(model: Any, mean: list[float], std: list[float]) -> Sam:
    """A SamModel or SamHQModel of transformers as a Sam, of the same weights.

    mean, std: of red, green and blue, 0 to 1. KeyError or RuntimeError for a model whose parts are
    of other shapes than all published ones.
    """
    config = model.config
    vision, prompts, decoder = (
        config.vision_config,
        config.prompt_encoder_config,
        config.mask_decoder_config,
    )
    width, tokens = prompts.hidden_size, prompts.image_embedding_size
    vit = ImageEncoderViT(
        img_size=vision.image_size,
        patch_size=vision.patch_size,
        embed_dim=vision.hidden_size,
        depth=vision.num_hidden_layers,
        num_heads=vision.num_attention_heads,
        mlp_ratio=vision.mlp_dim / vision.hidden_size,
        out_chans=vision.output_channels,
        qkv_bias=vision.qkv_bias,
        norm_layer=partial(nn.LayerNorm, eps=vision.layer_norm_eps),
        use_abs_pos=vision.use_abs_pos,
        use_rel_pos=vision.use_rel_pos,
        window_size=vision.window_size,
        global_attn_indexes=tuple(vision.global_attn_indexes),
    )
    prompt_encoder = PromptEncoder(
        width, (tokens, tokens), (prompts.image_size,) * 2, prompts.mask_input_channels
    )
    plain = MaskDecoder(
        transformer_dim=width,
        transformer=TwoWayTransformer(2, width, decoder.num_attention_heads, decoder.mlp_dim),
        iou_head_depth=decoder.iou_head_depth,
        iou_head_hidden_dim=decoder.iou_head_hidden_dim,
    )
    for layer in plain.transformer.layers:
        for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4):
            norm.eps = decoder.layer_norm_eps
    state = renamed_state(model.state_dict(), decoder.iou_head_depth)
    load_part(vit, state, "vision_encoder.")
    load_part(prompt_encoder, state, "prompt_encoder.")
    if hasattr(model.mask_decoder, "hq_token"):
        encoder = HqEncoder(vit, decoder.vit_dim, width)
        for part, name in ((encoder.of_vit, "compress_vit"), (encoder.of_tokens, "encoder")):
            for number, old in enumerate(("conv1", "norm", "", "conv2")):
                if old:
                    load_part(part[number], state, f"mask_decoder.{name}_{old}.")
        hq = HqDecoder(plain)
        for own, child in hq.named_children():
            if own != "plain":
                load_part(child, state, f"mask_decoder.{own}.")
        load_part(plain, state, "mask_decoder.")
        sam = Sam(encoder, prompt_encoder, hq, [255 * x for x in mean], [255 * x for x in std])
    else:
        load_part(plain, state, "mask_decoder.")
        sam = Sam(vit, prompt_encoder, plain, [255 * x for x in mean], [255 * x for x in std])
    return sam.eval().requires_grad_(False)
