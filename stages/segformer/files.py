"""SegFormers: the teacher assistant and the student.

Logits of a SegFormer are at H/4; `segment` brings them to the size of its input (METHOD).
Shapes: N images, C classes, H x W pixels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from goodsam.data.errors import InputError
from goodsam.data.files import usual_permissions
from goodsam.data.weights import SEGFORMERS

# its bars count tensors, not work: ours say what is done
transformers.utils.logging.disable_progress_bar()

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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


def load_segformer(source: str | Path) -> SegformerForSemanticSegmentation:
    """A SegFormer in float32 from a Hugging Face directory, a hub name, or `street-ta`/`-student`.

    Pickled weights are read with `weights_only`. Raises InputError when there is none, or when
    the directory holds another model.
    """
    source = SEGFORMERS.get(str(source), source)
    path = Path(source)
    if path.exists() and not (path / "config.json").is_file():
        raise InputError(f"{path}: no config.json; give a Hugging Face SegFormer directory")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = SegformerConfig.from_pretrained(str(source))
            if config.model_type != "segformer":
                raise InputError(f"{source}: a {config.model_type}, not a SegFormer")
            model, loading = SegformerForSemanticSegmentation.from_pretrained(
                str(source), dtype=torch.float32, output_loading_info=True
            )
    except InputError:
        raise
    except Exception as error:  # transformers raises half a dozen kinds for one cause
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(
            f"{source}: no SegFormer could be loaded from there ({first_line}); give a directory "
            "with config.json and model.safetensors, or a hub name this machine can reach"
        ) from error
    if loading["missing_keys"] or loading.get("mismatched_keys"):
        missing = sorted(loading["missing_keys"])[:1] or sorted(loading["mismatched_keys"])[:1]
        raise InputError(f"{source}: weights of another model ({missing[0]} is missing)")
    return model


def save_segformer(model: SegformerForSemanticSegmentation, folder: Path) -> None:
    """Write a Hugging Face directory: weights, config, and a preprocessor that does not squash."""
    model.save_pretrained(folder)
    SegformerImageProcessor(
        do_resize=False, image_mean=list(IMAGENET_MEAN), image_std=list(IMAGENET_STD)
    ).save_pretrained(folder)
    usual_permissions(folder)


def class_names(model: SegformerForSemanticSegmentation) -> tuple[str, ...]:
    """The classes of a model in the order of its logits."""
    labels = model.config.id2label
    return tuple(str(labels[index]) for index in range(len(labels)))


def parameter_count(model: torch.nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def normalise(images_NHWC: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 (N, H, W, 3) RGB -> float32 (N, 3, H, W), ImageNet mean and standard deviation."""
    images = torch.as_tensor(images_NHWC).to(device).movedim(-1, 1).float().div_(255)
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)
    return (images - mean) / std


def segment(model: SegformerForSemanticSegmentation, images_NCHW: torch.Tensor) -> torch.Tensor:
    """float (N, 3, H, W) -> logits (N, C, H, W): the model's H/4 logits, upsampled bilinearly."""
    logits = model(pixel_values=images_NCHW).logits
    size = images_NCHW.shape[-2:]
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
