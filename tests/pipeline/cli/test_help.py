"""The help of every command: sentences that can be understood alone, and every choice listed."""

from __future__ import annotations

import pytest
import typer.main

from goodsam.pipeline.cli.app import app

RELATIVE = ("Of ", "Likewise", "How many", "The same", "px;", "Memory")


def commands(group=None, path=()):
    """(words of the command, the command) of all commands, those of groups included."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_a_sentence(name):
    command = ALL[name]
    assert command.help
    for parameter in command.params:
        if parameter.name == "help":
            continue
        text = parameter.help or ""
        assert len(text.split()) > 2, parameter.name
        assert not text.startswith(RELATIVE), (parameter.name, text)
        assert text.rstrip().endswith((".", ")")), (parameter.name, text)


def test_closed_choices_are_listed(goodsam):
    for name in ("cache-sam", "ablate", "reproduce densepass", "bench stage1"):
        status, out, _ = goodsam(*name.split(), "--help")
        assert status == 0
        assert "street|vit_b|vit_l|vit_h" in out
    status, _, err = goodsam("cache-sam", "a", "b", "--sam", "sam9")
    assert status == 2
    assert "'vit_h'" in err


def test_settings_are_printed_and_read_back(goodsam, tmp_path):
    _, out, _ = goodsam("settings", "goodsam-s")
    assert "# " in out
    (tmp_path / "all.yaml").write_text(out)
    assert goodsam("settings", tmp_path / "all.yaml")[1] == out
    assert goodsam("--version")[1].startswith("goodsam ")
