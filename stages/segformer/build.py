"""SegFormers with random weights: the shapes that are known by a name."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import SegformerConfig, SegformerForSemanticSegmentation

from goodsam.data.errors import InputError


@dataclass(frozen=True)
class Architecture:
    """Widths and depths of a SegFormer's four stages, and the width of its decoder."""

    hidden_sizes: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    decoder: int


# b0 to b5: Table 6 of the SegFormer paper (Xie et al., NeurIPS 2021). w32, w16 and w8 are ours, for
# the street world: B0's shape with a narrower decoder, and all of that at half and a quarter of
# the width.
ARCHITECTURES = {
    "w8": Architecture((8, 16, 40, 64), (2, 2, 2, 2), 16),
    "w16": Architecture((16, 32, 80, 128), (2, 2, 2, 2), 32),
    "w32": Architecture((32, 64, 160, 256), (2, 2, 2, 2), 128),
    "b0": Architecture((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b1": Architecture((64, 128, 320, 512), (2, 2, 2, 2), 256),
    "b2": Architecture((64, 128, 320, 512), (3, 4, 6, 3), 768),
    "b3": Architecture((64, 128, 320, 512), (3, 4, 18, 3), 768),
    "b4": Architecture((64, 128, 320, 512), (3, 8, 27, 3), 768),
    "b5": Architecture((64, 128, 320, 512), (3, 6, 40, 3), 768),
}


def build_segformer(
    architecture: str, names: tuple[str, ...], drop_path: float = 0.1
) -> SegformerForSemanticSegmentation:
    """A SegFormer with random weights for the classes `names`. InputError for an unknown name."""
    if architecture not in ARCHITECTURES:
        raise InputError(f"model {architecture!r}: use one of {', '.join(ARCHITECTURES)}")
    shape = ARCHITECTURES[architecture]
    config = SegformerConfig(
        hidden_sizes=list(shape.hidden_sizes),
        depths=list(shape.depths),
        decoder_hidden_size=shape.decoder,
        drop_path_rate=drop_path,
        classifier_dropout_prob=0.1,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        semantic_loss_ignore_index=255,
    )
    return SegformerForSemanticSegmentation(config)
