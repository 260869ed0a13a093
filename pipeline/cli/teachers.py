"""`goodsam teachers`: the networks that are known by name, and what their licences are."""

from __future__ import annotations

import json as json_module
from typing import Any

from goodsam.pipeline.cli.options import Json

MAY = {
    "permissive": "yes",
    "restricted": "conditions",
    "unknown": "not known",
    "non-commercial": "no",
}

AFTERWORD = """
commercial: whether the licence of the weights allows it, as far as cards say. The pictures they
were trained on have terms of their own: Cityscapes and ADE20K allow non-commercial use only.

Any directory of transformers with a SAM, SAM-HQ, SAM 2, EdgeTAM or SAM 3 can be given too, and any
name on the hub that holds one. The licence of what is not listed is the one its card (README.md)
names; --commercial refuses what forbids commercial use, and what names no licence known here."""


def teachers(json: Json = False) -> None:
    """List the SAMs, TAs and students that are known by name: licence, size and source."""
    sams, others = sam_rows(), network_rows()
    if json:
        print(json_module.dumps([*sams, *others], indent=1))
        return
    print("SAM, for --sam:")
    print(
        f"{'name':17}{'licence':13}{'commercial':12}{'parameters':>11}  {'input':19}"
        f"{'tokens':9}source"
    )
    for row in sams:
        how = "padded" if row["padded"] else "stretched"
        size, tokens = f"{row['input_px']} px {how}", f"{row['tokens']} x {row['tokens']}"
        print(
            f"{row['name']:17}{row['licence']:13}{MAY[row['use']]:12}"
            f"{row['parameters_millions']:9.1f} M  {size:19}{tokens:9}{row['source']}"
        )
    print("\nTA and student, for --teacher-assistant and --student:")
    print(f"{'name':55}{'part':12}{'commercial':12}{'parameters':>11}  {'classes':16}licence")
    for row in others:
        print(
            f"{row['name']:55}{', '.join(row['roles']):12}{MAY[row['use']]:12}"
            f"{row['parameters_millions']:9.1f} M  {row['classes']:16}{row['licence']}"
        )
    print(AFTERWORD)


def sam_rows() -> list[dict[str, Any]]:
    """The SAMs of the registry."""
    from goodsam.data.licences import licence_named
    from goodsam.stages.sam.registry import SAMS

    return [
        {
            "name": name,
            "roles": ["SAM"],
            "licence": sam.licence,
            "use": licence_named(sam.licence).use,
            "parameters_millions": sam.parameters,
            "input_px": sam.size,
            "padded": sam.padded,
            "tokens": sam.tokens,
            "source": sam.source,
        }
        for name, sam in SAMS.items()
    ]


def network_rows() -> list[dict[str, Any]]:
    """The TAs and students that are known."""
    from goodsam.stages.licences import NETWORKS

    return [
        {
            "name": name,
            "roles": list(network.roles),
            "licence": network.licence.name,
            "use": network.licence.use,
            "notes": list(network.licence.notes),
            "parameters_millions": network.parameters,
            "classes": network.classes,
        }
        for name, network in NETWORKS.items()
    ]
