"""The command, as tests of this room call it."""

from __future__ import annotations

import sys

import pytest

from goodsam.pipeline.cli.app import main


@pytest.fixture
def goodsam(monkeypatch, capsys):
    """Run the command; gives (exit status, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["goodsam", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
