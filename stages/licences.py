"""The networks that can be TA or student: their licences, and where others' licences are read.

TA: teacher assistant. Beside the names below, a directory's card (README.md) says its licence, and
the hub's card that of a name there. Names and cards are all that is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goodsam.data.errors import InputError
from goodsam.data.licences import UNKNOWN, Licence, licence_named, strictest
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.data.weights import SEGFORMERS
from goodsam.stages.cards import DATA, hub_card, read_card
from goodsam.stages.segformer.origin import KEY

Role = Literal["TA", "student"]

NVIDIA = licence_named("NVIDIA Source Code License for SegFormer")
NVIDIA_NAMES = ("nvidia/segformer", "nvidia/mit-")  # its cards have said other, and before apache
STREET = licence_named("Apache-2.0").noting(
    "the networks of the demo have seen a rendered street world only"
)


@dataclass(frozen=True)
class KnownNetwork:
    """What is known of a network. roles: which it suits. parameters: millions.

    classes: how many it tells apart, and whose.
    """

    licence: Licence
    roles: tuple[Role, ...]
    parameters: float
    classes: str


def _on(data: str, licence: str, roles: tuple[Role, ...], parameters: float) -> KnownNetwork:
    """A published network. data: what it was trained on, a key of DATA or a name for people."""
    classes = {"cityscapes": "19, Cityscapes", "ade20k": "150, ADE20K"}.get(data, data)
    notes = (DATA[data],) if data in DATA else ()
    return KnownNetwork(licence_named(licence).noting(*notes), roles, parameters, classes)


def _nvidia(role: Role, parameters: float) -> KnownNetwork:
    return KnownNetwork(NVIDIA.noting(DATA["cityscapes"]), (role,), parameters, "19, Cityscapes")


NETWORKS = {
    "street-ta": KnownNetwork(STREET, ("TA",), 3.5, "19, rendered"),
    "street-student": KnownNetwork(STREET, ("student",), 0.9, "19, rendered"),
    "street-w8": KnownNetwork(STREET, ("TA",), 0.2, "19, rendered"),
    "nvidia/segformer-b5-finetuned-cityscapes-1024-1024": _nvidia("TA", 84.6),
    "nvidia/segformer-b2-finetuned-cityscapes-1024-1024": _nvidia("student", 27.4),
    "nvidia/segformer-b1-finetuned-cityscapes-1024-1024": _nvidia("student", 13.7),
    "nvidia/segformer-b0-finetuned-cityscapes-1024-1024": _nvidia("student", 3.7),
    "tue-mps/cityscapes_semantic_eomt_large_1024": _on("cityscapes", "MIT", ("TA",), 319.1),
    "shi-labs/oneformer_cityscapes_swin_large": _on("cityscapes", "MIT", ("TA",), 218.8),
    # Its code is MIT; of its weights the card says "other".
    "facebook/mask2former-swin-large-cityscapes-semantic": _on(
        "cityscapes", "other", ("TA",), 215.5
    ),
    "microsoft/beit-large-finetuned-ade-640-640": _on("ade20k", "Apache-2.0", ("TA",), 441.3),
    "Intel/dpt-large-ade": _on("ade20k", "Apache-2.0", ("TA",), 344.0),
    "openmmlab/upernet-convnext-tiny": _on("ade20k", "MIT", ("TA", "student"), 60.2),
    "apple/deeplabv3-mobilevit-small": _on("21, Pascal VOC", "apple-amlr", ("student",), 6.4),
}


def network_licence(source: str | Path) -> Licence:
    """The licence of a network by name, directory or hub name, as far as names and cards tell.

    A directory's card counts, and whatever is known by name among the models that the card or
    `config.json` says it was made from; the strictest of these. Nothing is raised: what cannot be
    read says nothing.
    """
    known = _by_name(str(source))
    if str(source) in SEGFORMERS or (known is not None and not Path(source).is_dir()):
        return known or UNKNOWN
    if Path(source).is_dir():
        card, starts = read_card(Path(source)), _starts(Path(source))
    elif "/" in str(source):
        card, starts = hub_card(str(source)), ()
    else:
        return UNKNOWN
    origins = {name: _by_name(name) for name in (*card.bases, *starts)}
    said = [licence for licence in (known, card.licence, *origins.values()) if licence is not None]
    if card.licence is None and None in origins.values():
        said.append(UNKNOWN)
    return strictest(said).noting(*card.notes)


def licence_of_starts(names: Iterable[str]) -> Licence:
    """Of what was trained from these networks, as far as their names tell."""
    return strictest(_by_name(name) or UNKNOWN for name in names)


def _by_name(name: str) -> Licence | None:
    """Of a network that is known by name, or NVIDIA's; None of others."""
    if name in NETWORKS:
        return NETWORKS[name].licence
    return NVIDIA if any(part in name for part in NVIDIA_NAMES) else None


def _starts(folder: Path) -> tuple[str, ...]:
    """The networks that a run of ours began with, by the `config.json` that it wrote."""
    try:
        starts = parse_json(read_bounded(folder / "config.json"))[KEY]["starts"]
        return tuple(str(start) for start in starts)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return ()
