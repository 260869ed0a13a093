"""Load a SAM: an official checkpoint, by path or by name, or the demo's small one.

The demo SAM ("street") is a `Sam` of segment-anything, its prompt encoder and mask decoder small
and with vectors of pixels (`street`), its image encoder ours (`encoder`);
segment-anything's predictor and generator take it as it is.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam, TwoWayTransformer
from torch import Tensor

from data.errors import InputError
from stages.sam.encoder import StreetEncoder
from stages.sam.street import StreetDecoder, StreetPromptEncoder

STREET_WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "weights" / "sam.safetensors"
DOWNLOADS = Path.home() / ".cache" / "goodsam"
SOURCE = "https://dl.fbaipublicfiles.com/segment_anything/"

# name -> file below SOURCE, its sha256
OFFICIAL = {
    "vit_h": (
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "vit_l": (
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "vit_b": (
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
}
NAMES = ("street", *OFFICIAL)

# What a checkpoint is, by a part of a key that no other has; the official ones by their width.
FOREIGN = {
    "memory_attention.": "SAM 2",
    "image_encoder.patch_embed.seq.": "MobileSAM",
    "mask_decoder.hf_token": "HQ-SAM",
    "vision_encoder.": "a transformers SAM",
    "segformer.": "a SegFormer",
}
WIDTHS = {1280: "vit_h", 1024: "vit_l", 768: "vit_b"}
PATCHES = "image_encoder.patch_embed.proj.weight"
STREET = "image_encoder.place"


@dataclass(frozen=True)
class LoadedSam:
    """A SAM in evaluation mode, on the CPU. sha256: of the bytes of its weights' file."""

    model: Sam
    name: str
    sha256: str


def load_sam(name: str, checkpoint: Path | None = None) -> LoadedSam:
    """The SAM called `name`: street, vit_b, vit_l or vit_h, from `checkpoint` if one is given.

    Without one, the demo SAM comes from the package and an official SAM from the cache in the
    user's home, where it is downloaded on demand and held to its published hash.

    Raises InputError for an unknown name, a file that is missing or unreadable or holds another
    architecture, and a download that fails.
    """
    if name not in NAMES:
        raise InputError(f"SAM {name!r}: unknown; take one of {', '.join(NAMES)}")
    expected = None
    if checkpoint is None and name == "street":
        checkpoint = STREET_WEIGHTS
    elif checkpoint is None:
        checkpoint, expected = download(name), OFFICIAL[name][1]
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: no such file; give SAM weights with --checkpoint")
    sha256 = _hash(checkpoint)
    if expected not in (None, sha256):
        raise InputError(f"{checkpoint}: damaged (sha256 {sha256[:8]}...); delete it and run again")
    state = _read(checkpoint)
    found = architecture(state)
    if found != name:
        remedy = f"use --sam {found}" if found in NAMES else f"give a {name} checkpoint of SAM"
        raise InputError(f"{checkpoint}: holds {found}, not {name}; {remedy}")
    model = street_sam() if name == "street" else sam_model_registry[name]()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{checkpoint}: does not fit {name}: {reason}") from error
    return LoadedSam(model.eval().requires_grad_(False), name, sha256)


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


def architecture(state: Mapping[str, Tensor]) -> str:
    """What a state dict's keys and shapes look like: a name of NAMES, or words for a user."""
    for part, words in FOREIGN.items():
        if any(part in key for key in state):
            return words
    if not any(key.startswith("mask_decoder.") for key in state):
        return "no SAM that is known here"
    if STREET in state:
        return "street"
    if PATCHES not in state:
        return "no SAM that is known here"
    width = len(state[PATCHES])
    return WIDTHS.get(width, f"a SAM with an encoder {width} wide")


def download(name: str) -> Path:
    """The official checkpoint `name` in the user's cache, fetched if it is not there yet."""
    file, sha256 = OFFICIAL[name]
    path = DOWNLOADS / file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(SOURCE + file, str(path), hash_prefix=sha256)
        except (URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"{SOURCE}{file}: could not be downloaded ({error}); "
                f"fetch it by other means and give it with --checkpoint, or put it at {path}"
            ) from error
    return path


def _read(path: Path) -> dict[str, Tensor]:
    """A state dict, float32; nothing in the file is run."""
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        SafetensorError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        ValueError,
    ) as error:
        raise InputError(
            f"{path}: no checkpoint that can be read safely; give a file of tensors only "
            "(.pth of segment-anything, or .safetensors)"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]  # as SAM 2 and many trainers save it
    tensors = (
        {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    )
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
