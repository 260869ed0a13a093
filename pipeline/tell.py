"""What a command tells: lines and bars on stderr while it works, numbers as text.

Bars show rate and time left, and are quiet when the output is not a terminal.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich is imported where a bar is drawn: most callers want a line or a number
    from rich.console import Console
    from rich.progress import Progress, Task
    from rich.text import Text


def percent(value: float | None) -> str:
    """`12.34`, or a dash where there is no value."""
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def duration(seconds: float) -> str:
    """`8.1 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def say(line: str) -> None:
    """A line, unless it is empty."""
    if line:
        print(printable(line), file=sys.stderr)


def printable(text: str) -> str:
    """Without what steers a terminal or is no text, as names of files may have it: `\\x1b`."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


@contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Gives `update(done, total=None, note="")`, to be called with the number done so far."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total=None, note="": None
        return
    with _bars(console) as bars:
        task = bars.add_task(title, total=total, note="")

        def update(done: int, total: int | None = None, note: str = "") -> None:
            bars.update(task, completed=done, total=total, note=printable(note))

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


def _bars(console: Console) -> Progress:
    """A row each: title, bar, count, rate, time left, note."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            if speed is None:
                return Text("")
            return Text(f"{speed:.2f}/s" if speed < 10 else f"{speed:.0f}/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),  # the note may be a name
        console=console,
    )
