"""The SAMs that can be asked for by name: how each is built, and where its weights are.

The demo SAM ("street") is a `Sam` of segment-anything, its prompt encoder and mask decoder small,
with an image encoder of ours, so their predictor and generator take it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segment_anything import sam_model_registry
from segment_anything.modeling import Sam, TwoWayTransformer

from goodsam.data.errors import InputError
from goodsam.data.weights import STREET_SAM
from goodsam.stages.sam.encoder import StreetEncoder
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.street import StreetDecoder, StreetPromptEncoder


@dataclass(frozen=True)
class Download:
    """Weights that are fetched on demand. sha256: what they are held to, hexadecimal."""

    url: str
    sha256: str


@dataclass(frozen=True)
class KnownSam:
    """What is known of a SAM.

    build: the network with fresh weights. weights: a file of the package, or where to fetch one.
    licence: of the weights, as SPDX (Software Package Data Exchange) names it. generator: settings
    of mask generation that suit this SAM, unless the user has others.
    """

    build: Callable[[], Sam]
    weights: Path | Download
    licence: str
    generator: GeneratorConfig


def street_sam() -> Sam:
    """The demo SAM with fresh weights: input 512 px, tokens of 16 px, masks of 128 x 128.

    A window of 200 x 256 is enlarged twice on entry; its masks come out at half its size.
    """
    size, width = 512, 96
    tokens = size // 16
    return Sam(
        StreetEncoder(size, width),
        StreetPromptEncoder(
            embed_dim=width,
            image_embedding_size=(tokens, tokens),
            input_image_size=(size, size),
            mask_in_chans=16,
        ),
        StreetDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(depth=2, embedding_dim=width, num_heads=6, mlp_dim=384),
            iou_head_hidden_dim=width,
        ),
    )


def _official(name: str, file: str, sha256: str) -> KnownSam:
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{file}"
    return KnownSam(
        sam_model_registry[name], Download(url, sha256), "Apache-2.0", GeneratorConfig()
    )


SAMS = {
    "street": KnownSam(
        street_sam,
        STREET_SAM,
        "Apache-2.0",
        # Chosen on tuning panoramas by what the masks do to the ensemble (docs/weights.md).
        GeneratorConfig(points_per_side=16, pred_iou_thresh=0.5, stability_score_thresh=0.5),
    ),
    "vit_h": _official(
        "vit_h",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "vit_l": _official(
        "vit_l",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "vit_b": _official(
        "vit_b",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
}


def known_sam(name: str) -> KnownSam:
    """The SAM called `name`. InputError for a name that is not in SAMS."""
    if name not in SAMS:
        raise InputError(f"SAM {name!r}: unknown; take one of {', '.join(SAMS)}")
    return SAMS[name]


def default_generator(name: str) -> GeneratorConfig:
    """The settings of mask generation that suit the SAM called `name`. Raises as `known_sam`."""
    return known_sam(name).generator
