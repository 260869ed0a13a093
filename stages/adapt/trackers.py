"""Who else is told every step's figures: W&B, MLflow and Trackio, through accelerate's trackers.

They are set up by their own means, environment variables and logins (WANDB_MODE,
MLFLOW_TRACKING_URI, ...).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from goodsam.data.errors import InputError

PROJECT = "goodsam"


class Trackers:
    """Those of the given names, told of the run in the directory `run`, which gives the name.

    One that fails while the run goes on is left out from then on, with a warning: a server that is
    away must not end hours of training.
    """

    def __init__(self, names: Sequence[str], run: Path, settings: Mapping[str, Any]) -> None:
        """Begin to tell each. InputError for one whose package is missing."""
        self._trackers = {name: _started(name, run.resolve()) for name in names}
        self._each(lambda tracker: tracker.store_init_configuration(_flat(settings)))

    def numbers(self, step: int, row: Mapping[str, float]) -> None:
        """Figures of a step."""
        self._each(lambda tracker: tracker.log(dict(row), step=step))

    def close(self) -> None:
        """Say that the run has ended."""
        self._each(lambda tracker: tracker.finish())

    def _each(self, tell: Callable[[Any], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                tell(tracker)
            except Exception as error:  # each library has its own kinds
                del self._trackers[name]
                logging.getLogger("goodsam").warning(
                    "%s failed (%s); the run continues without it", name, error
                )


def _started(name: str, run: Path) -> Any:
    try:
        from accelerate import PartialState, tracking

        PartialState()  # of the processes, which a tracker asks whether this is the first
        named = {"run_name" if name == "mlflow" else "name": run.name}
        place = {"dir": str(run)} if name == "wandb" else {}
        kind: Any = tracking.LOGGER_TYPE_TO_CLASS[name]
        tracker = kind(PROJECT, **named, **place)
        tracker.start()
    except ImportError as error:
        package = "accelerate" if error.name == "accelerate" else name
        raise InputError(
            f"setting trackers {name}: the package {package} is missing; "
            f"pip install accelerate {name}"
        ) from error
    return tracker


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings in settings by their dotted names; what is no number as text."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, int | float) else str(value)
    return flat
