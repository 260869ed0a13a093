"""A network of a run at any moment: as the run wrote it at its end, or from its newest checkpoint.

A checkpoint holds the config of each network, so that a run that goes on, was stopped or failed
needs nothing else to be used: not the folders that its networks were started from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from goodsam.data.errors import InputError
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.stages.checkpoint import latest_checkpoint, read_network, step_of
from goodsam.stages.networks.files import load_model, model_of_config
from goodsam.stages.segformer.bounds import MAX_CONFIG
from goodsam.stages.segformer.origin import KEY

Network = Literal["student", "teacher_assistant"]

TRIES = 10  # a run that goes on deletes an old checkpoint, at most one with every new one


def load_network(source: str | Path, network: Network = "student") -> tuple[Any, int | None]:
    """A network from a run directory, a folder of transformers or a hub name.

    Of a run the newest: what it wrote at its end, or, where a checkpoint is newer, what that holds;
    then the second value is the checkpoint's step, else None. Raises InputError for a run that has
    neither yet, and for any but the student of what is no run.
    """
    if network not in get_args(Network):
        raise InputError(f"network {network!r}: use {' or '.join(get_args(Network))}")
    folder = Path(source)
    if not folder.is_dir() or (folder / "config.json").is_file():
        if network != "student":
            raise InputError(f"{source}: only a run has a {network}; leave --network out")
        return load_model(source), None
    written = (folder / network / "config.json").is_file()
    if (folder / "checkpoints").is_dir() and (
        found := _newest(folder, network, _step_written(folder / network) if written else -1)
    ):
        return found
    if written:
        return load_model(folder / network), None
    if (folder / "config.yaml").is_file() or (folder / "checkpoints").is_dir():
        raise InputError(
            f"{folder}: this run has no {network}/ yet, nor a checkpoint; wait until "
            "`goodsam train` has saved one"
        )
    return load_model(source), None


def written_at(source: str | Path, network: Network) -> str | Path:
    """The folder of a network that a run has written; `source` itself where that is no run."""
    folder = Path(source) / network
    own = (Path(source) / "config.json").is_file()
    return folder if not own and folder.is_dir() else source


def _newest(run: Path, network: str, after: float) -> tuple[Any, int] | None:
    """From the newest checkpoint, if it is of a later step than `after`."""
    for _ in range(TRIES):
        path = latest_checkpoint(run / "checkpoints")
        if path is None or step_of(path) <= after:
            return None
        try:
            state, tensors = read_network(path, network)
        except FileNotFoundError:  # deleted since it was listed: there is a newer one
            continue
        return _built(path, network, state, tensors), step_of(path)
    raise InputError(f"{run}: its checkpoints are deleted faster than they can be read; try again")


def _built(path: Path, network: str, state: dict[str, Any], tensors: dict[str, Any]) -> Any:
    try:
        values = state["configs"][network]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: an older goodsam wrote it, and it does not say what its networks are; start "
            "`goodsam train` again, and the next one will"
        ) from error
    try:
        model = model_of_config(values)
        model.load_state_dict(tensors)
    except (InputError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: holds no network ({error}); delete it") from error
    return model


def _step_written(folder: Path) -> float:
    """The step at which a run wrote a network; infinity where it does not say."""
    try:
        about = parse_json(read_bounded(folder / "config.json", MAX_CONFIG)).get(KEY) or {}
        step = about.get("step")
    except (OSError, ValueError, AttributeError):
        step = None  # whoever loads it says what is wrong with it
    return step if isinstance(step, int) else float("inf")
