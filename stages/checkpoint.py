"""Checkpoints of a training run: one safetensors file, nothing to unpickle.

Tensors are named `NETWORK/parameter` and `NETWORK.optimizer/INDEX/state`; the step and whatever
else is plain stands in the header as JSON. Written aside and renamed, so that a file that is
there is whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from goodsam.data.errors import InputError
from goodsam.data.files import left_behind, written_aside


def save_checkpoint(
    path: Path,
    networks: Mapping[str, torch.nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: Mapping[str, Any],
) -> None:
    """Write networks, optimisers and a JSON-serialisable `state` to `path`, whole or not at all."""
    tensors: dict[str, torch.Tensor] = {}
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            tensors[f"{name}/{key}"] = value.detach().cpu().contiguous().clone()
    for name, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                kept = torch.as_tensor(value).cpu().contiguous().clone()
                tensors[f"{name}.optimizer/{index}/{key}"] = kept
    with written_aside(path) as aside:
        save_file(tensors, aside, metadata={"state": json.dumps(dict(state))})


def load_checkpoint(
    path: Path,
    networks: Mapping[str, torch.nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> dict[str, Any]:
    """Put a checkpoint back into networks and optimisers; returns its `state`.

    Raises InputError when the file is damaged or belongs to other networks.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, network in networks.items():
            network.load_state_dict(_below(tensors, f"{name}/"))
        for name, optimizer in optimizers.items():
            whole = optimizer.state_dict()
            whole["state"] = {}
            for key, value in _below(tensors, f"{name}.optimizer/").items():
                index, field = key.split("/")
                whole["state"].setdefault(int(index), {})[field] = value
            optimizer.load_state_dict(whole)
            for parameter, values in optimizer.state.items():
                for field, value in values.items():
                    if value.shape == parameter.shape:
                        values[field] = _laid_out(value, parameter)
    except (SafetensorError, KeyError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: no checkpoint of this run ({error}); delete it to resume from the one before"
        ) from error
    return state


def _laid_out(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """In memory as the parameter is: other loops over it would round in other places."""
    return torch.empty_like(like, dtype=value.dtype).copy_(value)


def read_network(path: Path, network: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A checkpoint's `state`, and the tensors of one of its networks; nothing else is read.

    Raises FileNotFoundError for a file that is gone, InputError for one that is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            keys = [key for key in file.keys() if key.startswith(f"{network}/")]  # noqa: SIM118
            tensors = {key.partition("/")[2]: file.get_tensor(key) for key in keys}
    except FileNotFoundError:
        raise
    except (SafetensorError, KeyError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); delete it to use the one before"
        ) from error
    return state, tensors


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest `step_*.safetensors` in `folder`, by step."""
    found = sorted(folder.glob("step_*.safetensors"))
    return found[-1] if found else None


def step_of(checkpoint: Path) -> int:
    """After how many steps a checkpoint was written, by its name."""
    found = re.fullmatch(r"step_(\d+)", checkpoint.stem)
    if found is None:
        raise InputError(f"{checkpoint}: called like a checkpoint and is none; remove it")
    return int(found[1])


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what killed processes left half written."""
    for left in left_behind(folder):
        left.unlink(missing_ok=True)
    for old in sorted(folder.glob("step_*.safetensors"))[:-keep]:
        old.unlink()
