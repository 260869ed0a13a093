"""Load a SAM from a checkpoint or a transformers directory, and say what one of another kind is."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything.modeling import Sam
from torch import Tensor

from goodsam.data.errors import InputError
from goodsam.stages.lines import LOG
from goodsam.stages.sam.hub import hub_folder, load_folder
from goodsam.stages.sam.registry import SAMS, Download, Hub, known_sam

DOWNLOADS = Path.home() / ".cache" / "goodsam"

# What a checkpoint is, by a part of a key that no other has; the official ones by their width.
FOREIGN = {
    "memory_attention.": "SAM 2",
    "mask_decoder.hf_token": "HQ-SAM",
    "vision_encoder.": "a transformers SAM",
    "segformer.": "a SegFormer",
}
WIDTHS = {1280: "vit_h", 1024: "vit_l", 768: "vit_b"}
PATCHES = "image_encoder.patch_embed.proj.weight"
STREET = "image_encoder.place"
MOBILE = "image_encoder.patch_embed.seq.0.c.weight"
ALIKE = 0.02  # of the parameters: a network of a known name has as many, so far


@dataclass(frozen=True)
class LoadedSam:
    """A SAM in evaluation mode, on the CPU.

    sha256: of the bytes of its weights' file; of a transformers directory, of the list of its files
    that matter and their hashes.
    """

    model: Sam
    name: str
    sha256: str


def load_sam(name: str, checkpoint: Path | None = None) -> LoadedSam:
    """The SAM called `name` (`registry.known_sam`), from `checkpoint` if one is given.

    Without one, the demo SAM comes from the package and an official SAM from the cache in the
    user's home, where it is downloaded on demand and held to its published hash; a SAM of
    transformers comes from its directory or the hub, and its checkpoint is a directory.

    Raises InputError for an unknown name, a file that is missing or unreadable or holds another
    architecture, and a download that fails.
    """
    known, expected = known_sam(name), None
    if isinstance(known.weights, Hub):
        return _of_hub(name, known.weights, checkpoint)
    if checkpoint is None:
        if isinstance(known.weights, Download):
            checkpoint, expected = download(known.weights), known.weights.sha256
        else:
            checkpoint = known.weights
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: no such file; give SAM weights with --checkpoint")
    sha256 = _hash(checkpoint)
    if expected not in (None, sha256):
        raise InputError(f"{checkpoint}: damaged (sha256 {sha256[:8]}...); delete it and run again")
    state = _read(checkpoint)
    found = architecture(state)
    if found != name:
        remedy = f"use --sam {found}" if found in SAMS else f"give a {name} checkpoint of SAM"
        raise InputError(f"{checkpoint}: holds {found}, not {name}; {remedy}")
    model = known.build()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{checkpoint}: does not fit {name}: {reason}") from error
    return LoadedSam(model.eval().requires_grad_(False), name, sha256)


def _of_hub(name: str, hub: Hub, checkpoint: Path | None) -> LoadedSam:
    if checkpoint is not None and name not in SAMS:
        raise InputError(f"{checkpoint}: {name} names the weights already; leave --checkpoint out")
    if checkpoint is None:
        folder = Path(hub.name) if Path(hub.name).is_dir() else hub_folder(hub.name)
        spoken = hub.name
    elif checkpoint.is_dir():
        folder, spoken = checkpoint, str(checkpoint)
    else:
        raise InputError(
            f"{checkpoint}: no directory; a {name} is read from a transformers directory, with "
            "config.json and model.safetensors"
        )
    model, sha256 = load_folder(folder, spoken)
    if expected := name in SAMS and SAMS[name].parameters:
        found = sum(p.numel() for p in model.parameters()) / 1e6
        if abs(found - expected) > ALIKE * expected:
            raise InputError(
                f"{spoken}: has {found:.1f} million parameters, {name} {expected:.1f}; it is "
                f"another SAM: give the directory itself, --sam {spoken}"
            )
    return LoadedSam(model, name, sha256)


def architecture(state: Mapping[str, Tensor]) -> str:
    """What a state dict's keys and shapes look like: a name of SAMS, or words for a user."""
    for part, words in FOREIGN.items():
        if any(part in key for key in state):
            return words
    if not any(key.startswith("mask_decoder.") for key in state):
        return "no SAM that is known here"
    if STREET in state:
        return "street"
    if MOBILE in state:
        return "mobile_sam"
    if PATCHES not in state:
        return "no SAM that is known here"
    width = len(state[PATCHES])
    return WIDTHS.get(width, f"a SAM with an encoder {width} wide")


def download(weights: Download) -> Path:
    """The file of `weights` in the user's cache, fetched if it is not there yet."""
    path = DOWNLOADS / PurePosixPath(weights.url).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        LOG.info("downloading %s", weights.url)  # torch draws a bar, terminal or not
        try:
            torch.hub.download_url_to_file(weights.url, str(path), hash_prefix=weights.sha256)
        except (URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"{weights.url}: could not be downloaded ({error}); "
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
