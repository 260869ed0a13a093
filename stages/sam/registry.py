"""The SAMs that can be asked for by name: how each is built, its weights, what they allow.

Beside the names, any directory of transformers and any name on the hub is a SAM, if it holds one of
the families of `hub`; what is not known of it is None.

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
from goodsam.data.files import file_hash
from goodsam.data.weights import STREET_SAM
from goodsam.stages.sam.encoder import StreetEncoder
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.hub import (
    SAM2_GENERATOR,
    family_of,
    hub_folder,
    load_folder,
)
from goodsam.stages.sam.street import StreetDecoder, StreetPromptEncoder

APACHE = "Apache-2.0"


@dataclass(frozen=True)
class Download:
    """Weights that are fetched on demand. sha256: what they are held to, hexadecimal."""

    url: str
    sha256: str


@dataclass(frozen=True)
class Hub:
    """A model on the hub, or its directory here: config.json and safetensors."""

    name: str


@dataclass(frozen=True)
class KnownSam:
    """What is known of a SAM.

    build: the network with fresh weights, or those of its directory. weights: a file of the
    package, or where to fetch one. licence: of the weights, as SPDX (Software Package Data
    Exchange) or their card names it; None if nobody says. generator: settings of mask generation
    that suit this SAM, unless the user has others. parameters: millions, of what stage 1 uses.
    size: px of the square input. padded: images are padded to it, else stretched. tokens: of an
    image, along a side.
    """

    build: Callable[[], Sam]
    weights: Path | Download | Hub
    licence: str | None
    generator: GeneratorConfig
    parameters: float | None = None
    size: int | None = None
    padded: bool | None = None
    tokens: int | None = None

    @property
    def source(self) -> str:
        """Where the weights come from, for people."""
        match self.weights:
            case Path():
                return "in the package"
            case Download(url):
                return url
            case Hub(name):
                return name


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


def _official(name: str, file: str, sha256: str, parameters: float) -> KnownSam:
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{file}"
    return KnownSam(
        sam_model_registry[name],
        Download(url, sha256),
        APACHE,
        GeneratorConfig(),
        parameters,
        1024,
        True,
        64,
    )


def _mobile_sam() -> Sam:
    from goodsam.stages.sam.mobile_sam import mobile_sam  # wants timm

    return mobile_sam()


def _of_hub(
    hub: str,
    parameters: float,
    *,
    licence: str = APACHE,
    generator: GeneratorConfig,
    size: int = 1024,
    padded: bool = False,
    tokens: int = 64,
) -> KnownSam:
    def build() -> Sam:
        from goodsam.stages.sam.published import fresh_sam  # transformers takes seconds to import

        return fresh_sam(hub)

    return KnownSam(build, Hub(hub), licence, generator, parameters, size, padded, tokens)


SAMS = {
    "street": KnownSam(
        street_sam,
        STREET_SAM,
        APACHE,
        # Chosen on tuning panoramas by what the masks do to the ensemble (docs/weights.md).
        GeneratorConfig(points_per_side=16, pred_iou_thresh=0.5, stability_score_thresh=0.5),
        3.9,
        512,
        True,
        32,
    ),
    "vit_h": _official(
        "vit_h",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        641.1,
    ),
    "vit_l": _official(
        "vit_l",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        312.3,
    ),
    "vit_b": _official(
        "vit_b",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        93.7,
    ),
    "mobile_sam": KnownSam(
        _mobile_sam,
        Download(
            "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        ),
        APACHE,
        GeneratorConfig(),
        9.8,
        1024,
        True,
        64,
    ),
    **{
        f"{family}-{size}": _of_hub(
            f"facebook/{family}-hiera-{size}", parameters, generator=SAM2_GENERATOR
        )
        for family in ("sam2.1", "sam2")
        for size, parameters in (
            ("tiny", 31.4),
            ("small", 38.5),
            ("base-plus", 73.3),
            ("large", 216.9),
        )
    },
    "edgetam": _of_hub("yonigozlan/EdgeTAM-hf", 9.1, generator=SAM2_GENERATOR),
    "sam3": _of_hub(
        "facebook/sam3",
        458.3,
        licence="SAM License",
        generator=SAM2_GENERATOR,
        size=1008,
        tokens=72,
    ),
    **{
        f"sam_hq_vit_{letter}": _of_hub(
            f"syscv-community/sam-hq-vit-{size}",
            parameters,
            generator=GeneratorConfig(),
            padded=True,
        )
        for letter, size, parameters in (
            ("b", "base", 94.8),
            ("l", "large", 313.7),
            ("h", "huge", 642.7),
        )
    },
}


def known_sam(name: str) -> KnownSam:
    """The SAM called `name`: of SAMS, a directory of transformers, or a name on the hub.

    Raises InputError for a name that is neither, and, for what is not in SAMS, as
    `goodsam.stages.sam.hub` does for a model that cannot be had or is of no family there.
    """
    if name in SAMS:
        return SAMS[name]
    for sam in SAMS.values():
        if sam.weights == Hub(name):
            return sam
    if Path(name).is_dir() or "/" in name:
        return _found(name)
    raise InputError(
        f"SAM {name!r}: unknown; take one of {', '.join(SAMS)}, a transformers directory or a name "
        "on the hub"
    )


def published_hash(sam: KnownSam) -> str | None:
    """SHA-256 of the file of weights that everybody has; None for what is no single file."""
    match sam.weights:
        case Path() as path:
            return file_hash(path)
        case Download(_, sha256):
            return sha256
        case Hub():
            return None


def sam_of_hash(sha256: str) -> str | None:
    """The name of the SAM whose published file of weights this is; None of any other."""
    return next((n for n, sam in SAMS.items() if published_hash(sam) == sha256), None)


def _found(name: str) -> KnownSam:
    """A SAM that is not in SAMS, as far as its config and its card tell."""
    from goodsam.stages.cards import read_card  # only a SAM that has one needs it

    folder = Path(name) if Path(name).is_dir() else hub_folder(name)
    family = family_of(folder, name)
    licence = read_card(folder).licence
    return KnownSam(
        lambda: load_folder(folder, name)[0],
        Hub(name),
        None if licence is None else licence.name,
        family.generator,
        padded=family.padded,
    )


def default_generator(name: str) -> GeneratorConfig:
    """The settings of mask generation that suit the SAM called `name`. Raises as `known_sam`."""
    return known_sam(name).generator
