"""The code blocks of the documents, and how each language is run.

A block stands between fences with a language. `<!-- not run: REASON -->` on the line above says
that no test runs it, and why; the site shows the reason below the block (docs/hooks.py). Output and
file trees are `text`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodsam.pipeline.class_maps import class_map_at
from goodsam.pipeline.cli.app import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
)
FENCES = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    flags=re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """One block of a page.

    line: of its first fence, from 1. not_run: why no test runs it; None for one that is run.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str | None

    def run(self, scope: dict[str, Any]) -> None:
        """Run it in the current folder; names of Python blocks live in `scope`."""
        try:
            if self.not_run is None:
                LANGUAGES[self.language](self, scope)
        except BaseException as error:
            error.add_note(f"in the block of {self.page}, line {self.line}")
            raise


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in its order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["text"],
            found["reason"],
        )
        for found in FENCES.finditer(text)
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block; `&&` begins another."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split("&&"):
            if words := shlex.split(command, comments=True):
                yield words


def _shell(block: Block, scope: dict[str, Any]) -> None:
    for program, *words in commands(block.text):
        PROGRAMS[Path(program).name](words)


def _python(block: Block, scope: dict[str, Any]) -> None:
    padded = "\n" * block.line + block.text  # so that a traceback names the page's own lines
    exec(compile(padded, block.page, "exec"), scope)


def _yaml(block: Block, scope: dict[str, Any]) -> None:
    """A class map, which the commands below it find as map.yaml."""
    Path("map.yaml").write_text(block.text)
    assert class_map_at(Path("map.yaml")).names


def _goodsam(words: list[str]) -> None:
    """In this process, as the command would run."""
    before, sys.argv = sys.argv, ["goodsam", *words]
    status = None
    try:
        main()
    except SystemExit as stop:
        status = stop.code
    finally:
        sys.argv = before
    assert not status, f"goodsam {shlex.join(words)}: exit status {status}"


def _make(words: list[str]) -> None:
    """Rehearsed: targets and variables exist. CI runs those that a block names."""
    subprocess.run(["make", "-C", ROOT, "--dry-run", *words], check=True, capture_output=True)
    variables = re.findall(r"^([A-Z]+) *\?=", (ROOT / "Makefile").read_text(), flags=re.M)
    given = {word.partition("=")[0] for word in words if "=" in word}
    assert given <= set(variables), given


def _pip(words: list[str]) -> None:
    """Not installed, but this folder and these extras are there to be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    install, *wanted = words
    assert install == "install"
    assert wanted[0].startswith("."), "goodsam is not on PyPI: install it from the clone"
    extras = re.findall(r"[\w-]+", wanted[0])
    assert set(extras) <= set(project["optional-dependencies"]), extras


PROGRAMS = {"goodsam": _goodsam, "make": _make, "pip": _pip}
LANGUAGES = {"sh": _shell, "python": _python, "yaml": _yaml, "text": lambda block, scope: None}
