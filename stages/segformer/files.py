"""SegFormers on disk: Hugging Face directories, loaded and saved."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import torch
import transformers
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from goodsam.data.errors import InputError
from goodsam.data.files import files_written_aside
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.data.weights import SEGFORMERS
from goodsam.stages.downloads import fetch_weights
from goodsam.stages.segformer.bounds import MAX_CONFIG, check_config, check_folder_of_model
from goodsam.stages.segformer.lean import LeanHead
from goodsam.stages.segformer.segment import IMAGENET_MEAN, IMAGENET_STD, class_names

# its bars count tensors, not work: ours say what is done
transformers.utils.logging.disable_progress_bar()


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
            if path.is_dir():
                check_folder_of_model(path)
                values = parse_json(read_bounded(path / "config.json", MAX_CONFIG))
            else:
                values, _ = SegformerConfig.get_config_dict(str(source))
            check_config(values)  # before anything is built of it
            if not path.is_dir():
                fetch_weights(str(source))
            model, loading = SegformerForSemanticSegmentation.from_pretrained(
                str(source), dtype=torch.float32, output_loading_info=True
            )
    except InputError as error:
        if str(error).startswith(str(source)):
            raise
        raise InputError(f"{source}: {error}") from error
    except Exception as error:  # transformers raises half a dozen kinds for one cause
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(
            f"{source}: no SegFormer could be loaded from there ({first_line}); give a directory "
            "with config.json and model.safetensors, or a hub name this machine can reach"
        ) from error
    if loading["missing_keys"] or loading.get("mismatched_keys"):
        missing = sorted(loading["missing_keys"])[:1] or sorted(loading["mismatched_keys"])[:1]
        raise InputError(f"{source}: weights of another model ({missing[0]} is missing)")
    names = class_names(model)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{source}: two of its classes are called {repeated[0]!r}; rename one")
    LeanHead.put_into(model)
    return model


def save_segformer(model: SegformerForSemanticSegmentation, folder: Path) -> None:
    """Write a Hugging Face directory: weights, config, and a preprocessor that does not squash.

    What was there before stays whole until each file is replaced.
    """
    with files_written_aside(folder) as aside:
        model.save_pretrained(aside)
        SegformerImageProcessor(
            do_resize=False, image_mean=list(IMAGENET_MEAN), image_std=list(IMAGENET_STD)
        ).save_pretrained(aside)
