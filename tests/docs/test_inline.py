"""Commands and options that exist: those within sentences, and those of blocks, run or not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from goodsam.pipeline.cli.app import app
from tests.docs.blocks import FENCES, PAGES, ROOT, blocks, commands

SPANS = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
OF_OTHERS = {"--warm", "--start", "--fp16"}  # of `python -m goodsam.pipeline...` and trtexec


def spans(page: str) -> list[str]:
    """The code within sentences, each on one line."""
    text = FENCES.sub("", (ROOT / page).read_text())
    return [" ".join(found.split()) for found in SPANS.findall(text)]


def options(command) -> set[str]:
    """All options of a command, or of all commands below a group."""
    own = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    below = getattr(command, "commands", {}).values()
    return own.union({"--help"}, *(options(child) for child in below))


def check(span: str) -> None:
    """AssertionError for a command or an option that does not exist."""
    command = typer.main.get_command(app)
    program, *words = span.split()
    if program == "goodsam":
        while words and re.fullmatch(r"[a-z][a-z1-9-]*", words[0]) and hasattr(command, "commands"):
            assert words[0] in command.commands, f"goodsam has no command {words[0]}"
            command = command.commands[words.pop(0)]
    given = set(re.findall(r"(?<!\S)--[a-z][\w-]*", span))
    unknown = given - options(command) - OF_OTHERS
    assert not unknown, f"`{span}`: no such option"


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page):
    for span in spans(page):
        if span.startswith(("goodsam ", "--")):
            check(span)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_blocks_exist(page):
    """At once, where running them takes minutes or is not possible."""
    for block in blocks(page):
        for program, *words in commands(block.text) if block.language == "sh" else ():
            if Path(program).name == "goodsam":
                check(" ".join(["goodsam", *words]))


@pytest.mark.parametrize("span", ["goodsam predikt", "goodsam train --labels", "--no-such"])
def test_one_that_does_not_is_found(span):
    with pytest.raises(AssertionError):
        check(span)
