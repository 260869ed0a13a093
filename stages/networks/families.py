"""The families of semantic segmentation networks in transformers that can be TA or student.

TA: the teacher assistant. A universal network gives masks, each with class probabilities, instead
of logits for each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """Networks that are one class of transformers.

    model, processor: names of its classes. heads: the last layers, with an output channel for each
    class; none for a universal network. square: it takes pictures of `image_size` alone, as its
    position embeddings have that many places. told: it also wants to be told its task, in tokens.
    traced: a trace of it holds for pictures of any size, so that ONNX can be written; the others
    pad, pool or cut by sizes that a trace makes constant.
    """

    model: str
    processor: str
    heads: tuple[str, ...] = ()
    square: bool = False
    told: bool = False
    traced: bool = False

    @property
    def universal(self) -> bool:
        """Whether it gives masks and their classes."""
        return not self.heads


_TWO_HEADS = ("decode_head.classifier", "auxiliary_head.classifier")
_BEIT = "BeitImageProcessor"
_MOBILE = ("segmentation_head.classifier.convolution",)

# By the `model_type` of config.json
FAMILIES = {
    "segformer": Family(
        "SegformerForSemanticSegmentation", "SegformerImageProcessor", _TWO_HEADS[:1], traced=True
    ),
    "upernet": Family("UperNetForSemanticSegmentation", "SegformerImageProcessor", _TWO_HEADS),
    "beit": Family("BeitForSemanticSegmentation", _BEIT, _TWO_HEADS, square=True),
    "data2vec-vision": Family(
        "Data2VecVisionForSemanticSegmentation", _BEIT, _TWO_HEADS, square=True
    ),
    "dpt": Family(
        "DPTForSemanticSegmentation",
        "DPTImageProcessor",
        ("head.head.4", "auxiliary_head.head.4"),
        square=True,
    ),
    "mobilevit": Family(
        "MobileViTForSemanticSegmentation", "MobileViTImageProcessor", _MOBILE, traced=True
    ),
    "mobilevitv2": Family("MobileViTV2ForSemanticSegmentation", "MobileViTImageProcessor", _MOBILE),
    "mobilenet_v2": Family(
        "MobileNetV2ForSemanticSegmentation", "MobileNetV2ImageProcessor", _MOBILE
    ),
    "maskformer": Family("MaskFormerForInstanceSegmentation", "MaskFormerImageProcessor"),
    "mask2former": Family("Mask2FormerForUniversalSegmentation", "Mask2FormerImageProcessor"),
    "oneformer": Family("OneFormerForUniversalSegmentation", "OneFormerImageProcessor", told=True),
    "eomt": Family("EomtForUniversalSegmentation", "EomtImageProcessor", square=True),
    "eomt_dinov3": Family("EomtDinov3ForUniversalSegmentation", "EomtImageProcessor", square=True),
}

# What a network may be built on, by the `model_type` of a part of its config: each is in
# transformers itself, none fetches anything
PARTS = frozenset(
    {
        *("beit", "bit", "convnext", "convnextv2", "detr", "dinov2", "focalnet", "maskformer-swin"),
        *("resnet", "swin", "swinv2"),
    }
)


def transformers_class(name: str) -> Any:
    """A class of transformers by its name; importing it takes its time."""
    import transformers

    return getattr(transformers, name)
