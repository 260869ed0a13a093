"""Tiny networks of every family, with random weights, saved as transformers itself saves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers as tf

NAMES = ("road", "car", "sky", "person", "lamp")

_SMALL = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
_VIT = {**_SMALL, "intermediate_size": 32, "image_size": 64, "patch_size": 16}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_DECODER = {"num_attention_heads": 2, "num_queries": 6, "hidden_dim": 32, "dim_feedforward": 16}


def _swin() -> tf.SwinConfig:
    heads = {"depths": [1] * 4, "num_heads": [1, 2, 2, 2], "window_size": 4}
    return tf.SwinConfig(embed_dim=8, out_features=_STAGES, **heads)


def _convnext() -> tf.ConvNextConfig:
    sizes = {"hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4}
    return tf.ConvNextConfig(out_features=_STAGES, **sizes)


def _segformer(names: dict) -> tf.PreTrainedModel:
    sizes = {"hidden_sizes": [8, 16, 40, 64], "depths": [1] * 4, "decoder_hidden_size": 16}
    return tf.SegformerForSemanticSegmentation(tf.SegformerConfig(**sizes, **names))


def _upernet(backbone: Callable, channels: int) -> Callable[[dict], tf.PreTrainedModel]:
    sizes = {"hidden_size": 16, "auxiliary_in_channels": channels, "auxiliary_channels": 8}
    return lambda names: tf.UperNetForSemanticSegmentation(
        tf.UperNetConfig(backbone_config=backbone(), **sizes, **names)
    )


def _beit(names: dict) -> tf.PreTrainedModel:
    sizes = {**_VIT, "out_indices": [1, 2, 3, 4], "auxiliary_channels": 8}
    config = tf.BeitConfig(**sizes, use_relative_position_bias=True, **names)
    return tf.BeitForSemanticSegmentation(config)


def _data2vec(names: dict) -> tf.PreTrainedModel:
    sizes = {**_VIT, "out_indices": [1, 2, 3, 4], "auxiliary_channels": 8}
    config = tf.Data2VecVisionConfig(**sizes, use_relative_position_bias=True, **names)
    return tf.Data2VecVisionForSemanticSegmentation(config)


def _dpt(names: dict) -> tf.PreTrainedModel:
    sizes = {**_VIT, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16]}
    return tf.DPTForSemanticSegmentation(tf.DPTConfig(**sizes, fusion_hidden_size=16, **names))


def _mobilevit(names: dict) -> tf.PreTrainedModel:
    sizes = {"hidden_sizes": [16] * 3, "neck_hidden_sizes": [8] * 6 + [16]}
    config = tf.MobileViTConfig(
        **sizes, num_attention_heads=2, aspp_out_channels=16, output_stride=16, **names
    )
    return tf.MobileViTForSemanticSegmentation(config)


def _mobilevitv2(names: dict) -> tf.PreTrainedModel:
    config = tf.MobileViTV2Config(width_multiplier=0.25, aspp_out_channels=16, **names)
    return tf.MobileViTV2ForSemanticSegmentation(config)


def _mobilenet(names: dict) -> tf.PreTrainedModel:
    config = tf.MobileNetV2Config(depth_multiplier=0.1, output_stride=8, **names)
    return tf.MobileNetV2ForSemanticSegmentation(config)


def _maskformer(names: dict) -> tf.PreTrainedModel:
    layers = {f"{side}_{what}": 1 for side in ("encoder", "decoder") for what in ("layers",)}
    wide = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 6}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    decoder = tf.DetrConfig(
        d_model=16, backbone_config=tf.ResNetConfig(), **layers, **wide, **heads
    )
    sizes = {"fpn_feature_size": 32, "mask_feature_size": 32}
    config = tf.MaskFormerConfig(backbone_config=_swin(), decoder_config=decoder, **sizes, **names)
    return tf.MaskFormerForInstanceSegmentation(config)


def _mask2former(names: dict) -> tf.PreTrainedModel:
    sizes = {"feature_size": 32, "mask_feature_size": 32, "encoder_feedforward_dim": 16}
    config = tf.Mask2FormerConfig(
        backbone_config=_swin(), encoder_layers=1, decoder_layers=2, **sizes, **_DECODER, **names
    )
    return tf.Mask2FormerForUniversalSegmentation(config)


def _oneformer(names: dict) -> tf.PreTrainedModel:
    sizes = {"mask_dim": 32, "conv_dim": 32, "encoder_feedforward_dim": 16, "query_dec_layers": 1}
    text = {"width": 32, "num_layers": 1, "vocab_size": 99, "context_length": 9, "n_ctx": 2}
    config = tf.OneFormerConfig(
        backbone_config=_swin(),
        encoder_layers=1,
        decoder_layers=2,
        is_training=False,
        **{f"text_encoder_{name}": value for name, value in text.items()},
        **sizes,
        **_DECODER,
        **names,
    )
    return tf.OneFormerForUniversalSegmentation(config)


def _eomt(names: dict) -> tf.PreTrainedModel:
    sizes = {**_VIT, "num_blocks": 2, "num_queries": 6, "num_upscale_blocks": 2}
    return tf.EomtForUniversalSegmentation(tf.EomtConfig(**sizes, **names))


def _eomt_dinov3(names: dict) -> tf.PreTrainedModel:
    sizes = {**_VIT, "num_blocks": 2, "num_queries": 6, "num_upscale_blocks": 2}
    return tf.EomtDinov3ForUniversalSegmentation(tf.EomtDinov3Config(**sizes, **names))


PIXELS = {
    "segformer": _segformer,
    "upernet-swin": _upernet(_swin, 32),
    "upernet-convnext": _upernet(_convnext, 16),
    "beit": _beit,
    "data2vec": _data2vec,
    "dpt": _dpt,
    "mobilevit": _mobilevit,
    "mobilevitv2": _mobilevitv2,
    "mobilenet_v2": _mobilenet,
}
UNIVERSAL = {
    "maskformer": _maskformer,
    "mask2former": _mask2former,
    "oneformer": _oneformer,
    "eomt": _eomt,
    "eomt_dinov3": _eomt_dinov3,
}
BUILDERS = {**PIXELS, **UNIVERSAL}


def build(family: str, names: tuple[str, ...] = NAMES, seed: int = 0) -> tf.PreTrainedModel:
    """A network whose labels depend on the picture, which those of a new one hardly do."""
    torch.manual_seed(seed)
    ids = dict(enumerate(names))
    model = BUILDERS[family]({"id2label": ids, "label2id": {n: i for i, n in ids.items()}}).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


def write(folder: Path, family: str, names: tuple[str, ...] = NAMES, seed: int = 0) -> Path:
    """The folder of a network, with what its family has beside the weights."""
    build(family, names, seed).save_pretrained(folder)
    if family == "oneformer":
        write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """CLIP's two files, as small as they can be: a word is its letters."""
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
