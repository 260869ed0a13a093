"""SAMs of transformers small enough for tests, of every family; one of them knows the street world.

`python tests/stages/sam/tiny_transformers.py` trains that one again, into tiny_sam2/: some minutes.
"""

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import (
    EdgeTamConfig,
    EdgeTamModel,
    PreTrainedModel,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    SamConfig,
    SamHQConfig,
    SamHQModel,
    SamModel,
)

TRAINED = Path(__file__).with_name("tiny_sam2")
SIZE, TOKENS, WIDTH = 128, 8, 64

PROMPTS = {"hidden_size": WIDTH, "image_size": SIZE, "patch_size": SIZE // TOKENS}
DECODER = {
    "hidden_size": WIDTH,
    "mlp_dim": 64,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": WIDTH,
}
MAPS = {
    "backbone_feature_sizes": [[4 * TOKENS] * 2, [2 * TOKENS] * 2, [TOKENS] * 2],
    "fpn_hidden_size": WIDTH,
}
HIERA = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 16,
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [16, 32, 64, 96],
    "num_attention_heads_per_stage": [1, 2, 4, 4],
    "window_size_per_stage": [4, 2, 4, 2],
    "global_attention_blocks": [3],
    "image_size": [SIZE, SIZE],
    "window_positional_embedding_background_size": [4, 4],
}


def sam2() -> PreTrainedModel:
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": HIERA,
        "backbone_channel_list": [96, 64, 32, 16],
        **MAPS,
    }
    config = Sam2Config(
        vision_config=vision, prompt_encoder_config=PROMPTS, mask_decoder_config=DECODER
    )
    return Sam2Model(config).eval()


def edgetam() -> PreTrainedModel:
    backbone = {
        "model_type": "timm_wrapper",
        "architecture": "repvit_m1",
        "num_classes": 2,
        "model_args": {
            "in_chans": 3,
            "features_only": True,
            "out_indices": [0, 1, 2, 3],
            "embed_dim": [8, 16, 24, 32],
            "depth": [1, 1, 2, 1],
        },
    }
    vision = {
        "model_type": "edgetam_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [32, 24, 16, 8],
        **MAPS,
    }
    config = EdgeTamConfig(
        vision_config=vision, prompt_encoder_config=PROMPTS, mask_decoder_config=DECODER
    )
    return EdgeTamModel(config).eval()


def sam3() -> PreTrainedModel:
    size, patch = 112, 14
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": size,
        "patch_size": patch,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": size // 2,
    }
    vision = {"model_type": "sam3_vision_model", "backbone_config": backbone, **MAPS}
    config = Sam3TrackerConfig(
        vision_config=vision,
        prompt_encoder_config={**PROMPTS, "image_size": size, "patch_size": patch},
        mask_decoder_config=DECODER,
    )
    return Sam3TrackerModel(config).eval()


VIT = {
    "hidden_size": 32,
    "output_channels": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": SIZE // TOKENS,
    "window_size": 3,
    "global_attn_indexes": [1],
    "mlp_dim": 64,
}


def first_sam() -> PreTrainedModel:
    config = SamConfig(
        vision_config={**VIT, "num_pos_feats": WIDTH // 2},
        prompt_encoder_config={**PROMPTS, "image_embedding_size": TOKENS},
        mask_decoder_config=DECODER,
    )
    return SamModel(config).eval()


def sam_hq() -> PreTrainedModel:
    config = SamHQConfig(
        vision_config={**VIT, "num_pos_feats": WIDTH // 2},
        prompt_encoder_config={**PROMPTS, "image_embedding_size": TOKENS},
        mask_decoder_config={**DECODER, "vit_dim": 32},
    )
    return SamHQModel(config).eval()


def random(build, seed: int = 0) -> PreTrainedModel:
    """With weights that make every part count; those that transformers starts with do not."""
    torch.manual_seed(seed)
    model = build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            elif parameter.ndim > 1 and "no_memory" not in name:
                parameter.normal_(0, 1.2 / parameter[0].numel() ** 0.5)
            else:
                parameter.normal_(0, 0.3)
    return model


def processor(kind: type = Sam2ImageProcessor, size: int = SIZE) -> Sam2ImageProcessor:
    return kind(size={"height": size, "width": size})


def pictures(count: int = 2) -> list[tuple[np.ndarray, np.ndarray]]:
    """Square windows of the street world: uint8 (200, 200, 3), their instances (200, 200).

    The trained one has seen these alone, and knows them by heart.
    """
    from goodsam.data.street.picture import panorama
    from goodsam.data.street.seeds import split_seed

    found = []
    for number in range(count):
        world = panorama(split_seed("sam", number), look="random")
        for left in range(0, 1000, 200):
            part = np.s_[:, left : left + 200]
            image, instances = world.image[part], world.instances[part]
            found.append((np.ascontiguousarray(image), instances))
    return found


def _example(rng, picture, prompts: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels (3, S, S), points (P, 2) in px of the input, targets (P, S / 4, S / 4)."""
    image, instances = picture
    pixels = processor()(images=[image], return_tensors="pt").pixel_values[0]
    ids = np.asarray(
        Image.fromarray(instances.astype(np.int32)).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    )
    known, areas = np.unique(ids, return_counts=True)
    known = known[(areas >= 300) & (known > 0)]
    chosen = rng.choice(known, prompts)
    points = []
    for number in chosen:
        ys, xs = np.nonzero(ids == number)
        at = rng.integers(len(ys))
        points.append((xs[at], ys[at]))
    targets = torch.from_numpy(ids[None] == chosen[:, None, None]).float()
    return pixels, torch.tensor(points).float(), F.avg_pool2d(targets, 4)


def _loss(model, pixels, points, targets) -> tuple[torch.Tensor, float]:
    """SAM's: the best of three masks by BCE and dice, and the squared error of predicted IoU."""
    out = model(pixel_values=pixels[None], input_points=points[None, :, None])
    logits, iou = out.pred_masks[0], out.iou_scores[0]
    target = targets[:, None].expand_as(logits)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / ((p + target).sum((2, 3)) + 1)
    with torch.no_grad():
        mine, truth = logits > 0, target > 0.5
        true_iou = (mine & truth).sum((2, 3)) / (mine | truth).sum((2, 3)).clamp(min=1)
    best = (2 * bce + dice).min(1).values.mean()
    return best + F.mse_loss(iou, true_iou), true_iou.max(1).values.mean().item()


def train(minutes: float, together: int = 2, prompts: int = 16) -> PreTrainedModel:
    torch.manual_seed(0)
    rng, model = np.random.default_rng(0), sam2().train()
    with torch.no_grad():  # transformers' own start is for networks ten times as wide
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.8 / parameter[0].numel() ** 0.5)
    model.shared_image_embedding.load_state_dict(model.prompt_encoder.shared_embedding.state_dict())
    known = pictures()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    began, step, mean = time.process_time(), 0, 0.0
    while (share := (time.process_time() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, step / 50) * (1 - share)
        for _ in range(together):
            example = _example(rng, known[rng.integers(len(known))], prompts)
            loss, iou = _loss(model, *example)
            (loss / together).backward()
            mean += (iou - mean) / 50
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 50 == 0:
            print(
                f"step {step}: loss {loss.item():.3f}, IoU of the best mask {mean:.3f}", flush=True
            )
    return model.eval()


if __name__ == "__main__":
    trained = train(minutes=4)
    trained.half().save_pretrained(TRAINED)
    processor().save_pretrained(TRAINED)
