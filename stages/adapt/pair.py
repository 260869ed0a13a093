"""Teacher assistant (TA) and student as they are loaded: with the same classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.stages.device import placed
from goodsam.stages.networks.classes import bare, give_head, remap
from goodsam.stages.networks.files import load_model
from goodsam.stages.segformer.segment import class_names

if TYPE_CHECKING:
    from goodsam.stages.adapt.learner import AdaptConfig


def load_networks(
    config: AdaptConfig, device: torch.device, say: Callable[[str], object] = lambda text: None
) -> tuple[Any, Any]:
    """TA and student on `device`, in evaluation mode, which they keep while they learn.

    A step has one panorama: too few for batch statistics (docs/method.md, "Learning"). say: is told
    of a student that gets a new head, as its classes are not the TA's. Raises InputError for a
    class map that does not fit the TA, and for too many classes.
    """
    teacher = load_model(config.teacher_assistant)
    if config.classes is not None:
        teacher = remap(teacher, config.classes, config.teacher_assistant)
    student, names = bare(load_model(config.student)), class_names(teacher)
    if len(names) >= IGNORE:
        raise InputError(
            f"{config.teacher_assistant}: {len(names)} classes do not fit into 8-bit label maps; "
            "pick those that you want by --classes map.yaml"
        )
    if (before := class_names(student)) != names:
        try:
            known = give_head(student, names, config.seed)
        except InputError as error:
            raise InputError(f"{config.student}: {error}") from error
        say(
            f"the student {config.student} gets a NEW HEAD: its {len(before)} classes are not the "
            f"{len(names)} of the teacher assistant; {known} of these it knows, and "
            f"{len(names) - known} begin with random weights, which takes more steps"
        )
    return placed(teacher, device).eval(), placed(student, device).eval()
