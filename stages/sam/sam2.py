"""SAM 2 and what is built like it: SAM 2.1, EdgeTAM and the tracker of SAM 3, on still pictures.

transformers' image encoders are taken as they are. Prompt encoder and mask decoder are rebuilt from
segment-anything's parts, which they are made of under other names, so that mask generation treats
them as the first SAM's (`goodsam.stages.sam.decode`). Against that one:

- the encoder gives two finer maps beside the tokens, which are added while the masks grow. They are
  projected once an image, and lie in blocks of the token they belong to: with C channels of tokens,
  C / 4 channels twice as fine and C / 8 channels four times as fine make 3 C more a token;
- the first token asks whether there is an object at all (not used for stills), then come predicted
  IoU and masks; the predicted IoU goes through a sigmoid;
- images are stretched to a square (`square`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import PromptEncoder, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from torch import Tensor, nn

from goodsam.stages.sam.decode import mask_logits, up_matrix, weights_of
from goodsam.stages.sam.norm import normed
from goodsam.stages.sam.renamed import load_part, renamed_state
from goodsam.stages.sam.square import SquareSam

MASKS = 4  # of a prompt: for a prompt of several points, and whole, part, subpart


class Sam2Encoder(nn.Module):
    """An image encoder of transformers with the decoder's projections of its finer maps."""

    def __init__(self, vision: nn.Module, size: int, width: int) -> None:
        super().__init__()
        self.vision, self.img_size = vision, size
        self.fine, self.finer = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width, width // 8, 1)
        self.no_memory = nn.Parameter(torch.zeros(width))
        # only videos want the maps' positional encodings, and they take more memory than the maps
        vision.get_submodule("neck").position_encoding = _Nothing()

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S) -> (B, 4 C, h, w): tokens, finer maps in blocks."""
        maps = list(self.vision(pixels_BCHW).fpn_hidden_states)
        # as transformers: on the last map there is, for SAM 3 a coarser one that nothing uses
        maps[-1] = maps[-1] + self.no_memory[:, None, None]
        fine, finer = self.fine(maps[1]), self.finer(maps[0])
        return torch.cat([maps[2], F.pixel_unshuffle(fine, 2), F.pixel_unshuffle(finer, 4)], dim=1)


class _Nothing(nn.Module):
    def forward(self, shape: Any, device: Any, dtype: torch.dtype) -> Tensor:
        return torch.zeros((), dtype=dtype, device=device)


class Sam2PromptEncoder(PromptEncoder):
    """The first SAM's, with a positional encoding of the image apart from that of the points."""

    def __init__(self, width: int, size: int, tokens: int, mask_channels: int) -> None:
        super().__init__(width, (tokens, tokens), (size, size), mask_channels)
        self.image_pe = PositionEmbeddingRandom(width // 2)

    def get_dense_pe(self) -> Tensor:
        return self.image_pe(self.image_embedding_size)[None]


class Sam2Decoder(nn.Module):
    """A `goodsam.stages.sam.decode.Decoder`."""

    def __init__(self, width: int, heads: int, mlp: int, iou_width: int, iou_depth: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(2, width, heads, mlp)
        self.obj_score_token = nn.Embedding(1, width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(width, width, width // 8, 3) for _ in range(MASKS)
        )
        self.iou_prediction_head = MLP(width, iou_width, MASKS, iou_depth, sigmoid_output=True)
        self.pred_obj_score_head = MLP(width, width, 1, 3)

    def _upscaling(self) -> Any:
        """Transposed convolution, norm, activation, the second one, activation."""
        return self.output_upscaling

    def own_of_image(self, image_XHW: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The finer maps, biases of the transposed convolutions added: (N, C), (4 N, C / 2).

        Rows are the places of `mask_logits`' blocks, the second map's those of the first one's
        children; columns are children, row by row, of C / 4 and C / 8 channels.
        """
        up1, _, _, up2, _ = self._upscaling()
        h, w = image_XHW.shape[-2:]
        c1, c2 = up1.out_channels, up2.out_channels
        _, fine, finer = image_XHW.split([up1.in_channels, 4 * c1, 16 * c2])
        fine = fine.view(c1, 2, 2, h, w).permute(3, 4, 1, 2, 0)
        finer = finer.view(c2, 2, 2, 2, 2, h, w).permute(5, 6, 1, 3, 2, 4, 0)
        return (
            (fine + up1.bias).reshape(h * w, -1).to(dtype),
            (finer + up2.bias).reshape(4 * h * w, -1).to(dtype),
        )

    def begin(self, prompts_PnX: Tensor, own: Any) -> tuple[Tensor, None]:
        first = [self.obj_score_token, self.iou_token, self.mask_tokens]
        tokens = torch.cat([token.weight for token in first])
        return torch.cat([tokens.expand(len(prompts_PnX), -1, -1), prompts_PnX], dim=1), None

    def end(self, tokens_PTC: Tensor, begun: Any) -> tuple[Tensor, Tensor]:
        return tokens_PTC[:, 2 : 2 + MASKS], self.iou_prediction_head(tokens_PTC[:, 1])

    def object_score(self, tokens_PTC: Tensor) -> Tensor:
        """The logit of there being an object at all (P, 1), from the tokens that `end` gets."""
        score: Tensor = self.pred_obj_score_head(tokens_PTC[:, 0])
        return score

    def masks(
        self,
        tokens_PmX: Tensor,
        image_PNC: Tensor,
        size: tuple[int, int],
        first: int,
        own: tuple[Tensor, Tensor],
    ) -> Tensor:
        up1, norm, act, up2, act2 = self._upscaling()
        fine, finer = own
        pixels = act(normed(norm, _up_onto(fine, image_PNC, up1).unflatten(-1, (4, -1))))
        pixels = act2(_up_onto(finer, pixels.flatten(1, 2), up2).unflatten(-1, (4, -1)))
        hyper = weights_of(self.output_hypernetworks_mlps, tokens_PmX, first)
        return mask_logits(hyper, pixels, size)


def _up_onto(map_NK: Tensor, x_PNC: Tensor, up: nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution's products, added to a map that all prompts share: (P, N, K)."""
    matrix = up_matrix(up).to(x_PNC.dtype).T
    p = len(x_PNC)
    return torch.baddbmm(map_NK.expand(p, -1, -1), x_PNC, matrix.expand(p, -1, -1))


def sam2_of(model: Any, mean: list[float], std: list[float]) -> SquareSam:
    """A Sam2Model, EdgeTamModel or Sam3TrackerModel of transformers as a Sam, of the same weights.

    mean, std: of red, green and blue, 0 to 1. KeyError or RuntimeError for a model whose parts are
    of other shapes than all published ones.
    """
    prompts, decoder = model.config.prompt_encoder_config, model.config.mask_decoder_config
    width, size = prompts.hidden_size, prompts.image_size
    encoder = Sam2Encoder(model.vision_encoder, size, width)
    prompt_encoder = Sam2PromptEncoder(
        width, size, size // prompts.patch_size, prompts.mask_input_channels
    )
    sam = SquareSam(
        encoder,
        prompt_encoder,
        Sam2Decoder(
            width,
            decoder.num_attention_heads,
            decoder.mlp_dim,
            decoder.iou_head_hidden_dim,
            decoder.iou_head_depth,
        ),
        [255 * x for x in mean],
        [255 * x for x in std],
    )
    state = renamed_state(model.state_dict(), decoder.iou_head_depth)
    with torch.no_grad():
        encoder.no_memory.copy_(state["no_memory_embedding"].flatten())
    load_part(encoder.fine, state, "mask_decoder.conv_s1.")
    load_part(encoder.finer, state, "mask_decoder.conv_s0.")
    load_part(prompt_encoder.image_pe, state, "shared_image_embedding.")
    load_part(prompt_encoder, state, "prompt_encoder.", but="image_pe.")
    load_part(sam.mask_decoder, state, "mask_decoder.")
    return sam.eval().requires_grad_(False)
