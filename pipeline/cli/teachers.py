"""`goodsam teachers`: the SAMs that are known by name, and what their licences are."""

from __future__ import annotations

import json as json_module

from goodsam.pipeline.cli.options import Json


def teachers(json: Json = False) -> None:
    """List the SAMs that stage 1 knows by name: licence, size, input, tokens and source."""
    from goodsam.stages.sam.registry import SAMS

    rows = [
        {
            "name": name,
            "licence": sam.licence,
            "parameters_millions": sam.parameters,
            "input_px": sam.size,
            "padded": sam.padded,
            "tokens": sam.tokens,
            "source": sam.source,
        }
        for name, sam in SAMS.items()
    ]
    if json:
        print(json_module.dumps(rows, indent=1))
        return
    print(f"{'name':17}{'licence':13}{'parameters':>11}  {'input':19}{'tokens':9}source")
    for row in rows:
        how = "padded" if row["padded"] else "stretched"
        size, tokens = f"{row['input_px']} px {how}", f"{row['tokens']} x {row['tokens']}"
        print(
            f"{row['name']:17}{row['licence']:13}{row['parameters_millions']:9.1f} M  "
            f"{size:19}{tokens:9}{row['source']}"
        )
    print("Any directory of transformers with a SAM, SAM-HQ, SAM 2, EdgeTAM or SAM 3 can be given")
    print("too, and any name on the hub that holds one; read the licence on its card.")
