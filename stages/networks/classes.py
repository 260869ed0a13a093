"""Another set of classes for a network: a class map over its probabilities, or a new head.

Shapes: N pictures, C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers.modeling_outputs import SemanticSegmenterOutput

from goodsam.data.class_map import ClassMap, Groups
from goodsam.data.errors import InputError
from goodsam.stages.networks.adapted import Adapted, as_logits
from goodsam.stages.networks.families import FAMILIES
from goodsam.stages.segformer.segment import class_names

HEAD_STD = 0.02  # of new weights, as transformers begins a network


class Mapped(torch.nn.Module):
    """A network whose classes a map picks, merges and ignores; itself, and what it saves, as it is.

    Its logits are logs of summed probabilities at the size of the pictures: C of the wanted
    classes and, where the map ignores some, one more of all these together.
    """

    onto: torch.Tensor

    def __init__(self, network: Any, classes: ClassMap) -> None:
        super().__init__()
        self.network, self.classes, self.names = network, classes, classes.names
        onto = F.one_hot(torch.from_numpy(classes.table)).float()
        self.register_buffer("onto", onto, persistent=False)

    @property
    def config(self) -> Any:
        """The network's, with its own classes."""
        return self.network.config

    def forward(self, pixel_values: torch.Tensor) -> SemanticSegmenterOutput:
        """float (N, 3, H, W) -> logits (N, C or C + 1, H, W)."""
        logits = self.network(pixel_values=pixel_values).logits
        return SemanticSegmenterOutput(logits=self.mapped(logits, pixel_values.shape[-2:]))

    def mapped(self, logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """The network's logits (N, C0, h, w), at any stride -> those of the map, (N, C', *size)."""
        with torch.autocast(logits.device.type, enabled=False):
            shares = torch.einsum("nchw,cd->ndhw", logits.float().softmax(dim=1), self.onto)
            if tuple(shares.shape[-2:]) != tuple(size):
                shares = F.interpolate(shares, tuple(size), mode="bilinear", align_corners=False)
            return as_logits(shares)


def map_classes(network: Any, classes: ClassMap | None) -> Any:
    """The network with a class map of its own classes; as it is for None, or if it has them."""
    if classes is None or class_names(network) != classes.of:
        return network
    return Mapped(network, classes)


def remap(network: Any, groups: Groups, source: object) -> Mapped:
    """The network with a class map of the classes that it has now, by a map or without one.

    InputError for a map that does not fit them, and for one that only changes their names among
    each other or nothing at all; source: the network's name in it.
    """
    classes = ClassMap.parse(groups, class_names(network), str(source))
    if isinstance(network, Mapped):
        classes = classes.after(network.classes)
    if classes.names == classes.of:  # a network on disk is mapped if it has the classes `of`
        raise InputError(
            f"class map: gives the classes that {source} has, in their order; leave it out"
        )
    return Mapped(bare(network), classes)


def bare(network: Any) -> Any:
    """A network without its class map."""
    return network.network if isinstance(network, Mapped) else network


def give_head(network: Any, names: tuple[str, ...], seed: int) -> int:
    """Give a network a head for the classes `names`; of those it knows it keeps the weights.

    seed: of the weights that begin anew. Returns how many classes it knew. InputError for a
    universal network, whose classes belong to masks.
    """
    adapted = isinstance(network, Adapted)
    model, family = (network.model, network.family) if adapted else (network, FAMILIES["segformer"])
    if family.universal:
        raise InputError(
            f"a {model.config.model_type} gets no new head; take a student with the teacher "
            "assistant's classes, or of another family"
        )
    before = class_names(network)
    known = [(new, before.index(name)) for new, name in enumerate(names) if name in before]
    generator = torch.Generator().manual_seed(seed)
    for path in family.heads:
        parent_path, _, leaf = path.rpartition(".")
        try:
            parent = model.get_submodule(parent_path)
            head = parent.get_submodule(leaf)
        except AttributeError:  # an auxiliary head that this model has not
            continue
        setattr(parent, leaf, _head(head, len(names), known, generator))
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    model.num_labels = len(names)
    return len(known)


@torch.no_grad()
def _head(
    head: torch.nn.Conv2d, classes: int, known: list[tuple[int, int]], generator: torch.Generator
) -> torch.nn.Conv2d:
    """A last layer for `classes`. known: of which new class the weights are which old one's."""
    has_bias = head.bias is not None
    made = torch.nn.Conv2d(head.in_channels, classes, head.kernel_size, bias=has_bias)  # type: ignore[arg-type]
    made.weight.normal_(std=HEAD_STD, generator=generator)
    for new, old in known:
        made.weight[new] = head.weight[old]
    if made.bias is not None and head.bias is not None:
        made.bias.zero_()
        for new, old in known:
            made.bias[new] = head.bias[old]
    return made.to(head.weight)
