"""Where to compute."""

from __future__ import annotations

import contextlib
from typing import TypeVar

import torch

from goodsam.data.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: the first CUDA device if there is one, else the CPU.

    Raises InputError for a name that torch does not know, or a CUDA device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r}: unknown; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: no CUDA device is visible; use --device cpu")
    return device


Model = TypeVar("Model", bound=torch.nn.Module)


def placed(model: Model, device: torch.device) -> Model:
    """The model on `device`; on a CPU the weights of a SegFormer's convolutions are channels last.

    So are its tokens where they are seen as maps. For a single picture torch 2.15 does not notice
    that, copies every map and takes a depthwise convolution that is 40 times as slow: 88 ms for 2
    (64 channels of 100 x 512, one thread).
    """
    model = model.to(device)
    if device.type == "cpu":
        for part in model.modules():
            # by its name, since stage 1 picks devices too and does without transformers
            if type(part).__name__ == "SegformerForSemanticSegmentation":
                part.to(memory_format=torch.channels_last)
    return model


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """A context for `float32` or `bfloat16` arithmetic on `device`."""
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    if precision == "float32":
        return contextlib.nullcontext()
    raise InputError(f"precision {precision!r}: use float32 or bfloat16")
