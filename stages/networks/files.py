"""Networks of any family on disk: Hugging Face directories, loaded and saved."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.utils import HFValidationError, validate_repo_id
from transformers import PreTrainedConfig
from transformers.utils import cached_file

from goodsam.data.errors import InputError
from goodsam.data.files import files_written_aside
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.data.weights import SEGFORMERS
from goodsam.stages.downloads import fetch_weights
from goodsam.stages.networks.adapted import Adapted, Pictures
from goodsam.stages.networks.bounds import check_network
from goodsam.stages.networks.classes import bare, map_classes
from goodsam.stages.networks.families import FAMILIES, Family, transformers_class
from goodsam.stages.segformer.bounds import MAX_CONFIG, check_folder_of_model
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.segformer.lean import LeanHead
from goodsam.stages.segformer.origin import origin_of
from goodsam.stages.segformer.segment import class_names

PREPROCESSOR = "preprocessor_config.json"
TASK = "the task is semantic"  # what OneFormer is told


def load_model(source: str | Path) -> Any:
    """A network in float32 from a Hugging Face directory, a hub name, or one of the demo weights.

    A SegFormer of transformers as it is, or `Adapted`; `Mapped` where a run mapped its classes. No
    code that comes with a model is run. Raises InputError when there is none, for a family that is
    not known, and for weights that do not fit.
    """
    source = SEGFORMERS.get(str(source), source)
    path = Path(source)
    if path.exists() and not (path / "config.json").is_file():
        raise InputError(f"{path}: no config.json; give a Hugging Face directory of a network")
    if not path.exists():
        _check_hub_name(str(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.is_dir():
                check_folder_of_model(path)
                values = parse_json(read_bounded(path / "config.json", MAX_CONFIG))
            else:
                values, _ = PreTrainedConfig.get_config_dict(str(source))
            family = check_network(values)  # before anything is built of it
            if family == FAMILIES["segformer"]:
                return _as_a_run_mapped_it(load_segformer(source), source)
            if not path.is_dir():
                fetch_weights(str(source))
            model, loading = transformers_class(family.model).from_pretrained(
                str(source), dtype=torch.float32, output_loading_info=True
            )
            _check_weights(loading)
            if Pictures.KEY not in values:
                setattr(model.config, Pictures.KEY, _pictures(family, source, values).to_json())
            network = Adapted(model, family)
            check_names(network)
            return _as_a_run_mapped_it(network, source)
    except InputError as error:
        if str(error).startswith(str(source)):
            raise
        raise InputError(f"{source}: {error}") from error
    except Exception as error:  # transformers raises half a dozen kinds for one cause
        raise InputError(f"{source}: {_reason(error, source)}") from error


def model_of_config(values: Mapping[str, Any]) -> Any:
    """An untrained network as a config.json that `save_model` wrote describes it.

    InputError as `check_network`.
    """
    family = check_network(values)
    kind: Any = transformers_class(family.model)
    model: Any = kind(kind.config_class.from_dict(dict(values)))
    if family == FAMILIES["segformer"]:
        LeanHead.put_into(model)
    network = model if family == FAMILIES["segformer"] else Adapted(model, family)
    return _as_a_run_mapped_it(network, "a checkpoint")


def save_model(network: Any, folder: Path) -> None:
    """Write a Hugging Face directory: weights, config, and a preprocessor that does not squash.

    What was there before stays whole until each file is replaced.
    """
    network = bare(network)
    if not isinstance(network, Adapted):
        save_segformer(network, folder)
        return
    content = json.dumps(network.pictures.processor(network.family, network.side), indent=2)
    with files_written_aside(folder) as aside:
        network.model.save_pretrained(aside)
        (aside / PREPROCESSOR).write_text(f"{content}\n")


def _as_a_run_mapped_it(network: Any, source: object) -> Any:
    """A teacher assistant has its own classes on disk, and beside them its run's class map."""
    origin = origin_of(network, source)
    return network if origin is None else map_classes(network, origin.classes)


def check_names(network: Any) -> None:
    """InputError for two classes of one name."""
    counts = Counter(class_names(network))
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise InputError(f"two of its classes are called {repeated[0]!r}; rename one")


def _check_weights(loading: Mapping[str, Any]) -> None:
    missing = [*sorted(loading["missing_keys"]), *map(str, loading.get("mismatched_keys") or ())]
    if missing:
        raise InputError(f"weights of another model ({missing[0]} is missing)")


def _check_hub_name(name: str) -> None:
    """InputError for a name that the hub need not be asked for: a path that was mistyped."""
    owner, slash, rest = name.partition("/")
    if slash and _is_valid(name):
        if not Path(owner).exists() or try_to_load_from_cache(name, "config.json"):
            return
        raise InputError(
            f"{name}: there is a folder {owner} here, and no {rest} in it; correct the path, or "
            "start elsewhere if the hub's is meant"
        )
    raise InputError(
        f"{name}: no such folder; give a run, a Hugging Face directory, one of "
        f"{', '.join(SEGFORMERS)}, or a name on the hub, OWNER/NAME"
    )


def _is_valid(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _reason(error: Exception, source: object) -> str:
    """Why transformers could not load a network, and what to do."""
    from huggingface_hub.errors import GatedRepoError

    first = _first_line(error)
    if any(isinstance(cause, PermissionError) for cause in _causes(error)):
        return "it may not be read (permission denied); change its permissions"
    if any(isinstance(cause, GatedRepoError) for cause in _causes(error)):
        return (
            f"gated; accept its terms at https://huggingface.co/{source}, and log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    if "mismatch" in str(error):
        return "its weights are of another size than its config.json says; give both from one model"
    return (
        f"no SegFormer or other network could be loaded from there ({first}); give a directory "
        "with config.json and model.safetensors, or a hub name this machine can reach; offline, "
        f"HF_HUB_OFFLINE=1 skips the retries, and {', '.join(SEGFORMERS)} need no download"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]


def _pictures(family: Family, source: str | Path, config: Mapping[str, Any]) -> Pictures:
    """What a model's pictures are, from what lies beside its weights."""
    path = cached_file(str(source), PREPROCESSOR, _raise_exceptions_for_missing_entries=False)
    processor = {} if path is None else parse_json(read_bounded(Path(path), MAX_CONFIG))
    if not isinstance(processor, dict):
        raise InputError(f"its {PREPROCESSOR} is no mapping")
    tokens = _task_tokens(source, config.get("task_seq_len", 77)) if family.told else ()
    return Pictures.of(family, processor, tokens)


def _task_tokens(source: str | Path, length: int) -> tuple[int, ...]:
    """The task in tokens, padded with 0, as OneFormer's processor makes them."""
    try:
        tokenizer = transformers_class("CLIPTokenizer").from_pretrained(str(source))
        found = tokenizer(TASK, padding="max_length", max_length=length, truncation=True)
        pairs = zip(found["input_ids"], found["attention_mask"], strict=True)
        return tuple(int(token) * int(real) for token, real in pairs)
    except Exception as error:  # transformers raises half a dozen kinds for one cause
        raise InputError(
            f"has no tokenizer that could be read ({_first_line(error)}); put vocab.json and "
            "merges.txt of its release next to its weights"
        ) from error
