"""What a SegFormer's folder may ask for at most: it may be a stranger's.

The largest that is published, B5, has 52 layers, is 512 wide and has 84 million parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodsam.data.errors import InputError
from goodsam.data.files import regular

MAX_CONFIG = 2**20  # bytes of config.json
MAX_STAGES = 8
MAX_LAYERS = 512  # of all stages
MAX_CLASSES = 4096
MAX_PARAMETERS = 2**31

# Numbers of config.json by which a network grows, and the most of each: a list has one a stage.
_MOST = {
    "num_channels": 64,
    "num_encoder_blocks": MAX_STAGES,
    "num_labels": MAX_CLASSES,
    "depths": MAX_LAYERS,
    "sr_ratios": 64,
    "hidden_sizes": 8192,
    "patch_sizes": 64,
    "strides": 64,
    "num_attention_heads": 1024,
    "mlp_ratios": 64,
    "decoder_hidden_size": 8192,
}


def check_config(config: Mapping[str, Any]) -> None:
    """InputError for a config.json of another kind of model, or of one too large to be built."""
    if not isinstance(config, Mapping):
        raise InputError("its config.json is no mapping")
    if (kind := config.get("model_type")) != "segformer":
        raise InputError(f"a {kind}, not a SegFormer")
    for name, most in _MOST.items():
        value = config.get(name, 1)
        numbers = value if isinstance(value, list) else [value]
        sound = all(isinstance(n, int | float) and 0 < n <= most for n in numbers)
        if not sound or not 0 < len(numbers) <= MAX_STAGES:
            raise InputError(f"its config.json has {name} {_short(value)}, the most is {most}")
    for name in ("id2label", "label2id"):
        if len(config.get(name) or ()) > MAX_CLASSES:
            raise InputError(f"its config.json has more than {MAX_CLASSES} classes")
    depths, widths = config.get("depths", [2]), config.get("hidden_sizes", [256])
    if isinstance(depths, list) and sum(depths) > MAX_LAYERS:
        raise InputError(f"its config.json has {sum(depths)} layers, the most is {MAX_LAYERS}")
    if isinstance(depths, list) and isinstance(widths, list):
        count = _parameters(config, depths, widths)
        if count > MAX_PARAMETERS:
            raise InputError(f"a network of {count:.1e} parameters, the most is {MAX_PARAMETERS}")


def check_folder_of_model(folder: Path) -> None:
    """InputError unless every file of a model's folder can be read without waiting for it."""
    for path in folder.iterdir():
        if not path.is_dir():
            regular(path)


def _parameters(config: Mapping[str, Any], depths: list[float], widths: list[float]) -> float:
    """About how many the encoder has: attention, its reduction, and the MLP of each layer."""
    stages = range(len(widths))
    ratios = [_of_stage(config, "mlp_ratios", 4, i) for i in stages]
    reductions = [_of_stage(config, "sr_ratios", 1, i) for i in stages]
    layers = [depths[i] if i < len(depths) else 0 for i in stages]
    return sum(
        layers[i] * widths[i] ** 2 * (4 + 2 * ratios[i] + reductions[i] ** 2) for i in stages
    )


def _of_stage(config: Mapping[str, Any], name: str, default: float, stage: int) -> float:
    values = config.get(name)
    return values[stage] if isinstance(values, list) and stage < len(values) else default


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
