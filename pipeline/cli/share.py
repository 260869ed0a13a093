"""`goodsam card` and `goodsam push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import WhichNetwork

Source = Annotated[
    str,
    typer.Argument(
        help="A run or another network; a SAM cache (a folder, a zip, a folder's URL); or a folder "
        "that predict or label wrote."
    ),
]
Scores = Annotated[
    Path | None, typer.Option(help="An eval.json, for the numbers on a network's card.")
]


def card(source: Source, network: WhichNetwork = "student", scores: Scores = None) -> None:
    """Print the card that `push` would write: origin, licence, numbers, geometry, classes."""
    from goodsam.pipeline import sharing

    print(sharing.card(source, network=network, scores=scores), end="")


def push(
    repo: Annotated[
        str, typer.Argument(help="OWNER/NAME on the Hugging Face hub; made if it is not there.")
    ],
    source: Source,
    network: WhichNetwork = "student",
    scores: Scores = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="The branch to upload to; made if it is not there.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Prepare everything and list files and bytes; upload nothing."
        ),
    ] = False,
) -> None:
    """Upload a network, a cache or label maps to the Hugging Face hub, each with its card."""
    from goodsam.pipeline import sharing

    pushed = sharing.push(
        repo,
        source,
        network=network,
        scores=scores,
        private=private,
        revision=revision,
        dry_run=dry_run,
    )
    if dry_run:
        for name, size in pushed.files.items():
            print(f"{size:>14,} bytes  {name}")
    print(f"{pushed.url or f'{repo}: nothing uploaded yet'}: {pushed}")
