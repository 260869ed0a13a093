from __future__ import annotations

import subprocess
import sys

import pytest

from goodsam.pipeline.tell import duration, each_line_once, log_file, percent, say


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (59.97, "1 min 00 s"), (125, "2 min 05 s"),
     (3599.6, "1 h 00 min"), (7320, "2 h 02 min")],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_percent():
    assert [percent(value) for value in (12.345, 0.0, None, float("nan"))] == [
        "12.35", "0.00", "-", "-",
    ]  # fmt: skip


def test_it_costs_nothing_to_import():
    code = "import sys, goodsam.pipeline.tell; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "rich", "jinja2"} & set(done.stdout.split())


def test_of_verbs_in_a_row_each_line_is_told_once_and_a_file_has_all(tmp_path, capsys):
    with each_line_once():
        say("SAM: free")
        with log_file(tmp_path / "log"):
            for line in ("SAM: free", "training", "WARNING: a toy"):
                say(line, always=line.startswith("WARNING"))
        say("WARNING: a toy", always=True)
    say("SAM: free")
    assert capsys.readouterr().err.splitlines() == [
        "SAM: free", "training", "WARNING: a toy", "SAM: free",
    ]  # fmt: skip
    assert (tmp_path / "log").read_text().count("SAM: free") == 1
