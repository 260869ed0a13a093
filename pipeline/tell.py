"""What a command tells while it works, on stderr: lines, and bars with rate and time left.

Bars are quiet when the output is not a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(stderr=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f}/s" if speed < 10 else f"{speed:.0f}/s")


def say(line: str) -> None:
    """A line, unless it is empty."""
    if line:
        print(line, file=sys.stderr)


@contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Gives `update(done, total=None, note="")`, to be called with the number done so far."""
    if not console.is_terminal:
        yield lambda done, total=None, note="": None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=total, note="")

        def update(done: int, total: int | None = None, note: str = "") -> None:
            bars.update(task, completed=done, total=total, note=note)

        yield update


@contextmanager
def bar_of_names(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Gives `finished(name)`, to be called with each thing that is done."""
    with progress_bar(title, total) as update:
        done = 0

        def finished(name: str) -> None:
            nonlocal done
            done += 1
            update(done, note=name)

        yield finished
