"""SAMs as transformers keeps them: a directory, or a name on the hub, to a `Sam` of ours.

Nothing in a directory is run: a config that asks for code of its own is refused, and weights are
read from safetensors alone.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from segment_anything.modeling import Sam

from goodsam.data.errors import InputError
from goodsam.data.files import file_hash
from goodsam.stages.downloads import fetch
from goodsam.stages.sam.generate import GeneratorConfig

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
REMEDY = "give a SAM of transformers, by directory or hub name; see `goodsam teachers`"


@dataclass(frozen=True)
class Family:
    """SAMs that are one class of transformers. config, model, processor: names of its classes.

    converted: makes a `Sam` of a model; mean and std of the images' channels, 0 to 1, are given.
    generator: settings of mask generation that suit them. padded: images are padded to the square
    input, else stretched.
    """

    config: str
    model: str
    processor: str
    converted: Callable[[Any, list[float], list[float]], Sam]
    generator: GeneratorConfig
    padded: bool = False


def _sam2_of(model: Any, mean: list[float], std: list[float]) -> Sam:
    from goodsam.stages.sam.sam2 import sam2_of

    return sam2_of(model, mean, std)


def _sam_of(model: Any, mean: list[float], std: list[float]) -> Sam:
    from goodsam.stages.sam.sam_hq import sam_of

    return sam_of(model, mean, std)


# The defaults of SAM 2's own automatic mask generator. EdgeTAM's is a copy, and SAM 3 has none.
SAM2_GENERATOR = GeneratorConfig(pred_iou_thresh=0.8)

SAM2 = Family("Sam2Config", "Sam2Model", "Sam2ImageProcessor", _sam2_of, SAM2_GENERATOR)
EDGETAM = Family("EdgeTamConfig", "EdgeTamModel", "Sam2ImageProcessor", _sam2_of, SAM2_GENERATOR)
SAM3 = Family(
    "Sam3TrackerConfig", "Sam3TrackerModel", "Sam3ImageProcessor", _sam2_of, SAM2_GENERATOR
)
SAM = Family("SamConfig", "SamModel", "SamImageProcessor", _sam_of, GeneratorConfig(), padded=True)
SAM_HQ = Family(
    "SamHQConfig", "SamHQModel", "SamImageProcessor", _sam_of, GeneratorConfig(), padded=True
)

# By the `model_type` of config.json; those of videos hold the model of stills too.
FAMILIES = {
    "sam": SAM,
    "sam_hq": SAM_HQ,
    "sam2": SAM2,
    "sam2_video": SAM2,
    "edgetam": EDGETAM,
    "edgetam_video": EDGETAM,
    "sam3_tracker": SAM3,
    "sam3_video": SAM3,
}


@cache  # a process asks the hub once, and has one revision
def hub_folder(name: str) -> Path:
    """The directory of a model on the hub, fetched into the user's Hugging Face cache.

    Its config is looked at before its weights are fetched. Raises InputError for a model that is
    not there, is gated, cannot be reached or is of no family here.
    """
    from goodsam.stages.cards import CARD

    family_of(_fetched(name, [CONFIG]), name)
    return _fetched(name, [CONFIG, CARD, INDEX, *PROCESSORS, "*.safetensors"])


def _fetched(name: str, files: list[str]) -> Path:
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        return fetch(name, files)
    except GatedRepoError as error:
        raise InputError(
            f"{name}: gated; accept its terms at https://huggingface.co/{name}, and log in with "
            "`hf auth login` or set HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"{name}: neither a directory here nor a public model on the hub; {REMEDY}"
        ) from error
    except OSError as error:  # of the network, of an interrupted download, of a full disk
        raise InputError(
            f"{name}: could not be fetched from the hub ({_first_line(error)}); "
            "give a directory with its files"
        ) from error


def family_of(folder: Path, name: str | None = None) -> Family:
    """Which family a directory's config.json names. name: to speak of it by, if not the folder.

    Raises InputError for a config that is missing or unreadable, of another model, or of one that
    brings code of its own.
    """
    name = name or str(folder)
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{name}: no {CONFIG}; {REMEDY}")
    try:
        config = json.loads(path.read_text())
        kind, own_code = config.get("model_type"), "auto_map" in config
    except (ValueError, AttributeError) as error:
        raise InputError(f"{name}: {CONFIG} is no JSON of a model ({error}); {REMEDY}") from error
    if own_code:
        raise InputError(f"{name}: wants code of its own to be run, which is refused; {REMEDY}")
    if kind not in FAMILIES:
        raise InputError(f"{name}: holds {kind or 'no model'}, not a SAM known here; {REMEDY}")
    return FAMILIES[kind]


def load_folder(folder: Path, name: str | None = None) -> tuple[Sam, str]:
    """The SAM of a transformers directory, on the CPU, and the SHA-256 of what decides its masks.

    Raises InputError as `family_of`, for weights that are missing, unreadable, incomplete or of
    other shapes than the config's, and for a processor of another input size.
    """
    family, name = family_of(folder, name), name or str(folder)
    weights = weight_files(folder, name)
    with _quietly():
        model = _model(family, folder, name)
        processor = processor_in(folder, family, name)
    size = model.config.prompt_encoder_config.image_size
    if processor is not None:
        sides = {processor.size.get(side) for side in ("height", "width", "longest_edge")} - {None}
        if sides != {size}:
            raise InputError(
                f"{name}: its processor makes pictures of {max(sides, default=0)} px, its network "
                f"takes {size}; weights and processor must be of one input size"
            )
    try:
        sam = converted(family, model, processor)
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise InputError(
            f"{name}: its decoder is not built like the published ones ({_first_line(error)})"
        ) from error
    files = [CONFIG, *(p for p in PROCESSORS if (folder / p).is_file()), *weights]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file} {file_hash(folder / file)}\n".encode())
    return sam, digest.hexdigest()


def converted(family: Family, model: Any, processor: Any = None) -> Sam:
    """A `Sam` of a transformers model, whose encoder it takes over.

    processor: with mean and std of the images' channels; None: the family's own.
    """
    source = processor or transformers_class(family.processor)
    return family.converted(model, list(source.image_mean), list(source.image_std))


def weight_files(folder: Path, name: str) -> list[str]:
    """The files of weights that transformers reads, in order. InputError if there are none."""
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    try:
        parts = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError):
        parts = []
    if not parts or not all((folder / part).is_file() for part in parts):
        raise InputError(f"{name}: no model.safetensors, nor all parts of one; {REMEDY}")
    return parts


def _model(family: Family, folder: Path, name: str) -> Any:
    import torch

    try:
        model, loading = transformers_class(family.model).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except ImportError as error:  # a library that only this family wants
        raise InputError(f"{name}: needs the package timm; pip install timm") from error
    except Exception as error:  # transformers raises half a dozen kinds for one cause
        raise InputError(
            f"{name}: its weights do not fit its {CONFIG} ({_first_line(error)}); {REMEDY}"
        ) from error
    missing = sorted(loading["missing_keys"]) + sorted(map(str, loading["mismatched_keys"]))
    if missing:
        raise InputError(f"{name}: weights of another model ({missing[0]} is missing); {REMEDY}")
    return model


def processor_in(folder: Path, family: Family | None = None, name: str | None = None) -> Any:
    """None if the directory has none: then the family's own means and the model's size count.

    family, name: as `family_of` finds and takes it. InputError for one that cannot be read.
    """
    family = family or family_of(folder)
    if not any((folder / file).is_file() for file in PROCESSORS):
        return None
    try:
        return transformers_class(family.processor).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # as above
        raise InputError(
            f"{name or folder}: no processor can be read ({_first_line(error)})"
        ) from error


def transformers_class(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' reports of loading: what matters is said by an InputError."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # counts tensors, not work
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else repr(error)
