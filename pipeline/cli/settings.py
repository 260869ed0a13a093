"""`goodsam settings`: every setting of stage 2, explained."""

from __future__ import annotations

from typing import Annotated

import typer


def settings(
    preset: Annotated[
        str, typer.Argument(help="A preset's name, or a YAML file; its values are printed.")
    ] = "goodsam-m",
) -> None:
    """Print all settings of stage 2 with a comment each, as YAML that `train --preset` takes."""
    from goodsam.pipeline.config import adapt_config
    from goodsam.pipeline.settings import commented_yaml

    print(commented_yaml(adapt_config(preset)), end="")
