"""Every command and call on docs/cameras.md is one that there is, by its arguments and options."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
import typer.main

import goodsam as gs
from goodsam.pipeline.cli.app import app

PAGE = (Path(__file__).parents[3] / "docs" / "cameras.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
CALLS = [node for node in ast.walk(ast.parse(PYTHON)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line):
    program, *words = shlex.split(line)
    assert program == "goodsam"
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, words)  # raises for what there is not


def test_calls_are_understood():
    verbs = [node for node in CALLS if ast.unparse(node.func).startswith("gs.")]
    assert len(verbs) >= 6
    for node in verbs:
        verb = getattr(gs, node.func.attr)
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        inspect.signature(verb).bind(*node.args, **named)  # raises for what there is not
